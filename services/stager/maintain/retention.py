"""Retention: facts that a workspace no longer keeps are deleted, and its journeys stay as they are.

First the retention cutoff moves: from that transaction on nothing older is staged. Then all ids are walked. A chunk
folds the facts of its customers before the cutoff into snapshots, and deletes them. A customer with more facts than a
transaction may delete takes several, from the earliest fact on: each leaves a snapshot, and the facts after it.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.maintain.following import read_following
from services.stager.maintain.walk import Processed, Share, WalkedId, walk_chunk
from services.stager.stage.customer import BEGINNING, Members
from services.stager.stage.dedup import deduplicated
from services.stager.stage.identity import IdentityGraph
from services.stager.stage.mentions import IdRequest
from services.stager.stage.models import ModelsByWorkspace, WorkspaceModels
from services.stager.stage.recompute import snapshot_of
from throughline.journey.lapse import EVER
from throughline.journey.snapshot import Snapshot, extend
from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts, identity, retention
from throughline.store.digest import message_digest
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.id_walk import RETENTION, Slot
from throughline.store.journeys import JourneyKey
from throughline.store.snapshots import delete_snapshots, read_snapshots, write_snapshots

ROWS = 5_000
"""Maximum number of facts deleted in a transaction."""


async def move_retention_cutoffs(engine: AsyncEngine, *, watermark_us: int) -> None:
    """Move the cutoff of every workspace that keeps more than its days before the watermark."""
    async with reading(engine) as connection:
        cutoffs = await retention.read_cutoffs_to_move(connection, watermark_us)
    for workspace, to_us in cutoffs:
        async with transaction(engine) as connection:
            await retention.move_retention_cutoff(connection, workspace, to_us)


async def delete_old_facts(
    engine: AsyncEngine, models: ModelsByWorkspace, share: Share, *, rows: int = ROWS
) -> int | None:
    """Delete facts before the retention cutoff: those of the next chunk of a partition's share.

    Args:
        rows: the maximum number of facts in a transaction.

    Returns:
        the number of touchpoints deleted; None when the partition has nothing to do.

    Raises:
        ModelsChangedError: read the models again.
        SlotTakenError: another partition has processed the chunk.
    """

    async def process(connection: AsyncConnection, slot: Slot, ids: Sequence[WalkedId]) -> Processed:
        identities = IdentityGraph(connection)
        await identities.lock(IdRequest(slot.workspace, *id_) for id_ in ids)
        old = _OldFacts(connection, models[slot.workspace], rows)
        number = len(ids)
        while True:
            customers = await _customers_of(connection, identities, ids[:number])
            if await old.may_delete(customers):
                return Processed(number, {"touchpoints": await old.delete_all(customers)})
            if number == 1:
                return Processed(0, {"touchpoints": await old.delete_first(customers)})
            number //= 2

    sums = await walk_chunk(engine, models, share, RETENTION, process, is_ready=lambda slot: slot.workspace in models)
    return None if sums is None else sums["touchpoints"]


async def _customers_of(
    connection: AsyncConnection, identities: IdentityGraph, ids: Sequence[WalkedId]
) -> Mapping[bytes, Members]:
    """Returns the customers of some ids, without those whose journeys are recomputed aside.

    An id that has joined a customer whose own id was walked before is processed with that customer, now. A journey that
    is recomputed aside needs its facts: they are deleted with the next cutoff.
    """
    customers = sorted({identities.customer_of(id_.digest) for id_ in ids})
    customers = [digest for digest in customers if not identities.row(digest).marked]
    below = await identity.read_members(connection, customers)
    return {digest: {digest: identities.row(digest).name, **below[digest]} for digest in customers}


class _OldFacts:
    """The facts of a workspace before its cutoff, deleted in a transaction that holds their customers."""

    def __init__(self, connection: AsyncConnection, workspace: WorkspaceModels, rows: int) -> None:
        self._connection = connection
        self._workspace = workspace
        self._cutoff_us = workspace.retention_cutoff_us
        self._rows = rows

    async def may_delete(self, customers: Mapping[bytes, Members]) -> bool:
        """Whether some customers have no more facts than a transaction may delete."""
        keys = await retention.read_keys_before(
            self._connection, _actors_of(customers), self._cutoff_us, self._rows + 1
        )
        return len(keys) <= self._rows

    async def delete_all(self, customers: Mapping[bytes, Members]) -> int:
        """Fold all facts of some customers into their snapshots, and delete them; returns how many."""
        actors = _actors_of(customers)
        names = {digest: name for members in customers.values() for digest, name in members.items()}
        spans = [(actor, EVER, self._cutoff_us - 1) for actor in actors]
        history = await facts.read_history(self._connection, spans, names)
        await self._extend_snapshots(
            {
                customer: (members, [t for digest in members for t in history.get(digest, ())])
                for customer, members in customers.items()
            }
        )
        await retention.delete_checkpoints(self._connection, actors, self._cutoff_us)
        return await retention.delete_before(self._connection, actors, self._cutoff_us)

    async def delete_first(self, customers: Mapping[bytes, Members]) -> int:
        """Do the same with the first facts of one customer, as many as a transaction may delete."""
        ((customer, members),) = customers.items()
        actors = _actors_of(customers)
        following = await read_following(self._connection, members, BEGINNING, self._rows)
        touchpoints = [t for t in following.touchpoints if t.occurred_us < self._cutoff_us][: self._rows]
        if touchpoints:
            await self._extend_snapshots({customer: (members, touchpoints)})
            await retention.delete_checkpoints(self._connection, actors, touchpoints[-1].occurred_us + 1)
            messages = {message_digest(t.message_id) for t in touchpoints}
        else:  # what is left is in no journey
            keys = await retention.read_keys_before(self._connection, actors, self._cutoff_us, self._rows)
            messages = {message for _, message in keys}
        return await retention.delete_before(self._connection, actors, self._cutoff_us, sorted(messages))

    async def _extend_snapshots(self, customers: Mapping[bytes, tuple[Members, Sequence[Touchpoint]]]) -> None:
        """Fold the next touchpoints of some customers (digest -> ids and touchpoints) into their snapshots."""
        actors = sorted(digest for members, _ in customers.values() for digest in members)
        old_snapshots = await read_snapshots(self._connection, actors)
        snapshots: dict[JourneyKey, Snapshot] = {}
        for customer, (members, touchpoints) in customers.items():
            for active in self._workspace.models:
                old = snapshot_of(members, active, old_snapshots)
                state = None if old is None else old.journey
                distinct = await deduplicated(self._connection, members, state, touchpoints)
                new = extend(active.model, old, distinct, has_trail=active.has_trails)
                if new is not None:
                    snapshots[customer, active.id] = new
        joined = [actor for actor in actors if actor not in customers]
        if joined:
            await delete_snapshots(self._connection, joined)
        if snapshots:
            await write_snapshots(self._connection, snapshots.items())


def _actors_of(customers: Mapping[bytes, Members]) -> list[bytes]:
    return sorted(digest for members in customers.values() for digest in members)
