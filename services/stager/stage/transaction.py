"""The one transaction of a staged batch: facts, identity, journeys, count deltas and the next offset."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.apply import apply_changes
from services.stager.stage.aside import LeftAside, leave_aside
from services.stager.stage.budget import DEFAULT, Budget, Limits
from services.stager.stage.changes import ChangeSet
from services.stager.stage.claims import stage_claims
from services.stager.stage.customer import BEGINNING, END, Customer, CustomerUpdate
from services.stager.stage.decode import Batch, events_of
from services.stager.stage.dedup import drop_cross_id_duplicates, last_cross_id_duplicates
from services.stager.stage.identity import IdentityGraph, Move
from services.stager.stage.mentions import Events, IdRequest, mentions_of
from services.stager.stage.models import ModelsByWorkspace, lock_models
from services.stager.stage.offset import move_offsets
from services.stager.stage.recent import recent_of
from services.stager.stage.recompute import recompute
from throughline.journey.fold import distinct
from throughline.journey.identity import RULINGS
from throughline.journey.lapse import EVER, NEVER
from throughline.journey.state import Transition
from throughline.journey.touchpoint import OrderKey
from throughline.store import facts, identity, journeys, recomputations
from throughline.store.digest import id_digest
from throughline.store.engine.unit_of_work import transaction
from throughline.store.facts import FactKey, FactRow, content_of, key_of
from throughline.store.identity_suspects import Suspect, add_suspects
from throughline.store.journeys import JourneyKey, StoredJourney
from throughline.store.offsets import OffsetMove
from throughline.store.recent import recent_to_write
from throughline.store.recomputations import Mark
from throughline.store.snapshots import read_snapshots

States = Mapping[JourneyKey, StoredJourney]
"""The stored journeys of the customers that a transaction changes."""


class BatchResult(NamedTuple):
    """What became of the records of one batch."""

    staged: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    recomputed: int = 0
    """Customers whose journeys were recomputed."""
    left_aside: int = 0
    """Journeys that were left to be recomputed aside."""
    moved_ids: int = 0
    """Ids that went from one customer to another."""
    suppressed: int = 0
    """Records that were left out, because their ids are suppressed."""
    refused_links: int = 0
    """Links that were not made, because a customer or an id has as many as it may have."""
    lateness_us: tuple[int, ...] = ()
    """For each journey that a late touchpoint changed, how long before the last touchpoint folded it occurred."""


async def commit(
    engine: AsyncEngine,
    batch: Batch,
    models: ModelsByWorkspace,
    *,
    topic: str,
    moves: Sequence[OffsetMove],
    watermark_us: int = 0,
    limits: Limits = DEFAULT,
    log_seconds: float | None = None,
) -> BatchResult:
    """Stage a batch: all of it or nothing.

    Args:
        batch: the records, prepared.
        models: the models the batch was prepared with.
        topic: whose partitions they are of.
        moves: for each partition of the batch, from where its records begin to where they end. The lowest partition is
            the shard of the count rows.
        watermark_us: lapses due by this instant have happened.
        limits: what the transaction may spend on recomputing.
        log_seconds: see `stage_claims`.

    Raises:
        StaleOffsetError: some partitions are not where their moves expect them.
        ModelsChangedError: refresh the models, prepare the records again and try again.
    """
    async with transaction(engine) as connection:
        await move_offsets(connection, topic, moves)
        shard = min(move.partition for move in moves)
        workspaces = {actor.workspace for actor in batch.actors.values()}
        if batch.claims:
            workspaces -= await stage_claims(connection, batch.claims, models, shard=shard, log_seconds=log_seconds)
        if not batch.rows:
            return BatchResult(rejected=len(batch.rejected), suppressed=batch.suppressed)
        await lock_models(connection, workspaces, models)
        return await _BatchTransaction(connection, batch, models, shard, watermark_us, Budget(limits)).run()


class _BatchTransaction:
    """The steps of one batch within its transaction."""

    def __init__(
        self,
        connection: AsyncConnection,
        batch: Batch,
        models: ModelsByWorkspace,
        shard: int,
        watermark_us: int,
        budget: Budget,
    ) -> None:
        self._connection = connection
        self._batch = batch
        self._models = models
        self._shard = shard
        self._identities = IdentityGraph(connection, stores_last=batch.has_many_aliases)
        self._changes = ChangeSet(watermark_us)
        self._budget = budget
        self._left: list[LeftAside] = []
        """Journeys that are not changed now, but recomputed aside."""
        self._lateness_us: list[int] = []

    async def run(self) -> BatchResult:
        batch = self._batch
        parameters = batch.parameters or facts.parameters_of(batch.rows)
        stored_before = await facts.insert_touchpoints(self._connection, batch.rows, parameters)
        events, mentions = batch.events, batch.mentions
        if stored_before:
            events = events_of(batch.actors, stored_before)
            mentions = mentions_of(events)
        named = self._named_by_others(stored_before)
        moves = await self._identities.apply(mentions, named) if events or named else []
        recomputed = await self._update_journeys(events, moves)
        repeats, originals = await self._read_originals(stored_before)
        conflicts = sum(content_of(originals[key_of(row)]) != content_of(row) for row in repeats)
        recent = recent_to_write(*recent_of(batch, stored_before, originals))
        await apply_changes(self._connection, self._changes, self._shard, also=recent)
        await add_suspects(self._connection, self._suspects(events))
        return BatchResult(
            staged=len(batch.rows) - len(stored_before),
            duplicates=len(repeats) - conflicts,
            conflicts=conflicts,
            rejected=len(batch.rejected),
            recomputed=recomputed,
            left_aside=len(self._left),
            moved_ids=len(moves) + self._identities.new_members,
            suppressed=batch.suppressed,
            refused_links=sum(refused.number for refused in self._identities.suspects.values()),
            lateness_us=tuple(self._lateness_us),
        )

    def _named_by_others(self, stored_before: set[FactKey]) -> list[IdRequest]:
        """Returns the ids that crawlers' events and test orders name: no links, but an erasure has to find them."""
        requests: dict[bytes, IdRequest] = {}
        for digest, actor in self._batch.actors.items():
            for message, t in actor.touchpoints.items():
                if (t.bot or t.test) and (t.anonymous_id or t.previous_id) and (digest, message) not in stored_before:
                    for name in {t.anonymous_id, t.previous_id} - {"", t.actor}:
                        request = IdRequest(t.workspace, id_digest(t.workspace, name), name)
                        requests[request.digest] = request
        return list(requests.values())

    async def _update_journeys(self, events: Events, moves: Sequence[Move]) -> int:
        """Put into the change set what new events and moved ids change.

        Returns:
            the number of customers whose journeys were recomputed.
        """
        updates = await self._updates_of_moves(moves)
        self._add_touchpoints(updates, events)
        emptied = sorted({m.from_customer for m in moves if self._identities.row(m.from_customer).owner is not None})
        states = await journeys.read_journeys(self._connection, sorted({*updates, *emptied}))
        marks = await self._read_marks({*updates, *emptied})
        counted = states.keys() | marks.keys()
        await self._read_members(updates)
        await self._retract(emptied, states, marks)
        self._count_unmapped(updates.values(), counted)
        for update in updates.values():
            self._leave_marked(update, marks, counted)
            self._find_change(update, states)
        to_fold = [update for update in updates.values() if update.changed_from is None]
        to_recompute = [u for u in updates.values() if u.changed_from is not None and u.customer.models]
        await self._fold_on(to_fold, states)
        await self._extend_to_duplicates(to_recompute)
        recomputed = await recompute(self._connection, self._changes, to_recompute, states, counted, self._budget)
        self._left += recomputed.left
        await leave_aside(self._connection, self._changes, self._left)
        return len(to_recompute)

    # --- what changes of which customer -------------------------------------------------------------------------------

    async def _updates_of_moves(self, moves: Sequence[Move]) -> dict[bytes, CustomerUpdate]:
        """Returns the customers that gained or lost ids, each changed from the first touchpoint that came or went."""
        updates: dict[bytes, CustomerUpdate] = {}
        if not moves:
            return updates
        actors = sorted(move.id for move in moves)
        earliest = await facts.read_earliest(self._connection, actors)
        snapshots = await read_snapshots(self._connection, actors) if self._may_have_snapshots() else {}
        with_snapshot = {actor for actor, _ in snapshots}
        for id_, from_customer, to_customer in moves:
            if id_ in with_snapshot:
                first = BEGINNING
            elif id_ in earliest:
                first = (earliest[id_], 0, "", "")
            else:
                continue
            for customer in (from_customer, to_customer):
                if self._identities.row(customer).owner is None:
                    self._update_of(customer, updates).change_from(first)
            updates[to_customer].previous_owner[id_] = from_customer
        return updates

    def _add_touchpoints(self, updates: dict[bytes, CustomerUpdate], events: Events) -> None:
        """Give each customer its new touchpoints. Rulings are none."""
        for actor, touchpoints in events.items():
            in_journeys = [t for t in touchpoints if t.call not in RULINGS]
            if in_journeys:
                self._update_of(self._identities.customer_of(actor), updates).touchpoints += in_journeys

    def _find_change(self, update: CustomerUpdate, states: States) -> None:
        """Sort a customer's new touchpoints, and find the place from which they change what was folded, if any."""
        if not update.touchpoints:
            return
        update.touchpoints.sort()
        if update.changed_from is not None:
            update.change_from(update.touchpoints[0].order_key)
            return
        changed_from = self._late_place(update, states)
        if changed_from is not None:
            update.change_from(changed_from)
            update.changed_until = update.touchpoints[-1].order_key

    def _late_place(self, update: CustomerUpdate, states: States) -> OrderKey | None:
        """Returns where new touchpoints come before folded ones; None when they follow everything in every model."""
        first = update.touchpoints[0]
        late: OrderKey | None = None
        for active in update.customer.models:
            stored = states.get((update.customer.digest, active.id))
            if stored is None:
                if active.backfilling:
                    return BEGINNING
            elif stored.journey.is_late(first):
                late = first.order_key
                self._lateness_us.append(stored.journey.last_us - first.occurred_us)
        return late

    async def _read_members(self, updates: Mapping[bytes, CustomerUpdate]) -> None:
        """Complete the ids of customers with several."""
        joined = [digest for digest in updates if self._identities.row(digest).members > 1]
        if joined:
            for digest, members in (await identity.read_members(self._connection, joined)).items():
                updates[digest].add_members(members)

    async def _read_marks(self, customers: Iterable[bytes]) -> Mapping[JourneyKey, Mark]:
        """Returns the journeys of some customers that are recomputed aside."""
        marked = [digest for digest in customers if self._identities.row(digest).marked]
        return await recomputations.read_marks(self._connection, marked) if marked else {}

    def _leave_marked(
        self, update: CustomerUpdate, marks: Mapping[JourneyKey, Mark], counted: Container[JourneyKey]
    ) -> None:
        """Leave the marked journeys of a customer: what has changed only widens their marks."""
        if not marks:
            return
        marked_customers = {digest for digest, _ in marks}
        update.is_of_unknown_size = not marked_customers.isdisjoint(update.previous_owner.values())
        customer = update.customer
        marked = [active for active in customer.models if (customer.digest, active.id) in marks]
        if marked:
            changed_us = min(t.occurred_us for t in update.touchpoints) if update.touchpoints else NEVER
            if update.changed_from is not None:
                changed_us = min(changed_us, update.changed_from[0])
            self._left += [
                LeftAside(customer, active, changed_us, update.uncounted_ids(active, counted)) for active in marked
            ]
            update.customer = customer._replace(models=[active for active in customer.models if active not in marked])

    # --- what follows from it -----------------------------------------------------------------------------------------

    async def _retract(self, customers: Sequence[bytes], states: States, marks: Mapping[JourneyKey, Mark]) -> None:
        """Take back the journeys of customers whose ids all belong to others now."""
        stored = {
            (digest, active.id): (self._customer(digest), active)
            for digest in customers
            for active in self._customer(digest).models
            if (digest, active.id) in states and (digest, active.id) not in marks
        }
        if not stored:
            return
        transitions: Mapping[JourneyKey, Sequence[Transition]] = {}
        room = self._budget.rows_to_read
        while stored:
            spans = sorted((*key, EVER, NEVER) for key in stored)
            transitions = await journeys.read_transitions(self._connection, spans, count=room + 1)
            if sum(map(len, transitions.values())) <= room:
                break
            # Those with more than an equal part of the room are left, at least one.
            for key in [key for key, of_key in transitions.items() if len(of_key) > room // len(stored)]:
                self._left.append(LeftAside(*stored.pop(key), EVER))
        self._budget.spend(read=sum(map(len, transitions.values())))
        for key, (customer, active) in stored.items():
            self._changes.retract(customer.digest, active, states[key].journey, transitions.get(key, ()))

    def _count_unmapped(self, updates: Iterable[CustomerUpdate], counted: Container[JourneyKey]) -> None:
        """Count new events that the vocabularies do not know."""
        for update in updates:
            for active in update.customer.models:
                touchpoints = update.touchpoints
                if active.backfilling:
                    # It counts all events of an id when it first folds them.
                    touchpoints = [
                        t
                        for t in touchpoints
                        if (update.owner_before(id_digest(t.workspace, t.actor)), active.id) in counted
                    ]
                self._changes.count_unmapped(active, touchpoints)

    async def _fold_on(self, updates: Sequence[CustomerUpdate], states: States) -> None:
        """Fold new touchpoints onto the stored journeys."""
        several = [update for update in updates if len(update.members) > 1 and update.customer.models]
        for update in several:
            update.touchpoints = distinct(update.touchpoints)
        several = [update for update in several if not self._identities.is_new(update.customer.digest)]
        if several:
            remaining = await drop_cross_id_duplicates(
                self._connection, [(update.members, update.touchpoints) for update in several]
            )
            for update, touchpoints in zip(several, remaining, strict=True):
                update.touchpoints = touchpoints
        for update in updates:
            if update.touchpoints:
                customer = update.customer
                for active in customer.models:
                    stored = states.get((customer.digest, active.id))
                    self._changes.fold_on(customer, active, stored, update.touchpoints)

    async def _extend_to_duplicates(self, updates: Iterable[CustomerUpdate]) -> None:
        """A late touchpoint changes the history up to where another id of the customer has sent its message id."""
        several = [update for update in updates if update.changed_until != END and len(update.members) > 1]
        if several:
            last = await last_cross_id_duplicates(
                self._connection, [(update.members, update.touchpoints) for update in several]
            )
            for update, last_us in zip(several, last, strict=True):
                update.changed_until = max(update.changed_until, (last_us + 1, 0, "", ""))

    def _suspects(self, events: Events) -> list[Suspect]:
        """Returns the ids with links that were not made."""
        if not self._identities.suspects:
            return []
        received = [touchpoint.received_us for touchpoints in events.values() for touchpoint in touchpoints]
        suspects: list[Suspect] = []
        for digest, (number, reason) in self._identities.suspects.items():
            row = self._identities.row(digest)
            suspects.append(Suspect(row.workspace, digest, row.name, reason, number, min(received), max(received)))
        return suspects

    # --- look-ups -----------------------------------------------------------------------------------------------------

    def _update_of(self, digest: bytes, updates: dict[bytes, CustomerUpdate]) -> CustomerUpdate:
        update = updates.get(digest)
        if update is None:
            update = updates[digest] = CustomerUpdate(self._customer(digest))
        return update

    def _customer(self, digest: bytes) -> Customer:
        row = self._identities.row(digest)
        return Customer(row.workspace, digest, row.name, self._models[row.workspace].models)

    def _may_have_snapshots(self) -> bool:
        workspaces = {actor.workspace for actor in self._batch.actors.values()}
        return any(active.has_snapshots for workspace in workspaces for active in self._models[workspace].models)

    async def _read_originals(self, stored_before: set[FactKey]) -> tuple[list[FactRow], dict[FactKey, FactRow]]:
        """Returns the rows whose message id their actor had sent before, and by key the facts that count instead."""
        batch = self._batch
        if not stored_before and not batch.repeats:
            return [], {}
        originals = await facts.read_facts(self._connection, sorted(stored_before)) if stored_before else {}
        stored = [row for row in batch.rows if key_of(row) in stored_before]
        repeated = {key_of(row) for row in batch.repeats} - stored_before
        originals |= {key_of(row): row for row in batch.rows if key_of(row) in repeated}
        return stored + batch.repeats, originals
