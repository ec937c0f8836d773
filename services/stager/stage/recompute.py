"""Recomputing: journeys whose history has changed are folded again, from the nearest checkpoint before the change.

A long history is folded in stretches from one stored checkpoint to a later one. Where the new state equals the stored
checkpoint and no change lies behind it, everything after it stays as it is.
"""

from collections.abc import Mapping, Sequence

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
    """One journey to recompute: where it begins, how far it has come, and the checkpoints that it may meet."""

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
        self.active = active
        self.members = update.members
        self.changed_until = update.changed_until
        stored = states.get(self.key)
        self.old_journey = None if stored is None else stored.journey
        self.old_since = 0 if stored is None else stored.since
        earlier = [checkpoint for checkpoint in checkpoints if checkpoint.last_key < update.changed_from]
        self.later_checkpoints = checkpoints[len(earlier) :]
        self.start = earlier[-1] if earlier else None
        """The checkpoint to begin with; None: the beginning."""
        # A model that is being backfilled has counted the events of an id only if its customer had a journey.
        self.uncounted_ids = [
            digest
            for digest in self.members
            if active.backfilling and (update.owner_before(digest), active.id) not in states
        ]
        self.state = self.start
        """How far the journey has come. At the beginning: the state of the customer's snapshot, if there is one."""
        self.since = 0
        self.transitions: list[Transition] = []
        """Transitions since `start`; at first those of the snapshot."""
        self.checkpoints: list[Journey] = []
        """Checkpoints since `start`."""
        if self.start is None and snapshot is not None:
            self.state = snapshot.journey
            self.transitions += snapshot.transitions

    @property
    def key(self) -> JourneyKey:
        return (self.customer.digest, self.active.id)

    @property
    def read_from_us(self) -> int:
        """The instant from which on facts follow `state`."""
        return EVER if self.state is None else self.state.last_us

    @property
    def old_transitions_from_us(self) -> int:
        """The instant from which on stored transitions are read; `after_start` says which of these count."""
        return EVER if self.start is None else self.start.last_us

    def after_start(self, transitions: Sequence[Transition]) -> Sequence[Transition]:
        """Returns the transitions that came after `start`."""
        return transitions if self.start is None else transitions_after(transitions, self.start.last_key)

    def advance(self, touchpoints: Sequence[Touchpoint], watermark_us: int = 0) -> None:
        """Fold touchpoints onto the state, and let the clock pass to the watermark."""
        advanced = advance(self.active.model, self.state, touchpoints, watermark_us, self.since)
        self.state, self.since = advanced.journey, advanced.since
        self.transitions += advanced.transitions
        self.checkpoints += advanced.checkpoints

    def put_end(self, changes: ChangeSet, old_transitions: Sequence[Transition]) -> None:
        """Put the journey, recomputed to its end, into a change set. `old_transitions`: all stored after `start`."""
        if self.state is None:
            # Nothing is left of the customer: all that it did belongs to others.
            if self.old_journey is not None:
                changes.retract(self.customer.digest, self.active, self.old_journey, old_transitions)
            return
        changes.remove_checkpoints(self.customer, self.active, self.later_checkpoints)
        changes.replace(
            self.customer,
            self.active,
            start=self.start,
            old_journey=self.old_journey,
            old_transitions=old_transitions,
            new_journey=self.state,
            new_transitions=self.transitions,
            checkpoints=self.checkpoints,
            since=self.since,
        )

    def put_until(self, changes: ChangeSet, number: int, old_transitions: Sequence[Transition]) -> None:
        """Put the journey, recomputed up to where it meets a later checkpoint, into a change set.

        Args:
            changes: takes what changes.
            number: how many later checkpoints are passed; the state equals the last of them.
            old_transitions: all stored after `start`.
        """
        assert self.old_journey is not None  # a checkpoint is of a journey
        passed = self.later_checkpoints[:number]
        target = passed[-1]
        changes.remove_checkpoints(self.customer, self.active, passed)
        changes.replace(
            self.customer,
            self.active,
            start=self.start,
            old_journey=self.old_journey,
            old_transitions=transitions_until(old_transitions, target.last_key),
            new_journey=self.old_journey,
            new_transitions=self.transitions,
            checkpoints=[*(checkpoint for checkpoint in self.checkpoints if checkpoint != target), target],
            since=self.old_since,
        )


async def _recompute_whole(connection: AsyncConnection, changes: ChangeSet, tasks: Sequence[Recompute]) -> int:
    """Recompute journeys without checkpoints after the change. All facts are read at once."""
    if not tasks:
        return 0
    spans: dict[bytes, int] = {}
    for task in tasks:
        for digest in task.members:
            spans[digest] = min(spans.get(digest, task.read_from_us), task.read_from_us)
    names = {digest: name for task in tasks for digest, name in task.members.items()}
    history = await facts.read_history(
        connection, ((digest, from_us, NEVER) for digest, from_us in sorted(spans.items())), names
    )
    stored = await journeys.read_transitions(
        connection, sorted((*task.key, task.old_transitions_from_us) for task in tasks if task.old_journey is not None)
    )
    for task in tasks:
        # All events of an uncounted id are read: it joined, and the change begins at its first fact.
        for digest in task.uncounted_ids:
            changes.count_unmapped(task.active, history.get(digest, ()))
        touchpoints = [t for digest in task.members for t in history.get(digest, ())]
        task.advance(await deduplicated(connection, task.members, task.state, touchpoints), changes.watermark_us)
        task.put_end(changes, task.after_start(stored.get(task.key, ())))
    return sum(map(len, history.values()))


async def _recompute_stretches(connection: AsyncConnection, changes: ChangeSet, task: Recompute) -> int:
    """Recompute a journey with checkpoints after the change, each stretch of these twice as long as the one before."""
    if task.uncounted_ids:
        spans = [(digest, EVER, NEVER) for digest in sorted(task.uncounted_ids)]
        for events in (await facts.read_history(connection, spans, task.members)).values():
            changes.count_unmapped(task.active, events)
    stored = await journeys.read_transitions(connection, [(*task.key, task.old_transitions_from_us)])
    old_transitions = task.after_start(stored.get(task.key, ()))
    touchpoints_read = passed = 0
    stretch = 1
    while passed < len(task.later_checkpoints):
        passed = min(passed + stretch, len(task.later_checkpoints))
        stretch *= 2
        target = task.later_checkpoints[passed - 1]
        following = await _read_following(connection, task, until_us=target.last_us)
        touchpoints = [t for t in following if t.order_key <= target.last_key]
        touchpoints_read += len(touchpoints)
        task.advance(touchpoints)
        if task.state == target and target.last_key >= task.changed_until:
            task.put_until(changes, passed, old_transitions)
            return touchpoints_read
    touchpoints = await _read_following(connection, task, until_us=NEVER)
    task.advance(touchpoints, changes.watermark_us)
    task.put_end(changes, old_transitions)
    return touchpoints_read + len(touchpoints)


async def _read_following(connection: AsyncConnection, task: Recompute, *, until_us: int) -> list[Touchpoint]:
    """Returns the touchpoints to fold onto the state of a journey, up to `until_us`."""
    spans = [(digest, task.read_from_us, until_us) for digest in sorted(task.members)]
    history = await facts.read_history(connection, spans, task.members)
    touchpoints = (t for events in history.values() for t in events)
    return await deduplicated(connection, task.members, task.state, touchpoints)
