"""What a running stager does besides the log: lapses by the clock, restaging, customers met from two partitions."""

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.shop import START_US, expect, projection_of, send, shop_log, staged_through
from tests.support.stack import Stack, until
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.store import generations
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.wire.codec import partition_of

DAY_US = 86_400_000_000


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_silence_becomes_a_lapse_by_the_clock_alone(stack: Stack, connection: asyncpg.Connection) -> None:
    stager = await stack.start("stager")
    soon_us = now_us() + 4_000_000
    viewed = Touchpoint(START_US, 0, "m", "", "track", "Product Viewed", stack.workspace_id, 1, "direct", START_US)
    log = [
        viewed._replace(actor="long ago", user_id="long ago"),
        viewed._replace(actor="soon", user_id="soon", occurred_us=soon_us - 30 * DAY_US),
        viewed._replace(actor="later", user_id="later", occurred_us=soon_us - DAY_US),
    ]
    await send(stack, log)
    await staged_through(stack)

    async def lapsed() -> set[str]:
        return {row[0] for row in await connection.fetch("select id from journeys where lapsed_us <> 0")}

    async def both() -> bool:
        return await lapsed() == {"long ago", "soon"}

    await until(both, what=lambda: f"both to lapse\n{stager.child.tail(30)}")
    assert await connection.fetchval("select lapsed_us from journeys where id = 'soon'") == soon_us
    await expect(stack, log)
    assert (await stager.metrics())["throughline_stager_lapsed_journeys_total"] >= 1


async def test_a_restage_goes_on_when_its_stager_is_killed_amid_traffic(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    await stack.start("stager", BATCH_RECORDS="100")
    victim = await stack.start("stager", BATCH_RECORDS="100")
    log = shop_log(stack, 3_000, customers=900)
    await send(stack, log[:2_000])
    await staged_through(stack)
    engine = create_engine(stack.database, pool_size=1)
    try:
        sending = asyncio.create_task(send(stack, log[2_000:]))
        async with transaction(engine) as work:
            generation = await generations.begin_restage(work, "shop", "seven_phase", document=None, now_us=now_us())

        async def progress() -> generations.RestageProgress:
            async with reading(engine) as reader:
                return await generations.read_progress(reader, generation)

        async def begun() -> bool:
            return (await progress()).customers > 0

        await until(begun, what="the restage to begin")
        await victim.child.kill()
        await stack.start("stager", BATCH_RECORDS="100")
        await sending

        async def whole() -> bool:
            return (await progress()).is_whole

        await until(whole, seconds=60, what=lambda: "the restage\n" + stack.services[0].child.tail(30))
        await staged_through(stack)
        before = await projection_of(stack)
        async with transaction(engine) as work:
            assert await generations.switch(work, generation)
    finally:
        await engine.dispose()
    after = await projection_of(stack)
    assert after.counts == before.counts
    await expect(stack, log)

    async def cleared() -> bool:
        derived = ("journeys", "transitions", "checkpoints", "phase_counts", "phase_history")
        tables = (*derived, "unmapped", "orphan_refunds")
        left = [
            await connection.fetchval(f"select count(*) from {table} where model <> $1", generation) for table in tables
        ]
        return not any(left) and await connection.fetchval("select array_agg(id) from models") == [generation]

    await until(cleared, what="what the retired generation left behind to be deleted")
    await expect(stack, log)


def apart(name: str, other: str) -> str:
    """`name` with a suffix that puts it on another partition than `other`."""
    taken = partition_of(other.encode(), 4)
    return next(candidate for n in range(100) if partition_of((candidate := f"{name}.{n}").encode(), 4) != taken)


def meeting_log(stack: Stack, people: int) -> list[Touchpoint]:
    """Visitors who go on as visitors on one partition while another partition says who they are, and takes it back."""
    dice = random.Random(11)
    log: list[Touchpoint] = []
    base = Touchpoint(START_US, 0, "", "", "track", "Product Viewed", stack.workspace_id, 1, "direct", START_US)
    for person in range(people):
        user = f"u{person}"
        visitor = apart(f"v{person}", user)
        of_visitor = [
            base._replace(actor=visitor, anonymous_id=visitor, name=dice.choice(["Product Viewed", "Product Added"]))
            for _ in range(6)
        ]
        of_user = [base._replace(actor=user, user_id=user, anonymous_id=visitor, call="identify", name="")] * 2
        of_user.append(base._replace(actor=user, user_id=user, name="Order Completed", order_id="o1"))
        of_user += [
            base._replace(actor=user, user_id=user, previous_id=visitor, call=call, name="")
            for call in ["unlink", "relink"][: person % 3]
        ]
        log += [
            event._replace(message_id=f"{person}-{n}", occurred_us=START_US + dice.randrange(DAY_US))
            for n, event in enumerate(of_visitor + of_user)
        ]
    # All at about the same time on their partitions, each person's in any order.
    return [event for _, event in sorted((int(e.message_id.split("-")[0]) + dice.random() * 20, e) for e in log)]


async def test_visitors_are_joined_from_another_partition_while_they_go_on(stack: Stack) -> None:
    stagers = [await stack.start("stager", BATCH_RECORDS="10") for _ in range(2)]
    log = meeting_log(stack, 250)
    await send(stack, log)
    await staged_through(stack, seconds=120)
    await expect(stack, log)
    outcomes = [await stager.metrics() for stager in stagers]
    assert sum(metrics["throughline_stager_moved_ids_total"] for metrics in outcomes) >= 250
    assert all(metrics['throughline_stager_records_total{outcome="staged"}'] > 0 for metrics in outcomes)
