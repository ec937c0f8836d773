"""Recomputing: journeys whose history has changed are folded again, from the nearest checkpoint before the change.

A long history is folded in stretches from one stored checkpoint to a later one. Where the new state equals the stored
checkpoint and no change lies behind it, everything after it stays as it is. What the budget of the transaction has no
room for is left as it was, to be recomputed aside.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Container, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.aside import LeftAside
from services.stager.stage.budget import Budget
from services.stager.stage.changes import ChangeSet, transitions_after, transitions_until
from services.stager.stage.customer import CustomerUpdate, Members
from services.stager.stage.dedup import deduplicated
from services.stager.stage.models import ActiveModel
from throughline.journey import checkpoint
from throughline.journey.checkpoint import advance
from throughline.journey.lapse import EVER, NEVER
from throughline.journey.snapshot import Snapshot, merge
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts, journeys
from throughline.store.journeys import JourneyKey, StoredJourney
from throughline.store.snapshots import read_snapshots

TOGETHER = 500
"""Number of touchpoints from which on something else may run before the next journey is folded."""
TOO_LARGE = 2**62
"""More touchpoints than any budget has room for."""


class Recomputed(NamedTuple):
    """What a recompute did."""

    touchpoints: int
    """Number read."""
    left: list[LeftAside]
    """Journeys that the budget had no room for: nothing of them has changed."""


async def recompute(
    connection: AsyncConnection,
    changes: ChangeSet,
    updates: Sequence[CustomerUpdate],
    states: Mapping[JourneyKey, StoredJourney],
    counted: Container[JourneyKey],
    budget: Budget,
) -> Recomputed:
    """Recompute the journeys of some customers into a change set: the shortest first, as far as the budget reaches.

    Args:
        connection: within the transaction that holds the locks on the customers' ids.
        changes: takes what changes.
        updates: the customers, each with the place its history changed from.
        states: the stored journeys of these customers, and of those that ids were moved from.
        counted: see `CustomerUpdate.uncounted_ids`.
        budget: of the transaction.
    """
    if not updates:
        return Recomputed(0, [])
    tasks = await tasks_of(connection, updates, states, counted, budget)
    short: list[Recompute] = []
    left: list[Recompute] = []
    for rows, task in sorted(tasks, key=itemgetter(0)):
        if not budget.has_room(read=rows):
            left.append(task)
            continue
        budget.spend(read=rows)
        if not task.later_checkpoints:
            short.append(task)
        elif not await _recompute_stretches(connection, changes, task, budget):
            left.append(task)
    left += await recompute_whole(connection, changes, short, budget)
    return Recomputed(sum(task.touchpoints_read for _, task in tasks), [task.left_aside for task in left])


async def tasks_of(
    connection: AsyncConnection,
    updates: Sequence[CustomerUpdate],
    states: Mapping[JourneyKey, StoredJourney],
    counted: Container[JourneyKey],
    budget: Budget,
) -> list[tuple[int, "Recompute"]]:
    """Returns the journeys of some customers that are to be recomputed, each with the number of rows read for it, at
    most. Arguments as of `recompute`."""
    sizes = await _Sizes.read(connection, updates, states, budget.checkpoints)
    with_snapshots = [u for u in updates if any(active.has_snapshots for active in u.customer.models)]
    ids = {digest for update in with_snapshots for digest in update.members}
    snapshots = await read_snapshots(connection, sorted(ids)) if ids else {}
    tasks: list[tuple[int, Recompute]] = []
    for update in updates:
        rows = sizes.of_update(update)
        for active in update.customer.models:
            snapshot = snapshot_of(update.members, active, snapshots)
            near = sizes.checkpoints.get((update.customer.digest, active.id), [])
            task = Recompute(update, active, states, near, snapshot, update.uncounted_ids(active, counted))
            tasks.append((rows, task))
    return tasks


def snapshot_of(members: Members, active: ActiveModel, snapshots: Mapping[JourneyKey, Snapshot]) -> Snapshot | None:
    """Returns what is left of a customer's history before the retention cutoff; None when nothing was before it."""
    return merge(snapshots[digest, active.id] for digest in members if (digest, active.id) in snapshots)


