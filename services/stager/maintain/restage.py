"""Restaging: the journeys of a generation computed from the stored facts, chunk by chunk, while live traffic goes on.

Ids are walked slot by slot (sixteen, by the first half-byte of their digests), each lane taking those that fall to its
partition. A chunk locks its customers, folds all their facts and moves the slot's cursor by compare-and-set, all in one
transaction: it can be killed at any moment, and two lanes that take the same slot do its work once. Live staging folds
a customer whole that it meets first, and the walk passes it by.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.changes import Applied, Customer, Plan, Workspace
from services.stager.stage.identity import People
from services.stager.stage.recompute import BEGINNING, Again, refold
from services.stager.stage.transaction import hold_versions, write
from throughline.store import identity, journeys
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.id_walk import RESTAGE, SLOTS, Slot, read_ids

CHUNK = 400
"""Ids looked at in one transaction."""


class Restaged(NamedTuple):
    """What one chunk did."""

    customers: int
    touchpoints: int


async def restage(
    engine: AsyncEngine, workspaces: Mapping[int, Workspace], *, partition: int, partitions: int, watermark_us: int
) -> Restaged | None:
    """Do one chunk of what falls to a partition; None when there is nothing to do.

    Args:
        engine: where to.
        workspaces: what is applied, generations being built included.
        partition: whose slots, and the shard of the counts.
        partitions: how many there are.
        watermark_us: everything received before it is in the state; lapses due by it have happened.

    Raises:
        ModelsChangedError: read the workspaces again.
        SlotTakenError: another partition has done it.
    """
    async with reading(engine) as connection:
        open_slots = await RESTAGE.read_open(connection)
    for slot in open_slots:
        applied = [one for one in workspaces[slot.workspace].applied if one.id == slot.owner]
        # One that is not known yet is known at the next look.
        if applied and slot.number % min(SLOTS, partitions) == partition:
            return await _chunk(engine, workspaces, applied, slot, partition, watermark_us)
    return None


async def _chunk(
    engine: AsyncEngine,
    workspaces: Mapping[int, Workspace],
    applied: Sequence[Applied],
    slot: Slot,
    shard: int,
    watermark_us: int,
) -> Restaged:
    plan = Plan(watermark_us)
    async with transaction(engine) as connection:
        await hold_versions(connection, {slot.workspace}, workspaces)
        walked = await read_ids(connection, slot, CHUNK)
        people = People(connection)
        customers: list[Customer] = []
        if walked:
            await people.hold((slot.workspace, digest, name) for digest, name in walked)
            roots = [(digest, name) for digest, name in walked if people.row(digest).owner is None]
            states = await journeys.read_journeys(connection, [digest for digest, _ in roots])
            customers = [
                Customer(digest, name, applied) for digest, name in roots if (digest, slot.owner) not in states
            ]
        touchpoints = await _fold(connection, plan, customers, people)
        cursor = walked[-1][0] if walked else slot.cursor
        await RESTAGE.move(
            connection, slot, cursor=cursor, done=len(walked) < CHUNK, customers=len(customers), touchpoints=touchpoints
        )
        await write(connection, plan, shard)
    return Restaged(len(customers), touchpoints)


async def _fold(connection: AsyncConnection, plan: Plan, customers: list[Customer], people: People) -> int:
    if not customers:
        return 0
    joined = [one.digest for one in customers if people.row(one.digest).joined]
    below = await identity.read_members(connection, joined) if joined else {}
    again = [Again(one, {one.digest: one.id, **below.get(one.digest, {})}, BEGINNING) for one in customers]
    return await refold(connection, plan, again, {})
