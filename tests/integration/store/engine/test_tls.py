"""TLS to PostgreSQL, as the URL says: encrypted, and the server's certificate checked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from sqlalchemy import literal, select
from sqlalchemy.exc import DBAPIError

from tests.support.certificates import Authority
from tests.support.stack import ROLE_PASSWORD, Stack
from throughline.local import LocalPostgres
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading
from throughline.store.migrate import MigrateError, check
from throughline.store.roles import Role, url_in_role

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""With which a client of PostgreSQL asks for TLS; the server answers S, and TLS begins on the same connection."""


@pytest.fixture(scope="module")
async def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def tls_port(postgres: LocalPostgres, authority: Authority) -> AsyncIterator[int]:
    """The port of a server that takes nobody without TLS: the wheel's PostgreSQL is built without, so a door before it
    speaks TLS as PostgreSQL does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))

    async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(context)
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", postgres.port)
                await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        writer.close()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    server = await asyncio.start_server(let_in, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def through(url: str, port: int, query: str) -> str:
    """The same database behind another port."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}"), query=query))


async def reach(url: str) -> None:
    """Ask the server something, as every process does."""
    engine = create_engine(url)
    try:
        async with reading(engine) as connection:
            assert await connection.scalar(select(literal(1))) == 1
    finally:
        await engine.dispose()


async def test_the_mode_of_the_url_is_kept(database: str, tls_port: int, authority: Authority, tmp_path: Path) -> None:
    api = url_in_role(database, Role.API, ROLE_PASSWORD)
    stranger = Authority(tmp_path, "stranger").file
    for query in (
        "sslmode=require",
        f"sslmode=verify-ca&sslrootcert={authority.file}",
        f"sslmode=verify-full&sslrootcert={authority.file}",
    ):
        await reach(through(api, tls_port, query))
    for mode in ("verify-ca", "verify-full"):
        with pytest.raises(ssl.SSLCertVerificationError):
            await reach(through(api, tls_port, f"sslmode={mode}&sslrootcert={stranger}"))
    elsewhere = through(api, tls_port, f"sslmode=verify-full&sslrootcert={authority.file}")
    with pytest.raises((ssl.SSLCertVerificationError, OSError)):
        await reach(elsewhere.replace("127.0.0.1", "localhost"))
    with pytest.raises(DBAPIError, match="connection was closed"):
        await reach(through(api, tls_port, "sslmode=disable"))
    # A server without TLS is not taken for one with it.
    with pytest.raises(ConnectionError):
        await reach(f"{api}?sslmode=require")


async def test_a_service_and_the_commands_keep_it_too(
    database: str, tls_port: int, authority: Authority, tmp_path: Path
) -> None:
    url = through(database, tls_port, f"sslmode=verify-full&sslrootcert={quote(str(authority.file), safe='')}")
    await check(url)
    stranger = Authority(tmp_path, "stranger").file
    with pytest.raises(MigrateError, match="CERTIFICATE_VERIFY_FAILED"):
        await check(through(database, tls_port, f"sslmode=verify-full&sslrootcert={stranger}"))
    stack = Stack("127.0.0.1:1", url, "t", "r", tmp_path)
    await stack.provision()
    try:
        api = await stack.start("api")
        async with stack.api(api) as client:
            assert (await client.get("/v1/phases/counts")).status_code == 200
    finally:
        await stack.stop()
