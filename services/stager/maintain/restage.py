"""Restaging: the journeys of a new generation of a model, computed from the stored facts of all customers.

Live staging computes the whole journey of a customer that it meets first, and the walk passes that customer by.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.maintain.walk import Processed, Share, WalkedId, walk_chunk
from services.stager.stage.apply import apply_changes
from services.stager.stage.aside import leave_aside
from services.stager.stage.budget import DEFAULT, Budget, Limits
from services.stager.stage.changes import ChangeSet
from services.stager.stage.customer import BEGINNING, Customer, CustomerUpdate
from services.stager.stage.identity import IdentityGraph
from services.stager.stage.mentions import IdRequest
from services.stager.stage.models import ActiveModel, ModelsByWorkspace
from services.stager.stage.recompute import recompute
from throughline.store import identity, journeys, recomputations
from throughline.store.id_walk import RESTAGE, Slot
from throughline.store.journeys import JourneyKey, StoredJourney


class Restaged(NamedTuple):
    """What one chunk of a restage did: customers whose journeys were computed, and touchpoints read for it."""

    customers: int
    touchpoints: int


async def restage(
    engine: AsyncEngine, models: ModelsByWorkspace, share: Share, *, watermark_us: int, limits: Limits = DEFAULT
) -> Restaged | None:
    """Restage the next chunk of a partition's share.

    Args:
        models: the models of all workspaces, generations being built included.
        share: the partition, whose number is also the shard of the count rows.
        watermark_us: lapses due by this instant have happened.
        limits: what the chunk may spend; customers with more touchpoints are left to be recomputed aside.

    Returns:
        what the chunk did; None when the partition has nothing to do.

    Raises:
        ModelsChangedError: read the models again.
        SlotTakenError: another partition has restaged the chunk.
    """

    async def process(connection: AsyncConnection, slot: Slot, ids: Sequence[WalkedId]) -> Processed:
        updates, states = await _updates_of(connection, slot, ids, _generation_of(slot, models))
        changes = ChangeSet(watermark_us)
        recomputed = await recompute(connection, changes, updates, states, (), Budget(limits))
        await leave_aside(connection, changes, recomputed.left)
        await apply_changes(connection, changes, share.partition)
        return Processed(len(ids), {"customers": len(updates), "touchpoints": recomputed.touchpoints})

    sums = await walk_chunk(
        engine, models, share, RESTAGE, process, is_ready=lambda slot: bool(_generation_of(slot, models))
    )
    return None if sums is None else Restaged(**sums)


def _generation_of(slot: Slot, models: ModelsByWorkspace) -> list[ActiveModel]:
    """Returns the generation that a slot is about; none when the models were read before it was begun."""
    workspace = models.get(slot.workspace)
    return [] if workspace is None else [active for active in workspace.models if active.id == slot.owner]


async def _updates_of(
    connection: AsyncConnection, slot: Slot, ids: Sequence[WalkedId], generation: Sequence[ActiveModel]
) -> tuple[list[CustomerUpdate], Mapping[JourneyKey, StoredJourney]]:
    """Lock ids, and return those customers among them that have no journey in the generation yet, with all journeys."""
    identities = IdentityGraph(connection)
    await identities.lock(IdRequest(slot.workspace, *id_) for id_ in ids)
    customers = [id_ for id_ in ids if identities.row(id_.digest).owner is None]
    states = await journeys.read_journeys(connection, [customer.digest for customer in customers])
    marked = [customer.digest for customer in customers if identities.row(customer.digest).marked]
    marks = await recomputations.read_marks(connection, marked) if marked else {}
    updates = {
        customer.digest: CustomerUpdate(Customer(slot.workspace, customer.digest, customer.name, generation))
        for customer in customers
        if (customer.digest, slot.owner) not in states and (customer.digest, slot.owner) not in marks
    }
    joined = [digest for digest in updates if identities.row(digest).members > 1]
    if joined:
        for digest, members in (await identity.read_members(connection, joined)).items():
            updates[digest].add_members(members)
    for digest, update in updates.items():
        update.change_from(BEGINNING)
        update.is_of_unknown_size = identities.row(digest).marked
    return list(updates.values()), states
