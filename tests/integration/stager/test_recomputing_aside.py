"""A history too long for a batch is recomputed aside by whichever stager lives."""

import asyncpg

from tests.support.shop import START_US, expect_folded, send, staged_through
from tests.support.stack import Stack, until
from throughline.journey.durations import MINUTE_US
from throughline.journey.touchpoint import Touchpoint

TOUCHPOINTS = 40_000


async def test_another_stager_goes_on_where_a_killed_one_was(stack: Stack) -> None:
    viewed = Touchpoint(START_US, 0, "", "c", "track", "Product Viewed", stack.workspace_id, 1, "direct", START_US)
    viewed = viewed._replace(actor="regular", user_id="regular")
    history = [
        viewed._replace(occurred_us=START_US + number * MINUTE_US, message_id=f"m{number}")
        for number in range(TOUCHPOINTS)
    ]
    late = viewed._replace(occurred_us=START_US - 1, message_id="late", name="Order Completed", order_id="o1")
    victim = await stack.start("stager")
    await send(stack, history)
    await staged_through(stack)
    connection = await asyncpg.connect(stack.database)
    try:
        await send(stack, [late])

        async def cursor() -> int | None:
            at_us: int | None = await connection.fetchval("SELECT cursor_us FROM recomputations WHERE phase = 1")
            return at_us

        killed_at = await until(cursor, what="the recomputation to be under way")
        await victim.child.kill()
        left_at = await cursor()
        assert left_at is not None
        assert left_at >= killed_at
        await send(stack, [viewed._replace(occurred_us=START_US + TOUCHPOINTS * MINUTE_US, message_id="meanwhile")])
        survivor = await stack.start("stager")

        async def is_done() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM recomputations")

        await staged_through(stack)
        await until(is_done, seconds=60, what=lambda: f"the recomputation to end\n{survivor.child.tail(30)}")
    finally:
        await connection.close()
    metrics = await survivor.metrics()
    assert 0 < metrics["throughline_stager_recomputed_aside_touchpoints_total"] < TOUCHPOINTS
    after = viewed._replace(occurred_us=START_US + TOUCHPOINTS * MINUTE_US, message_id="meanwhile")
    await expect_folded(stack, [*history, late, after])
