"""The re-fold path: customers whose past has changed, folded again from the nearest checkpoint before the change.

A long history is folded in stretches from one old checkpoint to a later one. Where the new state meets the old one
behind the last change, everything after it stays as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.changes import Applied, Customer, Members, Plan, after, upto
from services.stager.stage.dedup import counted
from throughline.journey.checkpoint import advance
from throughline.journey.lapse import EVER, NEVER
from throughline.journey.snapshot import Snapshot, merge
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.store import facts, journeys
from throughline.store.journeys import JourneyKey, StoredJourney
from throughline.store.snapshots import read_snapshots

BEGINNING: OrderKey = (EVER, "", "")
END: OrderKey = (NEVER, "", "")

_NOBODY: Mapping[bytes, bytes] = {}


class Again(NamedTuple):
    """A customer to fold again."""

    customer: Customer
    members: Members
    since: OrderKey
    """The first that changed: a touchpoint's place, or BEGINNING."""
    through: OrderKey = END
    """The last that changed: up to it no state met is one that everything went into. END when it is not known."""
    former: Mapping[bytes, bytes] = _NOBODY
    """Whose those ids were that have moved: digest -> customer."""


async def refold(
    connection: AsyncConnection, plan: Plan, again: Sequence[Again], states: Mapping[JourneyKey, StoredJourney]
) -> int:
    """Fold some customers again; how many touchpoints were read for it.

    Args:
        connection: within the transaction that holds them.
        plan: what is added to.
        again: who.
        states: their journeys as they are stored.
    """
    if not again:
        return 0
    read = 0
    marks = await journeys.read_checkpoints(connection, [one.customer.digest for one in again])
    old = {m for one in again if any(applied.has_snapshots for applied in one.customer.applied) for m in one.members}
    snapshots = await read_snapshots(connection, sorted(old)) if old else {}
    brief: list[_Task] = []
    for one in again:
        for applied in one.customer.applied:
            key = (one.customer.digest, applied.id)
            task = _Task(one, applied, states, marks.get(key, []), snapshot_of(one.members, applied, snapshots))
            if task.later:
                read += await _fold_long(connection, plan, task)
            else:
                brief.append(task)
    return read + await _fold_brief(connection, plan, brief)


def snapshot_of(members: Members, applied: Applied, snapshots: Mapping[JourneyKey, Snapshot]) -> Snapshot | None:
    """What a customer begins with under a model when the first facts of some of its ids are gone."""
    return merge(snapshots[member, applied.id] for member in members if (member, applied.id) in snapshots)


class _Task:
    """One journey to fold again: where from, and the checkpoints that may no longer hold."""

    def __init__(
        self,
        again: Again,
        applied: Applied,
        states: Mapping[JourneyKey, StoredJourney],
        marks: list[Journey],
        snapshot: Snapshot | None,
    ) -> None:
        self.customer = again.customer
        self.members = again.members
        self.applied = applied
        stored = states.get(self.key)
        self.before = None if stored is None else stored.journey
        self.before_since = 0 if stored is None else stored.since
        earlier = [mark for mark in marks if mark.last_key < again.since]
        self.start = earlier[-1] if earlier else None
        """The checkpoint to fold on from. None: anew, from what the customer began with if its first facts are gone."""
        anew = snapshot if self.start is None else None
        self.origin = self.start if anew is None else anew.journey
        self.given = () if anew is None else anew.transitions
        self.later = marks[len(earlier) :]
        self.through = again.through
        # A generation that is being filled has counted the facts of those ids whose customer had a journey in it.
        own = self.customer.digest
        self.uncounted = [
            member
            for member in self.members
            if applied.filling and (again.former.get(member, own), applied.id) not in states
        ]

    @property
    def key(self) -> JourneyKey:
        return (self.customer.digest, self.applied.id)


