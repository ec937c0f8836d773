"""Retention: what a workspace no longer keeps is cleared away, chunk by chunk, and its journeys stay as they are.

First the retention cutoff moves: from that transaction on nothing older is staged. Then all ids are walked as in a
restage (`restage.py`). A chunk locks its customers, folds their facts before the cutoff into snapshots and deletes
these facts, all in one transaction with the slot's cursor, so it can be killed at any moment.
"""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.changes import Members, Workspace
from services.stager.stage.dedup import counted
from services.stager.stage.identity import People
from services.stager.stage.recompute import snapshot_of
from services.stager.stage.transaction import hold_versions
from throughline.journey.lapse import EVER
from throughline.journey.snapshot import Snapshot, extend
from throughline.store import facts, identity, retention
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.id_walk import RETENTION, SLOTS, Slot, read_ids
from throughline.store.journeys import JourneyKey
from throughline.store.snapshots import delete_snapshots, read_snapshots, write_snapshots

CHUNK = 400
"""Ids looked at in one transaction."""


async def move_retention_cutoffs(engine: AsyncEngine, *, watermark_us: int) -> None:
    """Move the retention cutoff of every workspace that keeps more than its days before the watermark."""
    async with reading(engine) as connection:
        behind = await retention.read_cutoffs_to_move(connection, watermark_us)
    for workspace, to_us in behind:
        async with transaction(engine) as connection:
            await retention.move_retention_cutoff(connection, workspace, to_us)


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
        SlotTakenError: another partition has done it.
    """
    async with reading(engine) as connection:
        open_slots = await RETENTION.read_open(connection)
    for slot in open_slots:
        if slot.number % min(SLOTS, partitions) == partition and slot.workspace in workspaces:
            return await _chunk(engine, workspaces, slot)
    return None


async def _chunk(engine: AsyncEngine, workspaces: Mapping[int, Workspace], slot: Slot) -> int:
    async with transaction(engine) as connection:
        await hold_versions(connection, {slot.workspace}, workspaces)
        walked = await read_ids(connection, slot, CHUNK)
        gone = 0
        if walked:
            people = People(connection)
            await people.hold((slot.workspace, digest, name) for digest, name in walked)
            # An id that has been joined to a customer walked before is cleared with it, now.
            roots = {people.customer(digest) for digest, _ in walked}
            below = await identity.read_members(connection, sorted(roots))
            customers = {root: {root: people.row(root).name, **below[root]} for root in sorted(roots)}
            gone = await _clear(connection, customers, workspaces[slot.workspace])
        cursor = walked[-1][0] if walked else slot.cursor
        await RETENTION.move(connection, slot, cursor=cursor, done=len(walked) < CHUNK, touchpoints=gone)
    return gone


async def _clear(connection: AsyncConnection, customers: Mapping[bytes, Members], workspace: Workspace) -> int:
    names = {digest: name for members in customers.values() for digest, name in members.items()}
    actors = sorted(names)
    snapshots = await read_snapshots(connection, actors)
    spans = [(actor, EVER, workspace.retention_cutoff_us - 1) for actor in actors]
    history = await facts.read_history(connection, spans, names)
    new: dict[JourneyKey, Snapshot] = {}
    for root, members in customers.items():
        found = [t for member in members for t in history.get(member, ())]
        for applied in workspace.applied:
            snapshot = snapshot_of(members, applied, snapshots)
            touchpoints = await counted(connection, members, None if snapshot is None else snapshot.journey, found)
            snapshot = extend(applied.model, snapshot, touchpoints)
            if snapshot is not None:
                new[root, applied.id] = snapshot
    joined = [actor for actor in actors if actor not in customers]
    if joined:
        await delete_snapshots(connection, joined)
    if new:
        await write_snapshots(connection, new.items())
    return await retention.delete_before(connection, actors, workspace.retention_cutoff_us)
