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
from services.stager.stage.models import ActiveModel, ModelsByWorkspace
from services.stager.stage.recompute import Recompute, recompute_whole, tasks_of
from throughline.store import identity, journeys, recomputations
from throughline.store.id_walk import RESTAGE, Slot
from throughline.store.journeys import JourneyKey, StoredJourney

CUSTOMERS = 1_000
"""Maximum number of customers in a transaction."""
FIRST_CUSTOMERS = 400
"""Maximum number in the first transaction of a process."""
FEWEST_CUSTOMERS = 50
SECONDS = 0.5
"""Time that a transaction may take: after a longer one the next has fewer customers."""


class Restaged(NamedTuple):
    """What one chunk of a restage did: customers whose journeys were computed, and touchpoints read for it."""

    customers: int
    touchpoints: int


async def restage(
    engine: AsyncEngine,
    models: ModelsByWorkspace,
    share: Share,
    *,
    watermark_us: int,
    customers: int = FIRST_CUSTOMERS,
    limits: Limits = DEFAULT,
) -> Restaged | None:
    """Restage the next chunk of a partition's share.

    Args:
        models: the models of all workspaces, generations being built included.
        share: the partition, whose number is also the shard of the count rows.
        watermark_us: lapses due by this instant have happened.
        customers: the maximum number in the chunk.
        limits: what the chunk may spend. A customer with more touchpoints is left to be recomputed aside; those for
            whom nothing is left are in the next chunk.

    Returns:
        what the chunk did; None when the partition has nothing to do.

    Raises:
        ModelsChangedError: read the models again.
        SlotTakenError: another partition has restaged the chunk.
    """

    async def process(connection: AsyncConnection, slot: Slot, ids: Sequence[WalkedId]) -> Processed:
        updates, states = await _updates_of(connection, slot, ids, _generation_of(slot, models))
        budget = Budget(limits)
        tasks = await tasks_of(connection, updates, states, (), budget)
        chosen = _within(tasks, limits.rows_read)
        changes = ChangeSet(watermark_us)
        left = await recompute_whole(connection, changes, chosen.whole, budget)
        computed = set(chosen.whole).difference(left)
        if left and left[0] is chosen.whole[0]:
            # A whole chunk has no room for it.
            chosen.aside.append(left.pop(0))
        await leave_aside(connection, changes, [task.left_aside for task in chosen.aside])
        await apply_changes(connection, changes, share.partition)
        following = [task.customer.digest for task in left[:1] + chosen.following[:1]]
        done = [id_ for id_ in ids if not following or id_.digest < min(following)]
        sums = {
            "customers": len(computed) + len(chosen.aside),
            "touchpoints": sum(task.touchpoints_read for task in computed),
        }
        return Processed(len(done), sums)

    restaged = await walk_chunk(
        engine,
        models,
        share,
        RESTAGE,
        process,
        is_ready=lambda slot: bool(_generation_of(slot, models)),
        count=customers,
        only_roots=True,
    )
    return None if restaged is None else Restaged(**restaged)


def next_customers(customers: int, seconds: float) -> int:
    """Returns the maximum number of customers of the next chunk, after one of so many took that time."""
    return min(CUSTOMERS, max(FEWEST_CUSTOMERS, int(customers * min(2.0, SECONDS / max(seconds, 1e-3)))))


class _Chosen(NamedTuple):
    """What becomes of the journeys of a chunk, in the order of their customers."""

    whole: list[Recompute]
    """They are computed now."""
    aside: list[Recompute]
    """They are longer than any transaction has room for."""
    following: list[Recompute]
    """They begin the next chunk."""


def _within(tasks: Sequence[tuple[int, Recompute]], rows: int) -> _Chosen:
    chosen = _Chosen([], [], [])
    room = rows
    for size, task in tasks:
        if size > rows:
            chosen.aside.append(task)
        elif size > room or chosen.following:
            chosen.following.append(task)
        else:
            room -= size
            chosen.whole.append(task)
    return chosen


def _generation_of(slot: Slot, models: ModelsByWorkspace) -> list[ActiveModel]:
    """Returns the generation that a slot is about; none when the models were read before it was begun."""
    workspace = models.get(slot.workspace)
    return [] if workspace is None else [active for active in workspace.models if active.id == slot.owner]


async def _updates_of(
    connection: AsyncConnection, slot: Slot, ids: Sequence[WalkedId], generation: Sequence[ActiveModel]
) -> tuple[list[CustomerUpdate], Mapping[JourneyKey, StoredJourney]]:
    """Lock ids, and return those customers among them that have no journey in the generation yet, with all journeys."""
    rows = await identity.lock_ids(connection, [(slot.workspace, *id_, False) for id_ in ids]) if ids else {}
    # An id that has joined a customer meanwhile is in that customer's journey, which the joining transaction computed.
    customers = [id_ for id_ in ids if rows[id_.digest].root == id_.digest]
    states = await journeys.read_journeys(connection, [customer.digest for customer in customers])
    marked = [customer.digest for customer in customers if rows[customer.digest].marked]
    marks = await recomputations.read_marks(connection, marked) if marked else {}
    updates = {
        customer.digest: CustomerUpdate(Customer(slot.workspace, customer.digest, customer.name, generation))
        for customer in customers
        if (customer.digest, slot.owner) not in states and (customer.digest, slot.owner) not in marks
    }
    joined = [digest for digest in updates if rows[digest].members > 1]
    if joined:
        for digest, members in (await identity.read_members(connection, joined)).items():
            updates[digest].add_members(members)
    for digest, update in updates.items():
        update.change_from(BEGINNING)
        update.is_of_unknown_size = rows[digest].marked
    return list(updates.values()), states
