"""The api with a streaming replica of PostgreSQL: questions go there while it is there and near."""

from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest

from tests.support.stack import HOST, ROLE_PASSWORD, Service, Stack, until
from throughline.kit.clock import now_us, to_us
from throughline.local import Child, LocalPostgres, free_port
from throughline.local.postgres import binaries
from throughline.local.server import ENVIRONMENT
from throughline.store.roles import Role, url_in_role

LAG_SECONDS = 3
QUESTIONS = 'throughline_api_questions_total{database="%s"}'


class StreamingReplica:
    """A base backup of the session's server, which follows it."""

    def __init__(self, primary: LocalPostgres) -> None:
        self.port = free_port()
        self._primary = primary
        self._folder = primary.log.parent / f"replica-{self.port}"  # where the server's user may write
        self._server: Child | None = None

    async def start(self) -> None:
        copying = self._child(
            "pg_basebackup",
            f"--dbname={self._primary.url}",
            f"--pgdata={self._folder}",
            "--checkpoint=fast",
            "--write-recovery-conf",
        )
        await copying.start()
        assert await copying.wait() == 0, copying.tail(20)
        options = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": 200,
            "max_wal_senders": 10,
            "io_method": "sync",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._server = self._child("postgres", "-D", str(self._folder), *words)
        await self._server.start()
        await until(self._answers, what=lambda: f"the replica:\n{self._server and self._server.tail(20)}")

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.kill()

    def url_of(self, database: str) -> str:
        """The address of a copied database."""
        parts = urlsplit(database)
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{HOST}:{self.port}"))

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url_of(self._primary.url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _answers(self) -> bool:
        try:
            await self.execute("select 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _child(self, program: str, *words: str) -> Child:
        log = self._primary.log.with_name(f"{program}-{self.port}.log")
        return Child(
            program, [str(binaries() / program), *words], log=log, env=ENVIRONMENT, run_as=self._primary.run_as
        )


@pytest.fixture
async def replica(postgres: LocalPostgres, stack: Stack) -> AsyncIterator[StreamingReplica]:
    """A replica that has the database of the stack."""
    copy = StreamingReplica(postgres)
    try:
        await copy.start()
        yield copy
    finally:
        await copy.stop()


async def goes_to(api: Service, client: httpx.AsyncClient, database: str) -> bool:
    """Whether a question that is asked now goes to this database, and is answered."""
    before = (await api.metrics()).get(QUESTIONS % database, 0)
    answer = await client.get("/v1/phases/history", params={"step": "minute", "from": "2026-01-01T00:00:00Z"})
    return (await api.metrics()).get(QUESTIONS % database, 0) > before and answer.status_code in (200, 400)


async def age_seconds(client: httpx.AsyncClient) -> float:
    """The age of what an answer says it holds."""
    answer = await client.get("/v1/customers/ada/journey")
    assert answer.status_code == 200, answer.text
    return (now_us() - to_us(datetime.fromisoformat(answer.json()["as_of"]))) / 1_000_000


async def test_questions_go_to_a_replica_that_is_there_and_near(stack: Stack, replica: StreamingReplica) -> None:
    url = url_in_role(replica.url_of(stack.database), Role.API, ROLE_PASSWORD)
    ingest = await stack.start("ingest")
    await stack.start("stager")
    api = await stack.start("api", READ_DATABASE_URL=url, READ_LAG_SECONDS=str(LAG_SECONDS))
    event = {"userId": "ada", "event": "Order Completed", "messageId": "m1", "properties": {"order_id": "1"}}
    async with httpx.AsyncClient(auth=(stack.write_key, "")) as sender:
        assert (await sender.post(f"{ingest.url}/v1/track", json=event)).status_code == 200
    async with stack.api(api) as client:

        async def is_seen() -> bool:
            return (await client.get("/v1/customers/ada/journey")).status_code == 200

        await until(lambda: goes_to(api, client, "replica"), what="a question to the replica")
        await until(is_seen, what="the journey")
        assert await age_seconds(client) < LAG_SECONDS

        await replica.execute("select pg_wal_replay_pause()")

        async def is_behind() -> bool:
            lag = (await api.metrics())["throughline_api_replica_lag_seconds"]
            if lag <= LAG_SECONDS:  # what it answers meanwhile says how old it is
                assert await age_seconds(client) >= lag - 1
            return lag > LAG_SECONDS

        await until(is_behind, what="a lag")
        await until(lambda: goes_to(api, client, "primary"), what="a question to the primary")
        assert await age_seconds(client) < LAG_SECONDS

        await replica.execute("select pg_wal_replay_resume()")
        await until(lambda: goes_to(api, client, "replica"), what="a question to the replica again")

        await replica.stop()
        await until(lambda: goes_to(api, client, "primary"), what="a question to the primary again")
        assert (await client.get("/v1/customers/ada/journey")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
