"""The one transaction of a staged batch: facts, identity, derived state, count deltas and the next offset."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.changes import Customer, Members, Plan, Workspace
from services.stager.stage.decode import Batch
from services.stager.stage.dedup import drop_twins, last_twins
from services.stager.stage.identity import Move, People
from services.stager.stage.recent import recent_of
from services.stager.stage.recompute import BEGINNING, END, Again, refold
from throughline.journey.fold import distinct
from throughline.journey.identity import RULINGS
from throughline.journey.lapse import EVER
from throughline.journey.state import Journey
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.store import counts, facts, generations, identity, journeys
from throughline.store.engine.unit_of_work import transaction
from throughline.store.facts import FactRow, content_of
from throughline.store.offsets import Offset, move_offset, move_received_watermark
from throughline.store.recent import write_recent
from throughline.store.snapshots import read_snapshots


class StaleOffsetError(Exception):
    """Another member has moved this partition's offset: nothing of the batch was written."""


class ModelsChangedError(Exception):
    """The models applied are not those the batch was prepared with: nothing of it was written."""


class Staged(NamedTuple):
    """What became of one batch's records."""

    staged: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    refolded: int = 0
    moved: int = 0
    """Ids that went from one customer to another."""
    late_us: tuple[int, ...] = ()
    """For each late customer, how far before its last touchpoint the earliest new one happened."""


async def commit(
    engine: AsyncEngine,
    batch: Batch,
    workspaces: Mapping[int, Workspace],
    *,
    topic: str,
    partition: int,
    expected: int,
    to: Offset,
    received_watermark_us: int = 0,
) -> Staged:
    """Stage a batch: all of it or nothing.

    Args:
        engine: where to.
        batch: one partition's records, prepared.
        workspaces: what the batch was prepared with.
        topic: with `partition`, whose offset moves.
        partition: also the shard of the counts.
        expected: the offset the batch starts at.
        to: the offset after it.
        received_watermark_us: of the topic, as far as this process knows.

    Raises:
        StaleOffsetError: the stored offset is not `expected`.
        ModelsChangedError: read the workspaces again.
    """
    async with transaction(engine) as connection:
        if not await move_offset(connection, topic, partition, expected=expected, to=to):
            raise StaleOffsetError(f"{topic}/{partition} is no longer at {expected}")
        if not batch.rows:
            return Staged(rejected=len(batch.rejected))
        await hold_versions(connection, {actor.workspace for actor in batch.actors.values()}, workspaces)
        return await _Staging(connection, batch, workspaces, partition, received_watermark_us).run()


async def hold_versions(connection: AsyncConnection, needed: set[int], workspaces: Mapping[int, Workspace]) -> None:
    """Keep the models of some workspaces as they are until the transaction ends.

    Raises:
        ModelsChangedError: they are not what `workspaces` says.
    """
    versions = await generations.lock_versions(connection, sorted(needed))
    for workspace in needed:
        if versions.get(workspace) != workspaces[workspace].version:
            raise ModelsChangedError(f"the models of workspace {workspace} have changed")


async def advance(
    engine: AsyncEngine, *, topic: str, partition: int, expected: int, received_watermark_us: int
) -> None:
    """Note that nothing more was received before `received_watermark_us`: an idle partition moves with the clock.

    Raises:
        StaleOffsetError: the stored offset is not `expected`.
    """
    async with transaction(engine) as connection:
        if not await move_received_watermark(
            connection, topic, partition, expected=expected, received_watermark_us=received_watermark_us
        ):
            raise StaleOffsetError(f"{topic}/{partition} is no longer at {expected}")


