"""What a transaction changes, gathered before it is written. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from throughline.journey.checkpoint import advance
from throughline.journey.diff import Deltas, contribute
from throughline.journey.lapse import due_us
from throughline.journey.model import Model
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.store.counts import Unmapped
from throughline.store.journeys import StoredJourney


class Applied(NamedTuple):
    """A generation of a model, ready to fold with."""

    id: int
    model: Model
    zone: tzinfo
    filling: bool
    """It is being restaged: a customer without a journey may have facts nevertheless."""
    has_snapshots: bool = False
    """Ids may have snapshots: the workspace has a retention cutoff."""


class Workspace(NamedTuple):
    """What is applied in a workspace, at some version of it."""

    version: int
    retention_cutoff_us: int
    """What occurred before it is refused."""
    applied: Sequence[Applied]


Members = Mapping[bytes, str]
"""All ids of a customer, its own too: digest -> id."""


class Customer(NamedTuple):
    """A customer and what is applied to it."""

    digest: bytes
    id: str
    applied: Sequence[Applied]


class Plan:
    """Rows to write and to remove, and count deltas."""

    def __init__(self, watermark_us: int) -> None:
        self.watermark_us = watermark_us
        """Lapses due by then have happened."""
        self.journeys: list[tuple[Any, ...]] = []
        """(customer digest, model id, customer id, since, due_us, *Journey)."""
        self.transitions: list[tuple[Any, ...]] = []
        """(customer digest, model id, *Transition)."""
        self.removed_transitions: list[tuple[Any, ...]] = []
        """(customer digest, model id, at_us, message id, actor, kind)."""
        self.checkpoints: list[tuple[Any, ...]] = []
        """(customer digest, model id, *Journey)."""
        self.removed_checkpoints: list[tuple[Any, ...]] = []
        """(customer digest, model id, last_us, last message, last actor)."""
        self.gone: set[bytes] = set()
        """Customers of whom nothing is left: their ids belong to others."""
        self.deltas: Deltas = {}
        self.unmapped: Unmapped = {}
        self.zones: dict[int, tzinfo] = {}

    def fold_on(
        self, customer: Customer, applied: Applied, before: StoredJourney | None, touchpoints: Sequence[Touchpoint]
    ) -> None:
        """The fast path: touchpoints (sorted, distinct) that are later than all before, or a customer's first."""
        start, since = (None, 0) if before is None else before
        done = advance(applied.model, start, touchpoints, self.watermark_us, since)
        if done.journey is None:
            return
        if done.revoked is not None:
            self._remove(customer, applied, [done.revoked])
        self._keep(customer, applied, done.journey, done.since, done.transitions, done.checkpoints)
        self._count(applied, done.journey, start, done.transitions, revoked=done.revoked)

    def replace(
        self,
        customer: Customer,
        applied: Applied,
        start: Journey | None,
        before: Journey | None,
        old: Iterable[Transition],
        after: Journey,
        new: Sequence[Transition],
        checkpoints: Sequence[Journey],
        since: int,
    ) -> None:
        """The re-fold path: what followed `start` was `before` by the old transitions, now `after` by the new ones."""
        old = list(old)
        if before is not None:
            self._count(applied, before, start, old, sign=-1)
        self._count(applied, after, start, new)
        kept = {transition[:4] for transition in new}
        self._remove(customer, applied, [transition for transition in old if transition[:4] not in kept])
        self._keep(customer, applied, after, since, new, checkpoints)

    def retract(self, customer: bytes, applied: Applied, journey: Journey, transitions: Iterable[Transition]) -> None:
        """Take back everything a journey was."""
        self.zones[applied.id] = applied.zone
        contribute(self.deltas, applied.id, journey, None, transitions, sign=-1)
        self.gone.add(customer)

    def drop_checkpoints(self, customer: Customer, applied: Applied, states: Iterable[Journey]) -> None:
        """Checkpoints after which something has changed."""
        self.removed_checkpoints += [(customer.digest, applied.id, *state.last_key) for state in states]

    def note_unmapped(self, applied: Iterable[Applied], touchpoints: Iterable[Touchpoint]) -> None:
        """Count new facts that the models' vocabularies do not know."""
        for one in applied:
            kind_of = one.model.kind
            for touchpoint in touchpoints:
                if touchpoint.call == "track" and kind_of("track", touchpoint.name) is None:
                    key = (one.id, touchpoint.source, touchpoint.name)
                    at_us = touchpoint.occurred_us
                    seen = self.unmapped.get(key)
                    if seen is None:
                        self.unmapped[key] = [1, at_us, at_us]
                    else:
                        seen[:] = [seen[0] + 1, min(seen[1], at_us), max(seen[2], at_us)]

    def _keep(
        self,
        customer: Customer,
        applied: Applied,
        journey: Journey,
        since: int,
        transitions: Sequence[Transition],
        checkpoints: Sequence[Journey],
    ) -> None:
        digest, model = customer.digest, applied.id
        self.journeys.append((digest, model, customer.id, since, due_us(applied.model, journey), *journey))
        self.transitions += [(digest, model, *transition) for transition in transitions]
        self.checkpoints += [(digest, model, *state) for state in checkpoints]

    def _remove(self, customer: Customer, applied: Applied, transitions: Iterable[Transition]) -> None:
        self.removed_transitions += [(customer.digest, applied.id, *transition[:4]) for transition in transitions]

    def _count(
        self,
        applied: Applied,
        owner: Journey,
        start: Journey | None,
        transitions: Iterable[Transition],
        *,
        sign: int = 1,
        revoked: Transition | None = None,
    ) -> None:
        self.zones[applied.id] = applied.zone
        contribute(self.deltas, applied.id, owner, start, transitions, sign=sign, revoked=revoked)


def after(transitions: Iterable[Transition], key: OrderKey) -> list[Transition]:
    """Those that came after the touchpoint of that key was folded."""
    return [t for t in transitions if t[:3] > key]


def upto(transitions: Iterable[Transition], key: OrderKey) -> list[Transition]:
    """Those there were when the touchpoint of that key had been folded."""
    return [t for t in transitions if t[:3] <= key]
