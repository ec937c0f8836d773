"""Retention: what a workspace no longer keeps is cleared away, chunk by chunk, and its journeys stay as they are.

First the horizon moves: from that transaction on nothing older is staged. Then all ids are walked as in a restage
(`restage.py`). A chunk locks its customers, folds their facts before the horizon into bases and deletes them, all in
one transaction with the slot's cursor, so it can be killed at any moment.
"""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.changes import Members, Workspace
from services.stager.stage.dedup import counted
from services.stager.stage.identity import People
from services.stager.stage.recompute import base_of
from services.stager.stage.transaction import hold_versions
from throughline.journey.horizon import Base, rebase
from throughline.journey.lapse import EVER
from throughline.store import facts, horizon, identity, restaging
from throughline.store.horizon import Slot
from throughline.store.journeys import JourneyKey
from throughline.store.unit_of_work import snapshot, transaction

CHUNK = 400
"""Ids looked at in one transaction."""


async def move_horizons(engine: AsyncEngine, *, watermark_us: int) -> None:
    """Move the horizon of every workspace that keeps more than its days before the watermark."""
    async with snapshot(engine) as connection:
        behind = await horizon.read_behind(connection, watermark_us)
    for workspace, to_us in behind:
        async with transaction(engine) as connection:
            await horizon.move_horizon(connection, workspace, to_us)


async def clear(
    engine: AsyncEngine, workspaces: Mapping[int, Workspace], *, partition: int, partitions: int
) -> int | None:
    """Do one chunk of what falls to a partition: how many touchpoints are gone; None when there is nothing to do.

    Args:
        engine: where to.
        workspaces: what is applied.
        partition: whose slots.
        partitions: how many there are.

    Raises:
        ModelsChangedError: read the workspaces again.
        restaging.SlotTakenError: another lane has done it.
    """
    async with snapshot(engine) as connection:
        open_slots = await horizon.read_open(connection)
    for slot in open_slots:
        if slot.slot % min(restaging.SLOTS, partitions) == partition and slot.workspace in workspaces:
            return await _chunk(engine, workspaces, slot)
    return None


async def _chunk(engine: AsyncEngine, workspaces: Mapping[int, Workspace], slot: Slot) -> int:
    async with transaction(engine) as connection:
        await hold_versions(connection, {slot.workspace}, workspaces)
        walked = await restaging.read_ids(connection, slot, CHUNK)
        gone = 0
        if walked:
            people = People(connection)
            await people.hold((slot.workspace, digest, name) for digest, name in walked)
            # An id that has been joined to a customer walked before is cleared with it, now.
            roots = {people.customer(digest) for digest, _ in walked}
            below = await identity.read_members(connection, sorted(roots))
            customers = {root: {root: people.row(root).name, **below[root]} for root in sorted(roots)}
            gone = await _clear(connection, customers, workspaces[slot.workspace], slot.horizon_us)
        cursor = walked[-1][0] if walked else slot.cursor
        if not await horizon.move_slot(connection, slot, cursor=cursor, done=len(walked) < CHUNK, touchpoints=gone):
            raise restaging.SlotTakenError(f"slot {slot.slot} of workspace {slot.workspace} was taken by another lane")
    return gone


async def _clear(
    connection: AsyncConnection, customers: Mapping[bytes, Members], workspace: Workspace, horizon_us: int
) -> int:
    names = {digest: name for members in customers.values() for digest, name in members.items()}
    actors = sorted(names)
    bases = await horizon.read_bases(connection, actors)
    spans = [(actor, EVER, horizon_us - 1) for actor in actors]
    history = await facts.read_history(connection, spans, names)
    new: dict[JourneyKey, Base] = {}
    for root, members in customers.items():
        found = [t for member in members for t in history.get(member, ())]
        for applied in workspace.applied:
            base = base_of(members, applied, bases)
            touchpoints = await counted(connection, members, None if base is None else base.journey, found)
            base = rebase(applied.model, base, touchpoints)
            if base is not None:
                new[root, applied.id] = base
    joined = [actor for actor in actors if actor not in customers]
    if joined:
        await horizon.delete_bases(connection, joined)
    if new:
        await horizon.write_bases(connection, new.items())
    return await horizon.delete_before(connection, actors, horizon_us)
