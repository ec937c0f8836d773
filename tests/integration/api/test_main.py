"""The api's process: it waits for its database, survives the loss of it, and ends when the database refuses it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.conftest import execute
from tests.support.rows import Rows
from tests.support.stack import Stack, until
from tests.support.stream import STREAM, following
from throughline.local import LocalPostgres, free_port
from throughline.store.migrate import upgrade


async def test_a_database_that_goes_away_is_a_503_and_comes_back(
    stack: Stack, rows: Rows, postgres: LocalPostgres
) -> None:
    service = await stack.start("api")
    await rows.count(1, 3)
    async with stack.api(service) as api, following(stack, service) as events:
        assert (await events.counts()).json()["customers"] == 3
        await postgres.kill()
        try:

            async def away() -> bool:
                # Not before what is remembered of the counts is over.
                return (await api.get("/v1/phases/counts")).status_code == 503

            await until(away)
            for path in ("/v1/phases/counts", "/v1/customers", "/v1/journey?customer=x", "/v1/phases", STREAM):
                response = await api.get(path)
                assert (response.status_code, response.json()["code"]) == (503, "database_away"), path
                assert int(response.headers["retry-after"]) >= 1
                assert "postgresql" not in response.text.lower()
            assert (await api.get("/healthz")).status_code == 200
            ready = await api.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        finally:
            await postgres.start()
        await service.ready()
        async with Rows(stack.database, stack.workspace_id) as again:
            await again.count(1, 1)
        assert (await events.counts()).json()["customers"] == 4
        assert (await api.get("/v1/phases/counts")).json()["customers"] == 4


@pytest.mark.usefixtures("template")
async def test_it_waits_for_its_database_and_for_whoever_migrates_it(postgres: LocalPostgres, tmp_path: Path) -> None:
    port = free_port()
    url = postgres.url_of("started_late")
    late = url.replace(f":{postgres.port}/", f":{port}/")
    stack = Stack("127.0.0.1:1", late, "touchpoints", "touchpoints.rejected", tmp_path)
    try:
        service = await stack.start("api", ready=False)
        async with httpx.AsyncClient(base_url=service.url) as client:

            async def listens() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(listens)
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert "database" in ready.json()["checks"]["database"]
            answer = await client.get("/v1/phases", headers={"Authorization": "Bearer tlr_x"})
            assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
            await execute(postgres.url, "create database started_late")
            # The server starts to listen where the service looks for it.
            forwarded = await asyncio.start_server(lambda r, w: _forward(r, w, postgres.port), "127.0.0.1", port)
            async with forwarded:
                await upgrade(url)
                await service.ready()
                answer = await client.get("/v1/phases", headers={"Authorization": "Bearer tlr_x"})
                assert answer.status_code == 401
                await stack.stop()
    finally:
        await stack.stop()
        await execute(postgres.url, "drop database if exists started_late with (force)")


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()

    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)
    for ended in (writer, up_writer):
        ended.close()
        await asyncio.gather(ended.wait_closed(), return_exceptions=True)


@pytest.mark.usefixtures("template")
async def test_a_database_that_refuses_ends_it_with_the_reason(postgres: LocalPostgres, tmp_path: Path) -> None:
    stack = Stack("127.0.0.1:1", postgres.url_of("no_such_database"), "touchpoints", "r", tmp_path)
    service = await stack.start("api", ready=False)
    assert await service.child.wait() == 1
    assert "no_such_database" in service.child.tail(20)