class _Staging:
    """One batch's way through its transaction."""

    def __init__(
        self,
        connection: AsyncConnection,
        batch: Batch,
        workspaces: Mapping[int, Workspace],
        shard: int,
        watermark_us: int,
    ) -> None:
        self._connection = connection
        self._batch = batch
        self._workspaces = workspaces
        self._shard = shard
        self._people = People(connection)
        self._plan = Plan(watermark_us)
        self._late_us: list[int] = []

    async def run(self) -> Staged:
        new = await facts.insert_touchpoints(self._connection, self._batch.rows)
        fresh = self._fresh(new)
        moves = await self._people.meet(fresh) if fresh else []
        again = await self._fold(fresh, moves)
        await write(self._connection, self._plan, self._shard)
        first, repeated = await self._repeated(new)
        conflicts = sum(content_of(first[row[1]]) != content_of(row) for row in repeated)
        await write_recent(self._connection, self._shard, *recent_of(self._batch, new, first))
        return Staged(
            staged=len(new),
            duplicates=len(repeated) - conflicts,
            conflicts=conflicts,
            rejected=len(self._batch.rejected),
            refolded=again,
            moved=len(moves),
            late_us=tuple(self._late_us),
        )

    def _fresh(self, new: set[bytes]) -> list[tuple[bytes, Touchpoint]]:
        """The new facts (actor digest, touchpoint) that count."""
        whole = len(new) == len(self._batch.rows)
        return [
            (digest, touchpoint)
            for digest, actor in self._batch.actors.items()
            for message, touchpoint in actor.touchpoints.items()
            if (whole or message in new) and not touchpoint.bot
        ]

    async def _fold(self, fresh: list[tuple[bytes, Touchpoint]], moves: list[Move]) -> int:
        """Plan what the new facts and the moved ids change; how many customers were folded again."""
        people, plan = self._people, self._plan
        since, former = await self._changed_since(moves)
        through = dict.fromkeys(since, END)
        by_customer: dict[bytes, list[Touchpoint]] = {}
        by_actor: dict[bytes, list[Touchpoint]] = {}
        for digest, touchpoint in fresh:
            if touchpoint.call not in RULINGS:
                by_customer.setdefault(people.customer(digest), []).append(touchpoint)
                by_actor.setdefault(digest, []).append(touchpoint)
        gone = sorted({move.before for move in moves if people.row(move.before).owner is not None})
        customers = {digest: self._customer(digest) for digest in {*by_customer, *since}}
        states = await journeys.read_journeys(self._connection, sorted({*customers, *gone}))
        await self._retract(gone, states)
        for digest, touchpoints in by_actor.items():
            customer = customers[people.customer(digest)]
            # A generation that is being filled counts all facts of an id when it first folds them.
            was = former.get(digest, customer.digest)
            met = [one for one in customer.applied if not one.filling or (was, one.id) in states]
            plan.note_unmapped(met, touchpoints)
        folded: dict[bytes, list[Touchpoint]] = {}
        for digest, touchpoints in by_customer.items():
            customer = customers[digest]
            touchpoints.sort()
            if digest in since:
                since[digest] = min(since[digest], touchpoints[0].order_key)
                continue
            late = self._late(customer, touchpoints[0], states)
            if late is not None:
                since[digest], through[digest] = late, touchpoints[-1].order_key
            else:
                folded[digest] = touchpoints
        joined = [digest for digest in {*folded, *since} if people.row(digest).joined]
        members: dict[bytes, Members] = {digest: {digest: customers[digest].id} for digest in (*folded, *since)}
        if joined:
            below = await identity.read_members(self._connection, joined)
            members |= {digest: {digest: customers[digest].id, **found} for digest, found in below.items()}
        await self._fold_on(folded, customers, states, members)
        known = {digest: (members[digest], by_customer[digest]) for digest in through if through[digest] != END}
        await self._count_twins(through, known)
        again = [
            Again(customers[digest], members[digest], key, through[digest], former) for digest, key in since.items()
        ]
        await refold(self._connection, plan, again, states)
        return len(again)

    async def _count_twins(
        self, through: dict[bytes, OrderKey], late: Mapping[bytes, tuple[Members, list[Touchpoint]]]
    ) -> None:
        """A late touchpoint changes things up to the one that another id has sent with its message id."""
        several = {digest: found for digest, found in late.items() if len(found[0]) > 1}
        if several:
            for digest, last_us in zip(several, await last_twins(self._connection, several.values()), strict=True):
                through[digest] = max(through[digest], (last_us + 1, "", ""))

    async def _fold_on(
        self,
        folded: dict[bytes, list[Touchpoint]],
        customers: Mapping[bytes, Customer],
        states: Mapping[journeys.JourneyKey, journeys.StoredJourney],
        members: Mapping[bytes, Members],
    ) -> None:
        several = {digest: found for digest, found in members.items() if digest in folded and len(found) > 1}
        if several:
            kept = await drop_twins(
                self._connection, [(found, distinct(folded[digest])) for digest, found in several.items()]
            )
            folded |= zip(several, kept, strict=True)
        for digest, touchpoints in folded.items():
            if touchpoints:
                customer = customers[digest]
                for applied in customer.applied:
                    self._plan.fold_on(customer, applied, states.get((digest, applied.id)), touchpoints)

    def _late(
        self,
        customer: Customer,
        first: Touchpoint,
        states: Mapping[journeys.JourneyKey, journeys.StoredJourney],
    ) -> OrderKey | None:
        """Since when a customer must be folded again; None when its new touchpoints simply follow."""
        late: OrderKey | None = None
        for applied in customer.applied:
            stored = states.get((customer.digest, applied.id))
            if stored is None:
                if applied.filling:
                    return BEGINNING
            elif stored.journey.is_late(first):
                late = first.order_key
                self._late_us.append(stored.journey.last_us - first.occurred_us)
        return late

    async def _changed_since(self, moves: list[Move]) -> tuple[dict[bytes, OrderKey], dict[bytes, bytes]]:
        """Customers that gained or lost ids, with the first touchpoint that came or went; whose the ids were."""
        if not moves:
            return {}, {}
        below = await identity.read_members(self._connection, [move.id for move in moves])
        actors = sorted({digest for move in moves for digest in (move.id, *below[move.id])})
        earliest = await facts.read_earliest(self._connection, actors)
        snapshots = await read_snapshots(self._connection, actors) if self._has_snapshots() else {}
        with_snapshot = {actor for actor, _ in snapshots}
        since: dict[bytes, OrderKey] = {}
        for move in moves:
            times = [earliest[digest] for digest in (move.id, *below[move.id]) if digest in earliest]
            if with_snapshot.isdisjoint((move.id, *below[move.id])):
                first = (min(times), "", "") if times else None
            else:
                first = BEGINNING
            if first is not None:
                for customer in (move.before, move.after):
                    if self._people.row(customer).owner is None:
                        since[customer] = min(since.get(customer, first), first)
        # Of moves within each other, the inner one says whose an id was.
        former: dict[bytes, bytes] = {}
        for move in sorted(moves, key=lambda move: -len(below[move.id])):
            former |= dict.fromkeys((move.id, *below[move.id]), move.before)
        return since, former

    async def _retract(self, gone: list[bytes], states: Mapping[journeys.JourneyKey, journeys.StoredJourney]) -> None:
        """Take back what customers were whose ids all belong to others now."""
        had = sorted(
            (digest, applied.id, EVER)
            for digest in gone
            for applied in self._customer(digest).applied
            if (digest, applied.id) in states
        )
        if not had:
            return
        transitions = await journeys.read_transitions(self._connection, had)
        for digest in gone:
            for applied in self._customer(digest).applied:
                key = (digest, applied.id)
                if key in states:
                    journey: Journey = states[key].journey
                    self._plan.retract(digest, applied, journey, transitions.get(key, ()))

    def _has_snapshots(self) -> bool:
        workspaces = {actor.workspace for actor in self._batch.actors.values()}
        return any(applied.has_snapshots for workspace in workspaces for applied in self._workspaces[workspace].applied)

    def _customer(self, digest: bytes) -> Customer:
        row = self._people.row(digest)
        return Customer(digest, row.name, self._workspaces[row.workspace].applied)

    async def _repeated(self, new: set[bytes]) -> tuple[dict[bytes, FactRow], list[FactRow]]:
        """The events whose message id was there before, and by message digest the facts that count instead of them."""
        batch = self._batch
        if len(new) == len(batch.rows) and not batch.repeats:
            return {}, []
        again = [row for row in batch.rows if row[1] not in new]
        first = await facts.read_facts(self._connection, [row[:2] for row in again]) if again else {}
        repeats = {row[1] for row in batch.repeats}
        first |= {row[1]: row for row in batch.rows if row[1] in repeats and row[1] in new}
        return first, again + batch.repeats


async def write(connection: AsyncConnection, plan: Plan, shard: int, *, exact: bool = False) -> None:
    """Write what was planned. `shard`: whose count rows; `exact`: see `journeys.write_journeys`."""
    if plan.gone:
        await journeys.delete_customers(connection, sorted(plan.gone))
    if plan.removed_transitions:
        await journeys.remove_transitions(connection, sorted(plan.removed_transitions))
    if plan.removed_checkpoints:
        await journeys.remove_checkpoints(connection, sorted(plan.removed_checkpoints))
    if plan.journeys:
        await journeys.write_journeys(connection, sorted(plan.journeys), exact=exact)
    if plan.transitions:
        await journeys.write_transitions(connection, sorted(plan.transitions))
    if plan.checkpoints:
        await journeys.write_checkpoints(connection, sorted(plan.checkpoints))
    await counts.add_counts(connection, shard, plan.deltas, plan.zones, plan.watermark_us)
    await counts.add_unmapped(connection, shard, plan.unmapped)
