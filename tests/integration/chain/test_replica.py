"""The api with a streaming replica of PostgreSQL: questions go there while it is there and near."""

import math
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest

from tests.support.copied_server import CopiedServer
from tests.support.stack import ROLE_PASSWORD, Service, Stack, until
from throughline.kit.clock import now_us, to_us
from throughline.local import LocalPostgres
from throughline.store.roles import Role, url_in_role

LAG_SECONDS = 3
QUESTIONS = 'throughline_api_questions_total{database="%s"}'


@pytest.fixture
async def replica(postgres: LocalPostgres, stack: Stack) -> AsyncIterator[CopiedServer]:
    """A base backup that follows its server, with the database of the stack."""
    copy = CopiedServer(postgres, "replica")
    try:
        await copy.copy("--write-recovery-conf")
        await copy.serve()
        yield copy
    finally:
        await copy.stop()


async def goes_to(api: Service, client: httpx.AsyncClient, database: str) -> bool:
    """Whether a question that is asked now goes to this database, and is answered."""
    before = (await api.metrics()).get(QUESTIONS % database, 0)
    answer = await client.get("/v1/phases/history", params={"step": "minute", "from": "2026-01-01T00:00:00Z"})
    return (await api.metrics()).get(QUESTIONS % database, 0) > before and answer.status_code in (200, 400)


async def age_seconds(client: httpx.AsyncClient) -> float:
    """The age of what an answer says it holds; endless before every partition has been staged once."""
    answer = await client.get("/v1/customers/ada/journey")
    assert answer.status_code == 200, answer.text
    as_of = answer.json()["as_of"]
    return math.inf if as_of is None else (now_us() - to_us(datetime.fromisoformat(as_of))) / 1_000_000


async def test_questions_go_to_a_replica_that_is_there_and_near(stack: Stack, replica: CopiedServer) -> None:
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

        async def is_fresh() -> bool:
            return await age_seconds(client) < LAG_SECONDS

        await until(is_seen, what="the journey")
        await until(is_fresh, what="an answer of the replica that is fresh")

        await replica.execute("select pg_wal_replay_pause()")

        async def is_behind() -> bool:
            lag = (await api.metrics())["throughline_api_replica_lag_seconds"]
            if lag <= LAG_SECONDS:  # what it answers meanwhile says how old it is
                assert await age_seconds(client) >= lag - 1
            return lag > LAG_SECONDS

        await until(is_behind, what="a lag")
        await until(lambda: goes_to(api, client, "primary"), what="a question to the primary")
        await until(is_fresh, what="an answer of the primary that is fresh")

        await replica.execute("select pg_wal_replay_resume()")
        await until(lambda: goes_to(api, client, "replica"), what="a question to the replica again")

        await replica.stop()
        await until(lambda: goes_to(api, client, "primary"), what="a question to the primary again")
        assert (await client.get("/v1/customers/ada/journey")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
