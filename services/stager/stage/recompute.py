"""Recomputing: journeys whose history has changed are folded again, from the nearest checkpoint before the change.

A long history is folded in stretches from one stored checkpoint to a later one. Where the new state equals the stored
checkpoint and no change lies behind it, everything after it stays as it is.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.changes import ChangeSet, transitions_after, transitions_until
from services.stager.stage.customer import CustomerUpdate, Members
from services.stager.stage.dedup import deduplicated
from services.stager.stage.models import ActiveModel
from throughline.journey.checkpoint import advance
from throughline.journey.lapse import EVER, NEVER
from throughline.journey.snapshot import Snapshot, merge
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts, journeys
from throughline.store.journeys import JourneyKey, StoredJourney
from throughline.store.snapshots import read_snapshots


async def recompute(
    connection: AsyncConnection,
    changes: ChangeSet,
    updates: Sequence[CustomerUpdate],
    states: Mapping[JourneyKey, StoredJourney],
) -> int:
    """Recompute the journeys of some customers into a change set.

    Args:
        connection: within the transaction that holds the locks on the customers' ids.
        changes: takes what changes.
        updates: the customers, each with the place its history changed from.
        states: the stored journeys of these customers, and of those that ids were moved from.

    Returns:
        the number of touchpoints read.
    """
    if not updates:
        return 0
    checkpoints = await journeys.read_checkpoints(connection, [update.customer.digest for update in updates])
    with_snapshots = [u for u in updates if any(active.has_snapshots for active in u.customer.models)]
    ids = {digest for update in with_snapshots for digest in update.members}
    snapshots = await read_snapshots(connection, sorted(ids)) if ids else {}
    touchpoints_read = 0
    short: list[Recompute] = []
    for update in updates:
        for active in update.customer.models:
            task = Recompute(
                update,
                active,
                states,
                checkpoints.get((update.customer.digest, active.id), []),
                snapshot_of(update.members, active, snapshots),
            )
            if task.later_checkpoints:
                touchpoints_read += await _recompute_stretches(connection, changes, task)
            else:
                short.append(task)
    return touchpoints_read + await _recompute_whole(connection, changes, short)


def snapshot_of(members: Members, active: ActiveModel, snapshots: Mapping[JourneyKey, Snapshot]) -> Snapshot | None:
    """Returns what is left of a customer's history before the retention cutoff; None when nothing was before it."""
    return merge(snapshots[digest, active.id] for digest in members if (digest, active.id) in snapshots)


class Recompute:
    """One journey to recompute: the state to begin with, and the checkpoints that may no longer hold."""

    def __init__(
        self,
        update: CustomerUpdate,
        active: ActiveModel,
        states: Mapping[JourneyKey, StoredJourney],
        checkpoints: Sequence[Journey],
        snapshot: Snapshot | None,
    ) -> None:
        assert update.changed_from is not None
        self.customer = update.customer
        self.members = update.members
        self.active = active
        self.changed_until = update.changed_until
        stored = states.get(self.key)
        self.old_journey = None if stored is None else stored.journey
        self.old_since = 0 if stored is None else stored.since
        earlier = [checkpoint for checkpoint in checkpoints if checkpoint.last_key < update.changed_from]
        self.later_checkpoints = checkpoints[len(earlier) :]
        self.start = earlier[-1] if earlier else None
        """The checkpoint to begin with; None: the beginning."""
        self.initial_state = self.start
        """The state to begin with: that of the customer's snapshot at the beginning."""
        self.initial_transitions: Sequence[Transition] = ()
        """The transitions of that snapshot."""
        if self.start is None and snapshot is not None:
            self.initial_state, self.initial_transitions = snapshot
        # A model that is being backfilled has counted the events of an id only if its customer had a journey.
        self.uncounted_ids = [
            digest
            for digest in self.members
            if active.backfilling and (update.owner_before(digest), active.id) not in states
        ]

    @property
    def key(self) -> JourneyKey:
        return (self.customer.digest, self.active.id)

    @property
    def from_us(self) -> int:
        """From when on facts are read."""
        return EVER if self.initial_state is None else self.initial_state.last_us

    @property
    def transitions_from_us(self) -> int:
        """From when on stored transitions are read."""
        return EVER if self.start is None else self.start.last_us

    def old_transitions(self, transitions: Sequence[Transition]) -> Sequence[Transition]:
        """Returns those of the stored transitions, read from `transitions_from_us`, that came after `start`."""
        return transitions if self.start is None else transitions_after(transitions, self.start.last_key)