class _Sizes:
    """How many touchpoints customers have from a change on, at most: told by their journeys, before any is read."""

    def __init__(
        self,
        states: Mapping[JourneyKey, StoredJourney],
        from_us: Mapping[JourneyKey, int],
        checkpoints: Mapping[JourneyKey, Sequence[Journey]],
        max_checkpoints: int,
    ) -> None:
        self._max_checkpoints = max_checkpoints
        self._stored = states.keys()
        self.checkpoints = checkpoints
        """The last one before each change, and the next ones."""
        self._of_customer: defaultdict[bytes, int] = defaultdict(int)
        for key, near in from_us.items():
            later = sum(state.last_us >= near for state in checkpoints.get(key, ()))
            size = later * checkpoint.EVERY + (states[key].since if key in states else 0)
            self._of_customer[key[0]] = max(self._of_customer[key[0]], size)

    @classmethod
    async def read(
        cls,
        connection: AsyncConnection,
        updates: Sequence[CustomerUpdate],
        states: Mapping[JourneyKey, StoredJourney],
        max_checkpoints: int,
    ) -> "_Sizes":
        """Read the checkpoints near the changes, and those of customers from which ids have joined."""
        from_us: dict[JourneyKey, int] = {}
        for update in updates:
            assert update.changed_from is not None
            for active in update.customer.models:
                from_us[update.customer.digest, active.id] = update.changed_from[0]
        # A journey that is not stored yet is as large as the customer's under another model.
        others = {owner for update in updates for owner in update.previous_owner.values()}
        others |= {digest for digest, model in from_us if (digest, model) not in states}
        from_us = {key: EVER for key in states if key[0] in others and key[1] > 0} | from_us
        near = sorted((*key, us) for key, us in from_us.items())
        checkpoints = await journeys.read_checkpoints(connection, near, max_checkpoints)
        return cls(states, from_us, checkpoints, max_checkpoints)

    def of_update(self, update: CustomerUpdate) -> int:
        """Returns how many rows are read to recompute a customer, at most: touchpoints, and ids to look these up by."""
        if update.is_of_unknown_size:
            return TOO_LARGE
        digest = update.customer.digest
        joined = [self._of_customer[owner] for owner in {*update.previous_owner.values()} - {digest}]
        before = self._of_customer[digest]
        # What is stored under a model has checkpoints of its own to go on from.
        is_stored = all((digest, active.id) in self._stored for active in update.customer.models)
        if max(joined if is_stored else [*joined, before], default=0) >= self._max_checkpoints * checkpoint.EVERY:
            return TOO_LARGE
        touchpoints = before + sum(joined) + len(update.touchpoints)
        return touchpoints + len(update.members)


class Recompute:
    """One journey to recompute: where it begins, how far it has come, and the checkpoints that it may meet."""

    def __init__(
        self,
        update: CustomerUpdate,
        active: ActiveModel,
        states: Mapping[JourneyKey, StoredJourney],
        checkpoints: Sequence[Journey],
        snapshot: Snapshot | None,
        uncounted_ids: Collection[bytes],
    ) -> None:
        assert update.changed_from is not None
        self.customer = update.customer
        self.active = active
        self.members = update.members
        self.changed_from = update.changed_from
        self.changed_until = update.changed_until
        self.uncounted_ids = uncounted_ids
        stored = states.get(self.key)
        self.old_journey = None if stored is None else stored.journey
        self.old_since = 0 if stored is None else stored.since
        earlier = [state for state in checkpoints if state.last_key < update.changed_from]
        self.later_checkpoints = checkpoints[len(earlier) :]
        self.checkpoints_read = sum(state.last_us >= update.changed_from[0] for state in checkpoints)
        """Number of checkpoints read that are not before the change; if it is the maximum, there may be more."""
        self.start = earlier[-1] if earlier else None
        """The checkpoint to begin with; None: the beginning."""
        self.state = self.start
        """How far the journey has come. At the beginning: the state of the customer's snapshot, if there is one."""
        self.since = 0
        self.transitions: list[Transition] = []
        """Transitions since `start`; at first those of the snapshot."""
        self.checkpoints: list[Journey] = []
        """Checkpoints since `start`."""
        self.touchpoints_read = 0
        if self.start is None and snapshot is not None:
            self.state = snapshot.journey
            self.transitions += snapshot.transitions

    @property
    def key(self) -> JourneyKey:
        return (self.customer.digest, self.active.id)

    @property
    def left_aside(self) -> LeftAside:
        """The journey as one that is recomputed aside."""
        return LeftAside(self.customer, self.active, self.changed_from[0], self.uncounted_ids)

    @property
    def read_from_us(self) -> int:
        """The instant from which on facts follow `state`."""
        return EVER if self.state is None else self.state.last_us

    def old_transitions_span(self, until_us: int = NEVER) -> tuple[bytes, int, int, int]:
        """Returns which stored transitions are read; `after_start` says which of these count."""
        return (*self.key, EVER if self.start is None else self.start.last_us, until_us)

    def after_start(self, transitions: Sequence[Transition]) -> Sequence[Transition]:
        """Returns the transitions that came after `start`."""
        return transitions if self.start is None else transitions_after(transitions, self.start.last_key)

    def advance(self, touchpoints: Sequence[Touchpoint], watermark_us: int = 0) -> None:
        """Fold touchpoints onto the state, and let the clock pass to the watermark."""
        advanced = advance(
            self.active.model, self.state, touchpoints, watermark_us, self.since, has_trail=self.active.has_trails
        )
        self.state, self.since = advanced.journey, advanced.since
        self.transitions += advanced.transitions
        self.checkpoints += advanced.checkpoints
        self.touchpoints_read += len(touchpoints)

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
            old_transitions: all stored after `start`, up to that checkpoint at least.
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
            checkpoints=[*(state for state in self.checkpoints if state != target), target],
            since=self.old_since,
        )


