"""Lapses on the clock: each lane looks after its share of the customers, by the first bytes of their digests.

A journey has a time to look at it, never later than its lapse is due and seldom moved, so that no index changes with
every event. Looking too early finds nothing and says when to look again. Sweeping twice, or by two stagers at once, is
safe: whoever holds a customer's id finds it lapsed already.
"""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.changes import Applied, Customer, Plan, Workspace
from services.stager.stage.identity import People
from services.stager.stage.transaction import write
from throughline.store import counts, journeys, offsets
from throughline.store.engine.unit_of_work import reading, transaction

CHUNK = 2_000
"""Journeys looked at in one transaction."""


def share(partition: int, partitions: int) -> tuple[bytes, bytes]:
    """The first and the last digest of a partition's customers."""
    first = partition * 2**128 // partitions
    last = (partition + 1) * 2**128 // partitions - 1
    return first.to_bytes(16), last.to_bytes(16)


async def sweep(
    engine: AsyncEngine, workspaces: Mapping[int, Workspace], *, partition: int, partitions: int, watermark_us: int
) -> tuple[int, bool]:
    """Apply one chunk of the lapses due by the watermark among a partition's customers.

    Args:
        engine: where to.
        workspaces: what is applied.
        partition: whose customers, and the shard of the counts.
        partitions: how many there are.
        watermark_us: everything received before it is in the state; lapses due by it have happened.

    Returns:
        how many lapsed, and whether there may be more.
    """
    applied = {one.id: (workspace, one) for workspace, found in workspaces.items() for one in found.applied}
    if not applied:
        return 0, False
    async with reading(engine) as connection:
        due = await journeys.read_due(connection, sorted(applied), watermark_us, share(partition, partitions), CHUNK)
    if not due:
        return 0, False
    plan = Plan(watermark_us)
    async with transaction(engine) as connection:
        await People(connection).hold({(applied[model][0], customer, name) for customer, model, name in due})
        states = await journeys.read_journeys(connection, sorted({customer for customer, _, _ in due}))
        for customer, model, name in due:
            stored = states.get((customer, model))
            if stored is not None:
                one: Applied = applied[model][1]
                plan.fold_on(Customer(customer, name, [one]), one, stored, ())
        await write(connection, plan, partition, exact=True)
    return len(plan.transitions), len(due) == CHUNK


async def finish(engine: AsyncEngine, *, topic: str, partition: int, watermark_us: int) -> None:
    """Note that a partition's customers are swept to the watermark."""
    async with transaction(engine) as connection:
        await offsets.move_applied_watermark(connection, topic, partition, watermark_us)


async def prune(engine: AsyncEngine, *, partition: int, watermark_us: int) -> None:
    """Drop the steps of the history that nobody reads any more."""
    async with transaction(engine) as connection:
        await counts.prune_history(connection, partition, watermark_us)
