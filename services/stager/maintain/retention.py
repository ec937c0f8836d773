"""Retention: facts that a workspace no longer keeps are deleted, and its journeys stay as they are.

First the retention cutoff moves: from that transaction on nothing older is staged. Then all ids are walked. A chunk
folds the facts of its customers before the cutoff into snapshots, and deletes them.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.maintain.walk import Share, WalkedId, walk_chunk
from services.stager.stage.customer import Members
from services.stager.stage.dedup import deduplicated
from services.stager.stage.identity import IdentityGraph
from services.stager.stage.mentions import IdRequest
from services.stager.stage.models import ModelsByWorkspace, WorkspaceModels
from services.stager.stage.recompute import snapshot_of
from throughline.journey.lapse import EVER
from throughline.journey.snapshot import Snapshot, extend
from throughline.store import facts, identity, retention
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.id_walk import RETENTION, Slot
from throughline.store.journeys import JourneyKey
from throughline.store.snapshots import delete_snapshots, read_snapshots, write_snapshots


async def move_retention_cutoffs(engine: AsyncEngine, *, watermark_us: int) -> None:
    """Move the cutoff of every workspace that keeps more than its days before the watermark."""
    async with reading(engine) as connection:
        cutoffs = await retention.read_cutoffs_to_move(connection, watermark_us)
    for workspace, to_us in cutoffs:
        async with transaction(engine) as connection:
            await retention.move_retention_cutoff(connection, workspace, to_us)


async def delete_old_facts(engine: AsyncEngine, models: ModelsByWorkspace, share: Share) -> int | None:
    """Delete facts before the retention cutoff: those of the next chunk of a partition's share.

    Returns:
        the number of touchpoints deleted; None when the partition has nothing to do.

    Raises:
        ModelsChangedError: read the models again.
        SlotTakenError: another partition has processed the chunk.
    """

    async def process(connection: AsyncConnection, slot: Slot, ids: Sequence[WalkedId]) -> dict[str, int]:
        identities = IdentityGraph(connection)
        await identities.lock(IdRequest(slot.workspace, *id_) for id_ in ids)
        # An id that has joined a customer whose own id was walked before is processed with that customer, now.
        # One whose journeys are recomputed aside needs its facts: they are deleted with the next cutoff.
        customers = sorted({identities.customer_of(id_.digest) for id_ in ids})
        customers = [digest for digest in customers if not identities.row(digest).marked]
        below = await identity.read_members(connection, customers)
        members = {digest: {digest: identities.row(digest).name, **below[digest]} for digest in customers}
        return {"touchpoints": await _delete_before_cutoff(connection, members, models[slot.workspace])}

    sums = await walk_chunk(engine, models, share, RETENTION, process, is_ready=lambda slot: slot.workspace in models)
    return None if sums is None else sums["touchpoints"]


async def _delete_before_cutoff(
    connection: AsyncConnection, customers: Mapping[bytes, Members], workspace: WorkspaceModels
) -> int:
    """Replace the facts of some customers (digest -> members) before the cutoff by snapshots; returns how many."""
    names = {digest: name for members in customers.values() for digest, name in members.items()}
    actors = sorted(names)
    old_snapshots = await read_snapshots(connection, actors)
    spans = [(actor, EVER, workspace.retention_cutoff_us - 1) for actor in actors]
    history = await facts.read_history(connection, spans, names)
    snapshots: dict[JourneyKey, Snapshot] = {}
    for customer, members in customers.items():
        touchpoints = [t for digest in members for t in history.get(digest, ())]
        for active in workspace.models:
            old = snapshot_of(members, active, old_snapshots)
            state = None if old is None else old.journey
            new = extend(active.model, old, await deduplicated(connection, members, state, touchpoints))
            if new is not None:
                snapshots[customer, active.id] = new
    joined = [actor for actor in actors if actor not in customers]
    if joined:
        await delete_snapshots(connection, joined)
    if snapshots:
        await write_snapshots(connection, snapshots.items())
    return await retention.delete_before(connection, actors, workspace.retention_cutoff_us)
