"""What one tenant asks holds up no other: shares of the database, streams, requests a second, unknown tokens."""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from typing import NamedTuple

import asyncpg
import httpx
import pytest

from tests.support.answers import ok, refused
from tests.support.rows import AT_US, Rows
from tests.support.stack import Service, Stack, until
from tests.support.stream import STREAM, following
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import create_read_token
from throughline.store.access.sources import create_source
from throughline.store.access.workspaces import create_workspace
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

GREEDY_LOOPS = 8
QUIET_SECONDS = 2.0
LOUD_SECONDS = 8.0
MAX_FACTOR = 3.0
MAX_SECONDS = 0.15


class Tenants(NamedTuple):
    """A workspace with much to count, whose reader is greedy, and another one with little."""

    greedy: Stack
    modest: Stack


async def other_tenant(stack: Stack) -> Stack:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        now = now_us()
        number = await create_workspace(connection, "modest", now_us=now)
        await create_source(connection, "modest", "web", now_us=now)
        token = await create_read_token(connection, "modest", "dashboard", now_us=now)
    await engine.dispose()
    return Stack(
        stack.kafka, stack.database, stack.touchpoints, stack.rejected, stack.folder, "modest", "", token, number
    )


@pytest.fixture
async def tenants(stack: Stack) -> Tenants:
    modest = await other_tenant(stack)
    for tenant, channels in ((stack, 200), (modest, 1)):
        async with Rows(stack.database, tenant.workspace_id) as rows:
            await rows.through(AT_US)
            await rows.count(1, 5)
            await rows.execute(
                "insert into phase_history select $1, 1, $2::bigint - hour * $3::bigint, 0, $4, 'channel ' || channel, "
                "phase, 1, 0, 0, 1, 0, 0 "
                "from generate_series(1, 300) hour, generate_series(1, $5) channel, generate_series(1, 7) phase",
                rows.model,
                AT_US // HOUR_US * HOUR_US,
                HOUR_US,
                rows.source,
                channels,
            )
            await rows.execute("analyze phase_history")
    return Tenants(stack, modest)


async def latencies(client: httpx.AsyncClient, seconds: float) -> list[float]:
    """How long a tenant's questions take, one after the other: counts, history and customers."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in ("/v1/phases/counts", "/v1/phases/history?step=hour", "/v1/customers"):
            began = time.monotonic()
            response = await client.get(path)
            took.append(time.monotonic() - began)
            assert response.status_code == 200, response.text
        await asyncio.sleep(0.02)
    return took


async def test_eight_loops_of_history_do_not_slow_another_tenant(tenants: Tenants) -> None:
    service = await tenants.greedy.start("api")
    statuses: set[int] = set()

    async def greedy_loop(client: httpx.AsyncClient, number: int) -> None:
        while True:
            await client.get(f"/v1/phases/history?step=hour&channel=channel {number}")
            response = await client.get("/v1/phases/history?step=hour&from=2026-09-09T12:00:00Z")
            statuses.add(response.status_code)

    async with tenants.greedy.api(service) as greedy, tenants.modest.api(service) as modest:
        await latencies(modest, 0.5)
        alone = statistics.median(await latencies(modest, QUIET_SECONDS))
        loops = [asyncio.create_task(greedy_loop(greedy, number)) for number in range(GREEDY_LOOPS)]
        await asyncio.sleep(1)
        beside = statistics.median(await latencies(modest, LOUD_SECONDS))
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    assert statuses <= {200, 429}  # never a 503
    assert beside < max(MAX_FACTOR * alone, MAX_SECONDS), f"p50 {beside * 1000:.0f} ms, alone {alone * 1000:.0f} ms"


async def test_a_locked_table_stops_nobody_else(tenants: Tenants) -> None:
    service = await tenants.greedy.start("api")
    async with tenants.greedy.api(service) as greedy, tenants.modest.api(service) as modest:
        await ok(modest, "/v1/phases/counts")
        locking = await asyncpg.connect(tenants.greedy.database)
        await locking.execute("begin; lock table unmapped in access exclusive mode")
        try:
            stuck = [asyncio.create_task(greedy.get("/v1/events/unmapped", timeout=60)) for _ in range(20)]
            await asyncio.sleep(0.3)
            began = time.monotonic()
            for path in ("/v1/phases/counts", "/v1/customers", "/v1/phases/history", "/readyz"):
                await ok(modest, path)
            assert time.monotonic() - began < 2
            answers = [await response for response in stuck]
        finally:
            await locking.close()
    codes = {(answer.status_code, answer.json()["code"]) for answer in answers}
    assert codes == {(429, "too_many_statements"), (503, "too_slow")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)


async def test_a_token_has_its_streams_and_leaves_others_theirs(tenants: Tenants) -> None:
    service = await tenants.greedy.start("api", TOKEN_STREAMS="3")
    async with AsyncExitStack() as streams:
        followers = [await streams.enter_async_context(following(tenants.greedy, service)) for _ in range(3)]
        for follower in followers:
            await follower.counts()
        async with tenants.greedy.api(service) as api:
            problem = await refused(api, 429, "too_many_streams", STREAM)
            assert "3 streams" in problem["message"]
            await ok(api, "/v1/phases/counts")
        async with following(tenants.modest, service) as events:
            await events.counts()


async def test_a_token_has_a_rate(tenants: Tenants) -> None:
    service = await tenants.greedy.start("api", TOKEN_REQUESTS="1")
    async with tenants.greedy.api(service) as greedy, tenants.modest.api(service) as modest:
        began = time.monotonic()
        answers = await asyncio.gather(*(greedy.get("/v1/phases") for _ in range(40)))
        took = time.monotonic() - began
        refusals = [answer for answer in answers if answer.status_code == 429]
        assert 40 - len(refusals) <= 2 + took + 1
        assert {answer.status_code for answer in answers} == {200, 429}
        assert {answer.json()["code"] for answer in refusals} == {"rate_limited"}
        assert "1 requests a second" in refusals[0].json()["message"]
        assert {answer.headers["retry-after"] for answer in refusals} == {"1"}
        await ok(modest, "/v1/phases")
        await asyncio.sleep(1.1)
        await ok(greedy, "/v1/phases")


async def test_a_flood_of_unknown_tokens_costs_few_look_ups(stack: Stack, service: Service) -> None:
    queries = 'throughline_api_query_seconds_count{query="tokens"}'
    async with stack.api(service) as api:
        await ok(api, "/v1/phases")
        before, began = (await service.metrics())[queries], time.monotonic()
        for number in range(20):
            for text in (f"tlr_unknown{number}", "tlr_unknown"):
                headers = {"Authorization": f"Bearer {text}"}
                answers = await asyncio.gather(*(api.get("/v1/phases", headers=headers) for _ in range(10)))
                assert {answer.status_code for answer in answers} == {401}
        await ok(api, "/v1/phases")
        look_ups = (await service.metrics())[queries] - before
        assert look_ups <= (time.monotonic() - began) / 0.25 + 2


async def test_a_tokens_last_use_is_written(stack: Stack, service: Service, rows: Rows) -> None:
    async with stack.api(service) as api:
        for _ in range(10):
            await ok(api, "/v1/phases")

    async def last_use() -> int | None:
        connection = await asyncpg.connect(stack.database)
        try:
            used: int | None = await connection.fetchval("select last_used_us from read_tokens")
        finally:
            await connection.close()
        return used

    used = await until(last_use, what="the last use to be written")
    assert abs(used - now_us()) < 60_000_000
