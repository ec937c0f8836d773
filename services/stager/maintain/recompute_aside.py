"""Recomputing aside: the journeys that a transaction had no time for, a slice at a time.

A pass begins at the last checkpoint before the change and folds the history to its end, into a journey that stands
beside the old one. Then the old transitions are removed and the new ones added, so many at a time. Each transition by
itself keeps `entered = now + left`, so the sums add up after every slice. What changes meanwhile is noted, and the next
pass begins there: a pass that one slice is enough for ends with nothing noted, because the slice holds the customer.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.maintain.following import read_following
from services.stager.maintain.walk import Share
from services.stager.stage.apply import apply_changes
from services.stager.stage.changes import ChangeSet
from services.stager.stage.customer import BEGINNING, Members
from services.stager.stage.dedup import deduplicated
from services.stager.stage.identity import IdentityGraph
from services.stager.stage.mentions import IdRequest
from services.stager.stage.models import ActiveModel, ModelsByWorkspace, lock_models
from services.stager.stage.recompute import snapshot_of
from throughline.journey import milestones
from throughline.journey.checkpoint import Advanced, advance
from throughline.journey.lapse import EVER, NEVER, due_us
from throughline.journey.state import LAPSE, Journey, Transition
from throughline.journey.touchpoint import OrderKey
from throughline.kit.clock import now_us
from throughline.store import identity, journeys, recomputations
from throughline.store.engine.driver import write_together
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.journeys import JourneyKey, StoredJourney, beside_of
from throughline.store.recomputations import Mark, Phase
from throughline.store.snapshots import read_snapshots

SLICE_ROWS = 2_000
"""Number of touchpoints and transitions in a slice."""
SECONDS = 0.25
"""Time for slices between two rounds."""
CANDIDATES = 100
"""Number of marks looked up at once."""


class Aside(NamedTuple):
    """What some slices did."""

    slices: int = 0
    touchpoints: int = 0
    has_more: bool = False
    """Whether journeys are left."""


async def recompute_aside(
    engine: AsyncEngine,
    models: ModelsByWorkspace,
    share: Share,
    *,
    watermark_us: int,
    rows: int = SLICE_ROWS,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Aside:
    """Recompute marked journeys of a partition's share: a slice of each, those first that have waited longest.

    Args:
        share: the partition, whose number is also the shard of the count rows.
        watermark_us: lapses due by this instant have happened.
        rows: the size of a slice.
        seconds: time after which no further slice begins.
        clock: in seconds.

    Raises:
        ModelsChangedError: read the models again.
    """
    deadline = clock() + seconds
    async with reading(engine) as connection:
        waiting = await recomputations.read_next(connection, share.digests(), CANDIDATES)
    slices = touchpoints = 0
    for workspace, customer, model in waiting:
        if workspace in models:
            async with transaction(engine) as connection:
                touchpoints += await _run_slice(
                    connection, models, share, workspace, (customer, model), watermark_us, rows
                )
            slices += 1
        if clock() >= deadline:
            break
    return Aside(slices, touchpoints, bool(waiting))


async def _run_slice(
    connection: AsyncConnection,
    models: ModelsByWorkspace,
    share: Share,
    workspace: int,
    key: JourneyKey,
    watermark_us: int,
    rows: int,
) -> int:
    """Do the next slice of a journey; returns the number of touchpoints folded."""
    customer, model = key
    await lock_models(connection, {workspace}, models)
    identities = IdentityGraph(connection)
    await identities.lock([IdRequest(workspace, customer)])
    mark = (await recomputations.read_marks(connection, [customer])).get(key)
    if mark is None:
        return 0  # another member has ended it meanwhile
    active = next((active for active in models[workspace].models if active.id == model), None)
    if active is None:
        await journeys.delete_journeys(connection, [(customer, beside_of(model))])
        await recomputations.remove_mark(connection, mark)
        return 0
    row = identities.row(customer)
    members = {customer: row.name}
    if row.owner is None and row.members > 1:
        members |= (await identity.read_members(connection, [customer]))[customer]
    states = await journeys.read_journeys(connection, [customer])
    changes = ChangeSet(watermark_us)
    slice_ = _Slice(connection, changes, mark, active, members, states, rows, is_gone=row.owner is not None)
    await slice_.run()
    await apply_changes(connection, changes, share.partition)
    return slice_.touchpoints


class _Slice:
    """A piece of the pass of one journey, whose customer is locked."""

    def __init__(
        self,
        connection: AsyncConnection,
        changes: ChangeSet,
        mark: Mark,
        active: ActiveModel,
        members: Members,
        states: Mapping[JourneyKey, StoredJourney],
        rows: int,
        *,
        is_gone: bool,
    ) -> None:
        self._connection = connection
        self._changes = changes
        self._mark = mark
        self._active = active
        self._members = members
        self._beside_key = (mark.customer, beside_of(mark.model))
        stored = states.get(mark.key)
        self._journey = None if stored is None else stored.journey
        """The journey as it is counted."""
        self._beside = states.get(self._beside_key)
        """The journey as far as the pass has come."""
        self._is_gone = is_gone
        """Whether the customer's id belongs to another: nothing of the journey is to be left."""
        self._rows_left = rows
        self._is_done = False
        self.touchpoints = 0
        """Number of touchpoints folded."""

    async def run(self) -> None:
        """Go on until the slice is full or nothing is left to do."""
        steps = {
            Phase.WAITING: self._begin,
            Phase.FOLDING: self._fold,
            Phase.REMOVING: self._remove,
            Phase.ADDING: self._add,
            Phase.VANISHING: self._vanish,
        }
        while self._rows_left > 0 and not self._is_done:
            if self._is_gone:
                await self._give_up()
            await steps[self._mark.phase]()
        if self._is_done:
            await recomputations.remove_mark(self._connection, self._mark)
        else:
            await recomputations.write_progress(self._connection, self._mark, now_us())

    async def _give_up(self) -> None:
        """Begin to remove the journey: its customer's ids belong to another, so nothing needs to be computed.

        A removal under way ends first: milestones are told only by all transitions before.
        """
        if self._mark.phase not in (Phase.REMOVING, Phase.VANISHING):
            await journeys.delete_journeys(self._connection, [self._beside_key])
            self._mark = self._mark._replace(phase=Phase.VANISHING, milestones="")

    async def _begin(self) -> None:
        self._mark = self._mark._replace(phase=Phase.FOLDING, from_us=self._mark.changed_us, changed_us=NEVER)
        state = await self._start()
        transitions: tuple[Transition, ...] = ()
        if state is None and self._active.has_snapshots:
            snapshots = await read_snapshots(self._connection, sorted(self._members))
            snapshot = snapshot_of(self._members, self._active, snapshots)
            if snapshot is not None:
                state, transitions = snapshot.journey, snapshot.transitions
        if state is not None:
            await self._write_beside(Advanced(state, [*transitions], None, [], 0))
        self._mark = self._mark._replace(cursor=BEGINNING if state is None else state.last_key)

    async def _fold(self) -> None:
        """Fold the next touchpoints onto the journey beside."""
        following = await read_following(self._connection, self._members, self._mark.cursor, self._rows_left)
        state, since = (None, 0) if self._beside is None else self._beside
        touchpoints = await deduplicated(self._connection, self._members, state, following.touchpoints)
        watermark_us = self._changes.watermark_us if following.is_end else 0
        advanced = advance(
            self._active.model, state, touchpoints, watermark_us, since, has_trail=self._active.has_trails
        )
        await self._write_beside(advanced)
        self.touchpoints += len(following.touchpoints)
        self._rows_left -= len(following.touchpoints)
        if following.touchpoints:
            self._mark = self._mark._replace(cursor=following.touchpoints[-1].order_key)
        if following.is_end and self._beside is None:
            self._mark = self._mark._replace(phase=Phase.VANISHING, milestones="")
        elif following.is_end:
            self._mark = self._mark._replace(phase=Phase.REMOVING, milestones=_milestones_of(await self._start()))

    async def _remove(self) -> None:
        """Remove the next transitions of the old journey; after the last one the new journey takes its place."""
        start = await self._start()
        is_end = await self._take_back(BEGINNING if start is None else start.last_key, start)
        if is_end and self._is_gone:
            # What is left is whole from the beginning up to where the pass began.
            self._mark = self._mark._replace(phase=Phase.FOLDING)
        elif is_end:
            await self._replace_journey(start)

    async def _replace_journey(self, start: Journey | None) -> None:
        assert self._beside is not None  # or there would be nothing to add
        new, since = self._beside
        if self._journey is not None:
            self._changes.count_customer(self._active, self._journey, sign=-1)
        self._changes.count_customer(self._active, new, sign=1)
        self._changes.count_orders(self._mark.customer, self._active, self._journey, new)
        place = BEGINNING if start is None else start.last_key
        await journeys.replace_checkpoints(self._connection, self._mark.key, place)
        await self._write_journey(self._mark.model, new, since, due_us(self._active.model, new))
        self._journey = new
        self._mark = self._mark._replace(phase=Phase.ADDING, milestones=_milestones_of(start))

    async def _add(self) -> None:
        """Add the next transitions of the new journey."""
        assert self._journey is not None  # it has taken the old one's place
        start = await self._start()
        transitions, is_end = await self._next_transitions(self._beside_key, BEGINNING)
        if transitions:
            self._count(transitions, start, sign=1)
            await self._remove_transitions(self._beside_key, transitions)
            rows = [(*self._mark.key, *transition) for transition in transitions]
            await write_together(self._connection, journeys.transitions_to_write(rows))
        if is_end:
            await journeys.delete_journeys(self._connection, [self._beside_key])
            self._beside = None
            self._mark = self._mark._replace(phase=Phase.WAITING)
            self._is_done = self._mark.changed_us == NEVER

    async def _vanish(self) -> None:
        """Take back the next transitions of a journey of which nothing is left, and after the last one the journey."""
        if not await self._take_back(BEGINNING, None):
            return
        if self._journey is not None:
            self._changes.count_customer(self._active, self._journey, sign=-1)
            self._changes.count_orders(self._mark.customer, self._active, self._journey, None)
            self._journey = None
        await journeys.delete_journeys(self._connection, [self._mark.key])
        self._is_done = self._is_gone or self._mark.changed_us == NEVER
        # Or the customer is back.
        self._mark = self._mark._replace(phase=Phase.WAITING, changed_us=EVER)

    # --- rows ---------------------------------------------------------------------------------------------------------

    async def _start(self) -> Journey | None:
        """Returns the checkpoint after which the pass changes the journey; None: the beginning."""
        near = await journeys.read_checkpoints(self._connection, [(*self._mark.key, self._mark.from_us)], 0)
        return near[self._mark.key][0] if near else None

    async def _take_back(self, after: OrderKey, start: Journey | None) -> bool:
        """Remove the next transitions after a place; returns whether these were the last."""
        transitions, is_end = await self._next_transitions(self._mark.key, after)
        if transitions:
            self._count(transitions, start, sign=-1)
            await self._remove_transitions(self._mark.key, transitions)
        return is_end

    def _count(self, transitions: Sequence[Transition], start: Journey | None, *, sign: int) -> None:
        """Count the next transitions after `start`, and note what their milestones are."""
        journey = self._journey
        assert journey is not None  # there are transitions of it
        # Only at `start` can there be a lapse to return from: a piece does not end with one.
        state = (start or journey)._replace(milestones=self._mark.milestones)
        self._changes.count_stretch(self._active, journey, state, transitions, sign=sign)
        self._mark = self._mark._replace(milestones=milestones.after(self._mark.milestones, transitions))

    async def _next_transitions(self, key: JourneyKey, after: OrderKey) -> tuple[list[Transition], bool]:
        """Returns the next transitions, and whether these are the last. A lapse and its return stay together."""
        count = max(2, self._rows_left)
        transitions = await journeys.read_next_transitions(self._connection, key, after, count + 1)
        is_end = len(transitions) <= count
        del transitions[count:]
        while not is_end and transitions[-1].kind == LAPSE:
            del transitions[-1]
        self._rows_left -= len(transitions)
        return transitions, is_end

    async def _remove_transitions(self, key: JourneyKey, transitions: Sequence[Transition]) -> None:
        await journeys.remove_transitions(self._connection, [(*key, *t[:5]) for t in transitions])

    async def _write_beside(self, advanced: Advanced) -> None:
        if advanced.journey is None:
            return
        key = self._beside_key
        self._beside = StoredJourney(advanced.journey, advanced.since)
        await self._write_journey(key[1], advanced.journey, advanced.since, NEVER)
        # One before the change would be taken for the start of the pass.
        checkpoints = [(*key, *state) for state in advanced.checkpoints if state.last_us >= self._mark.from_us]
        transitions = sorted((*key, *transition) for transition in advanced.transitions)
        await write_together(
            self._connection,
            [*journeys.transitions_to_write(transitions), *journeys.checkpoints_to_write(checkpoints)],
        )

    async def _write_journey(self, model: int, journey: Journey, since: int, look_us: int) -> None:
        customer = self._mark.customer
        row = (customer, model, self._members[customer], since, look_us, *journey)
        await write_together(self._connection, journeys.journeys_to_write([row], exact=True))


def _milestones_of(start: Journey | None) -> str:
    return "" if start is None else start.milestones