async def recompute_whole(
    connection: AsyncConnection, changes: ChangeSet, tasks: Sequence[Recompute], budget: Budget
) -> list[Recompute]:
    """Recompute journeys without checkpoints after the change, whose facts are read at once; returns those left."""
    if not tasks:
        return []
    spans: dict[bytes, int] = {}
    for task in tasks:
        for digest in task.members:
            spans[digest] = min(spans.get(digest, task.read_from_us), task.read_from_us)
    names = {digest: name for task in tasks for digest, name in task.members.items()}
    history = await facts.read_history(
        connection, ((digest, from_us, NEVER) for digest, from_us in sorted(spans.items())), names
    )
    stored = await journeys.read_transitions(
        connection, sorted(task.old_transitions_span() for task in tasks if task.old_journey is not None)
    )
    left: list[Recompute] = []
    folded = 0
    for task in tasks:
        if folded >= TOGETHER:
            await asyncio.sleep(0)  # so that folding many does not hold the loop
            folded = 0
        if not budget.has_room():
            left.append(task)
            continue
        touchpoints = [t for digest in task.members for t in history.get(digest, ())]
        folded += len(touchpoints)
        task.advance(await deduplicated(connection, task.members, task.state, touchpoints), changes.watermark_us)
        old_transitions = task.after_start(stored.get(task.key, ()))
        if not _has_room_to_write(budget, task, old_transitions):
            left.append(task)
            continue
        # All events of an uncounted id are read: it joined, and the change begins at its first fact.
        for digest in task.uncounted_ids:
            changes.count_unmapped(task.active, history.get(digest, ()))
        task.put_end(changes, old_transitions)
    return left


async def _recompute_stretches(
    connection: AsyncConnection, changes: ChangeSet, task: Recompute, budget: Budget
) -> bool:
    """Recompute a journey with checkpoints after the change, each stretch of these twice as long as the one before.

    Returns:
        whether it is done. If not, nothing of it has changed: it goes on for longer than a transaction may take.
    """
    passed = 0
    stretch = 1
    is_met = False
    while passed < len(task.later_checkpoints) and not is_met:
        passed = min(passed + stretch, len(task.later_checkpoints))
        stretch *= 2
        target = task.later_checkpoints[passed - 1]
        following = await _read_following(connection, task, until_us=target.last_us)
        task.advance([t for t in following if t.order_key <= target.last_key])
        is_met = task.state == target and target.last_key >= task.changed_until
    if not is_met:
        if task.checkpoints_read >= budget.checkpoints:
            return False
        task.advance(await _read_following(connection, task, until_us=NEVER), changes.watermark_us)
    span = task.old_transitions_span(target.last_us if is_met else NEVER)
    old_transitions = task.after_start((await journeys.read_transitions(connection, [span])).get(task.key, ()))
    if not _has_room_to_write(budget, task, old_transitions):
        return False
    if task.uncounted_ids:
        spans = [(digest, EVER, NEVER) for digest in sorted(task.uncounted_ids)]
        for events in (await facts.read_history(connection, spans, task.members)).values():
            changes.count_unmapped(task.active, events)
    if is_met:
        task.put_until(changes, passed, old_transitions)
    else:
        task.put_end(changes, old_transitions)
    return True


def _has_room_to_write(budget: Budget, task: Recompute, old_transitions: Sequence[Transition]) -> bool:
    """Whether a recomputed journey may be written; if so, it is noted in the budget."""
    written = len(old_transitions) + len(task.transitions) + len(task.checkpoints) + len(task.later_checkpoints)
    has_room = budget.has_room(written=written)
    if has_room:
        budget.spend(written=written)
    return has_room


async def _read_following(connection: AsyncConnection, task: Recompute, *, until_us: int) -> list[Touchpoint]:
    """Returns the touchpoints to fold onto the state of a journey, up to `until_us`."""
    spans = [(digest, task.read_from_us, until_us) for digest in sorted(task.members)]
    history = await facts.read_history(connection, spans, task.members)
    touchpoints = (t for events in history.values() for t in events)
    return await deduplicated(connection, task.members, task.state, touchpoints)