async def _fold_brief(connection: AsyncConnection, plan: Plan, tasks: Sequence[_Task]) -> int:
    """Journeys without checkpoints to meet: all read at once."""
    if not tasks:
        return 0
    spans: dict[bytes, int] = {}
    for task in tasks:
        from_us = EVER if task.origin is None else task.origin.last_us
        for member in task.members:
            spans[member] = min(spans.get(member, from_us), from_us)
    names = {digest: name for task in tasks for digest, name in task.members.items()}
    history = await facts.read_history(connection, ((m, us, NEVER) for m, us in sorted(spans.items())), names)
    old = await journeys.read_transitions(
        connection,
        sorted((*task.key, EVER if task.start is None else task.start.last_us) for task in tasks if task.before),
    )
    for task in tasks:
        found = [t for member in task.members for t in history.get(member, ())]
        # Read whole: an id that came has nothing before `since`, from whose checkpoint on all is read.
        for member in task.uncounted:
            plan.note_unmapped([task.applied], history.get(member, ()))
        touchpoints = await counted(connection, task.members, task.origin, found)
        _finish(plan, task, old.get(task.key, []), touchpoints)
    return sum(map(len, history.values()))


async def _fold_long(connection: AsyncConnection, plan: Plan, task: _Task) -> int:
    """A journey with checkpoints after the change: stretch by stretch, each twice as long as the one before."""
    if task.uncounted:
        spans = [(member, EVER, NEVER) for member in sorted(task.uncounted)]
        for facts_of in (await facts.read_history(connection, spans, task.members)).values():
            plan.note_unmapped([task.applied], facts_of)
    start = task.start
    from_us = EVER if start is None else start.last_us
    old = (await journeys.read_transitions(connection, [(*task.key, from_us)])).get(task.key, [])
    if start is not None:
        old = after(old, start.last_key)
    state, since = task.origin, 0
    new: list[Transition] = [*task.given]
    marks: list[Journey] = []
    passed = read = 0
    stretch = 1
    while passed < len(task.later):
        passed = min(passed + stretch, len(task.later))
        stretch *= 2
        meeting = task.later[passed - 1]
        found = await _between(connection, task, state, meeting.last_us)
        touchpoints = [t for t in await counted(connection, task.members, state, found) if t[:3] <= meeting.last_key]
        read += len(touchpoints)
        done = advance(task.applied.model, state, touchpoints, 0, since)
        state, since = done.journey, done.since
        new += done.transitions
        marks += done.checkpoints
        if state == meeting and meeting.last_key >= task.through:
            assert task.before is not None  # a checkpoint is of a journey
            plan.drop_checkpoints(task.customer, task.applied, task.later[:passed])
            marks = [*(mark for mark in marks if mark != meeting), meeting]
            plan.replace(
                *(task.customer, task.applied, start, task.before, upto(old, meeting.last_key)),
                *(task.before, new, marks, task.before_since),
            )
            return read
    found = await _between(connection, task, state, NEVER)
    touchpoints = await counted(connection, task.members, state, found)
    read += len(touchpoints)
    done = advance(task.applied.model, state, touchpoints, plan.watermark_us, since)
    if done.journey is None:
        _vanish(plan, task, old)
        return read
    plan.drop_checkpoints(task.customer, task.applied, task.later)
    plan.replace(
        *(task.customer, task.applied, start, task.before, old),
        *(done.journey, new + done.transitions, marks + done.checkpoints, done.since),
    )
    return read


def _finish(plan: Plan, task: _Task, old: list[Transition], touchpoints: list[Touchpoint]) -> None:
    start = task.start
    if start is not None:
        old = after(old, start.last_key)
    done = advance(task.applied.model, task.origin, touchpoints, plan.watermark_us)
    if done.journey is None:
        _vanish(plan, task, old)
        return
    plan.replace(
        *(task.customer, task.applied, start, task.before, old),
        *(done.journey, [*task.given, *done.transitions], done.checkpoints, done.since),
    )


def _vanish(plan: Plan, task: _Task, old: list[Transition]) -> None:
    """Nothing is left of a customer: all it did belongs to others now."""
    if task.before is not None:
        plan.retract(task.customer.digest, task.applied, task.before, old)


async def _between(connection: AsyncConnection, task: _Task, state: Journey | None, to_us: int) -> Iterable[Touchpoint]:
    from_us = EVER if state is None else state.last_us
    spans = [(member, from_us, to_us) for member in sorted(task.members)]
    history = await facts.read_history(connection, spans, task.members)
    return (t for touchpoints in history.values() for t in touchpoints)