async def _recompute_whole(connection: AsyncConnection, changes: ChangeSet, tasks: Sequence[Recompute]) -> int:
    """Recompute journeys without checkpoints after the change. All facts are read at once."""
    if not tasks:
        return 0
    spans: dict[bytes, int] = {}
    for task in tasks:
        for digest in task.members:
            spans[digest] = min(spans.get(digest, task.from_us), task.from_us)
    names = {digest: name for task in tasks for digest, name in task.members.items()}
    history = await facts.read_history(
        connection, ((digest, from_us, NEVER) for digest, from_us in sorted(spans.items())), names
    )
    old_transitions = await journeys.read_transitions(
        connection, sorted((*task.key, task.transitions_from_us) for task in tasks if task.old_journey is not None)
    )
    for task in tasks:
        # All of an uncounted id is read: it joined, and the change begins at its first fact.
        for digest in task.uncounted_ids:
            changes.count_unmapped([task.active], history.get(digest, ()))
        touchpoints = await deduplicated(
            connection,
            task.members,
            task.initial_state,
            [t for digest in task.members for t in history.get(digest, ())],
        )
        _put_end(
            changes,
            task,
            state=task.initial_state,
            since=0,
            touchpoints=touchpoints,
            old_transitions=task.old_transitions(old_transitions.get(task.key, ())),
            new_transitions=[*task.initial_transitions],
            checkpoints=[],
        )
    return sum(map(len, history.values()))


async def _recompute_stretches(connection: AsyncConnection, changes: ChangeSet, task: Recompute) -> int:
    """Recompute a journey with checkpoints after the change, each stretch of these twice as long as the one before."""
    if task.uncounted_ids:
        spans = [(digest, EVER, NEVER) for digest in sorted(task.uncounted_ids)]
        for touchpoints in (await facts.read_history(connection, spans, task.members)).values():
            changes.count_unmapped([task.active], touchpoints)
    stored = await journeys.read_transitions(connection, [(*task.key, task.transitions_from_us)])
    old_transitions = task.old_transitions(stored.get(task.key, ()))
    state, since = task.initial_state, 0
    new_transitions = [*task.initial_transitions]
    checkpoints: list[Journey] = []
    touchpoints_read = passed = 0
    stretch = 1
    while passed < len(task.later_checkpoints):
        passed = min(passed + stretch, len(task.later_checkpoints))
        stretch *= 2
        target = task.later_checkpoints[passed - 1]
        touchpoints = [
            t
            for t in await _read_after(connection, task, state, until_us=target.last_us)
            if t.order_key <= target.last_key
        ]
        touchpoints_read += len(touchpoints)
        advanced = advance(task.active.model, state, touchpoints, 0, since)
        state, since = advanced.journey, advanced.since
        new_transitions += advanced.transitions
        checkpoints += advanced.checkpoints
        if state == target and target.last_key >= task.changed_until:
            assert task.old_journey is not None  # a checkpoint is of a journey
            changes.remove_checkpoints(task.customer, task.active, task.later_checkpoints[:passed])
            changes.replace(
                task.customer,
                task.active,
                start=task.start,
                old_journey=task.old_journey,
                old_transitions=transitions_until(old_transitions, target.last_key),
                new_journey=task.old_journey,
                new_transitions=new_transitions,
                checkpoints=[*(checkpoint for checkpoint in checkpoints if checkpoint != target), target],
                since=task.old_since,
            )
            return touchpoints_read
    touchpoints = await _read_after(connection, task, state, until_us=NEVER)
    _put_end(
        changes,
        task,
        state=state,
        since=since,
        touchpoints=touchpoints,
        old_transitions=old_transitions,
        new_transitions=new_transitions,
        checkpoints=checkpoints,
    )
    return touchpoints_read + len(touchpoints)


def _put_end(
    changes: ChangeSet,
    task: Recompute,
    *,
    state: Journey | None,
    since: int,
    touchpoints: Sequence[Touchpoint],
    old_transitions: Sequence[Transition],
    new_transitions: Sequence[Transition],
    checkpoints: Sequence[Journey],
) -> None:
    """Fold the last stretch up to the watermark, and put the whole into the change set."""
    advanced = advance(task.active.model, state, touchpoints, changes.watermark_us, since)
    if advanced.journey is None:
        # Nothing is left of the customer: all that it did belongs to others.
        if task.old_journey is not None:
            changes.retract(task.customer.digest, task.active, task.old_journey, old_transitions)
        return
    changes.remove_checkpoints(task.customer, task.active, task.later_checkpoints)
    changes.replace(
        task.customer,
        task.active,
        start=task.start,
        old_journey=task.old_journey,
        old_transitions=old_transitions,
        new_journey=advanced.journey,
        new_transitions=[*new_transitions, *advanced.transitions],
        checkpoints=[*checkpoints, *advanced.checkpoints],
        since=advanced.since,
    )


async def _read_after(
    connection: AsyncConnection, task: Recompute, state: Journey | None, *, until_us: int
) -> list[Touchpoint]:
    """Returns the touchpoints to fold onto `state`, up to `until_us`."""
    from_us = EVER if state is None else state.last_us
    spans = [(digest, from_us, until_us) for digest in sorted(task.members)]
    history = await facts.read_history(connection, spans, task.members)
    touchpoints: Iterable[Touchpoint] = (t for of_id in history.values() for t in of_id)
    return await deduplicated(connection, task.members, state, touchpoints)
