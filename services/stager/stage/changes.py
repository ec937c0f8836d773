"""Everything that one transaction changes of journeys and counts, collected before it is written. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, TypeVar, cast

from services.stager.stage.customer import Customer
from services.stager.stage.models import ActiveModel
from throughline.journey import flows, funnel
from throughline.journey.checkpoint import advance
from throughline.journey.conversions import changed_conversions
from throughline.journey.diff import Deltas, contribute
from throughline.journey.flows import FlowDeltas, VariantDeltas
from throughline.journey.funnel import FunnelDeltas
from throughline.journey.lapse import due_us
from throughline.journey.memory import refund_counts_of
from throughline.journey.rollup import Days
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.store.counts import RefundSums, Unmapped
from throughline.store.journeys import JourneyKey, StoredJourney

JourneyRow = tuple[bytes, int, str, int, int, *tuple[int | str, ...]]
"""(customer digest, model id, customer id, touchpoints since the last checkpoint, instant of the lapse, *Journey)."""
TransitionRow = tuple[bytes, int, *tuple[int | str, ...]]
"""(customer digest, model id, *Transition)."""
TransitionKey = tuple[bytes, int, int, int, str, str, int]
"""(customer digest, model id, at_us, place, message id, actor, kind): what tells a transition from all others."""
CheckpointRow = tuple[bytes, int, *tuple[int | str, ...]]
"""(customer digest, model id, *Journey)."""
CheckpointKey = tuple[bytes, int, int, int, str, str]
"""(customer digest, model id, *order key of the last touchpoint): what tells a checkpoint from all others."""
ConversionRow = tuple[bytes, int, str, int, int, int, str]
"""(customer digest, model id, *Conversion)."""
ConversionKey = tuple[bytes, int, str]
"""(customer digest, model id, key of the order)."""


class ChangeSet:
    """Rows to write, rows to remove, and count deltas."""

    def __init__(self, watermark_us: int) -> None:
        self.watermark_us = watermark_us
        """Lapses due by this instant have happened."""
        self.journeys: list[JourneyRow] = []
        self.transitions: list[TransitionRow] = []
        self.removed_transitions: list[TransitionKey] = []
        self.checkpoints: list[CheckpointRow] = []
        self.removed_checkpoints: list[CheckpointKey] = []
        self.conversions: list[ConversionRow] = []
        self.removed_conversions: list[ConversionKey] = []
        self.removed_journeys: set[JourneyKey] = set()
        """Journeys of which nothing is left: all ids of their customers belong to others."""
        self.deltas: Deltas = {}
        self.funnel: FunnelDeltas = {}
        self.flows: FlowDeltas = {}
        self.variants: VariantDeltas = {}
        self.channels: set[tuple[int, str]] = set()
        """(model id, channel) of everything in these."""
        self.unmapped: Unmapped = {}
        self.refunds: RefundSums = {}
        self.zones: dict[int, tzinfo] = {}
        """Model id -> time zone, of every model in `deltas`."""
        self._days: dict[tzinfo, Days] = {}

    def fold_on(
        self, customer: Customer, active: ActiveModel, stored: StoredJourney | None, touchpoints: Sequence[Touchpoint]
    ) -> None:
        """Fold touchpoints onto a stored journey, or onto none, and let the clock pass to the watermark.

        Args:
            customer: whose journey.
            active: the model.
            stored: the journey so far; None for a customer without one.
            touchpoints: sorted, distinct, all later than the stored journey.
        """
        start, since = (None, 0) if stored is None else stored
        advanced = advance(active.model, start, touchpoints, self.watermark_us, since, has_trail=active.has_trails)
        if advanced.journey is None:
            return
        if advanced.revoked is not None:
            self._remove_transitions(customer, active, [advanced.revoked])
        self._write(customer, active, advanced.journey, advanced.since, advanced.transitions, advanced.checkpoints)
        self._count(active, advanced.journey, start, advanced.transitions, revoked=advanced.revoked)
        self.count_orders(customer.digest, active, start, advanced.journey)

    def replace(
        self,
        customer: Customer,
        active: ActiveModel,
        *,
        start: Journey | None,
        old_journey: Journey | None,
        old_transitions: Sequence[Transition],
        new_journey: Journey,
        new_transitions: Sequence[Transition],
        checkpoints: Sequence[Journey],
        since: int,
    ) -> None:
        """Put a recomputed stretch of a journey in place of the stretch that was stored.

        Args:
            customer: whose journey.
            active: the model.
            start: the state where both stretches begin; None: the beginning.
            old_journey: the stored journey, for the source and channel it was counted under; None: there was none.
            old_transitions: those of the stored stretch.
            new_journey: the journey from now on.
            new_transitions: those of the recomputed stretch.
            checkpoints: those of the recomputed stretch.
            since: number of touchpoints folded since the last checkpoint.
        """
        if old_journey is not None:
            self._count(active, old_journey, start, old_transitions, sign=-1)
        self._count(active, new_journey, start, new_transitions)
        self.count_orders(customer.digest, active, old_journey, new_journey)
        rewritten = {_key_of(transition) for transition in new_transitions}
        self._remove_transitions(customer, active, (t for t in old_transitions if _key_of(t) not in rewritten))
        self._write(customer, active, new_journey, since, new_transitions, checkpoints)

    def retract(
        self, customer: bytes, active: ActiveModel, journey: Journey, transitions: Iterable[Transition]
    ) -> None:
        """Take back a whole journey of a customer (given by digest) of whom nothing is left."""
        self._count(active, journey, None, transitions, sign=-1)
        self.count_orders(customer, active, journey, None)
        self.removed_journeys.add((customer, active.id))

    def count_stretch(
        self, active: ActiveModel, owner: Journey, start: Journey, transitions: Iterable[Transition], *, sign: int
    ) -> None:
        """Count some consecutive transitions of a journey, but not its customer.

        Args:
            active: the model.
            owner: the journey whose source and channel say where.
            start: the state before them: its milestones, and whether a return at their beginning is one of the churned.
            transitions: in order.
            sign: 1 adds, -1 takes back.
        """
        self._count(active, owner, start, transitions, sign=sign)

    def count_customer(self, active: ActiveModel, journey: Journey, *, sign: int) -> None:
        """Count a customer where every journey begins, without any transition."""
        self._count(active, journey, None, (), sign=sign)

    def remove_checkpoints(self, customer: Customer, active: ActiveModel, checkpoints: Iterable[Journey]) -> None:
        """Remove checkpoints before which the history has changed."""
        self.removed_checkpoints += [(customer.digest, active.id, *state.last_key) for state in checkpoints]

    def count_unmapped(self, active: ActiveModel, touchpoints: Iterable[Touchpoint]) -> None:
        """Count new track events that the vocabulary of a model does not know."""
        kinds = active.model.kinds["track"]
        for touchpoint in touchpoints:
            if touchpoint.call == "track" and kinds[touchpoint.name] is None:
                at_us = touchpoint.occurred_us
                self._add_unmapped((active.id, touchpoint.source, touchpoint.name), 1, at_us, at_us)

    def count_under(self, names: Mapping[tuple[int, str], str]) -> None:
        """Count channels under other names. `names`: (model id, channel) -> name; channels that are missing stay."""
        if all(channel == name for (_, channel), name in names.items()):
            return
        deltas: Deltas = {}
        for cell, delta in self.deltas.items():
            renamed = cell._replace(channel=names.get((cell.model, cell.channel), cell.channel))
            before = deltas.get(renamed)
            deltas[renamed] = delta if before is None else [a + b for a, b in zip(before, delta, strict=True)]
        self.deltas = deltas
        self.funnel = _renamed(self.funnel, _FUNNEL, names)
        self.flows = _renamed(self.flows, _FLOW, names)
        self.variants = _renamed(self.variants, _VARIANT, names)

    def count_unmapped_names(self, active: ActiveModel, names: Iterable[tuple[int, str, int, int, int]]) -> None:
        """Count stored track events that a model does not know: (source, name, events, first_us, last_us)."""
        for source, name, events, first_us, last_us in names:
            if active.model.kind("track", name) is None:
                self._add_unmapped((active.id, source, name), events, first_us, last_us)

    def _add_unmapped(self, key: tuple[int, int, str], events: int, first_us: int, last_us: int) -> None:
        counted = self.unmapped.get(key)
        if counted is None:
            self.unmapped[key] = [events, first_us, last_us]
        else:
            counted[:] = [counted[0] + events, min(counted[1], first_us), max(counted[2], last_us)]

    def count_orders(self, customer: bytes, active: ActiveModel, before: Journey | None, after: Journey | None) -> None:
        """Take what the orders of a customer (given by digest) are now in place of what they were.

        These are its conversions, and how many refunds of no order, and in another currency than their order's, it has.
        """
        memory = "" if before is None else before.memory
        new_memory = "" if after is None else after.memory
        if memory == new_memory:
            return
        for text, sign in ((memory, -1), (new_memory, 1)):
            for n, counted in enumerate(refund_counts_of(text)):
                for source, events in counted.items():
                    self.refunds.setdefault((active.id, int(source)), [0, 0])[n] += sign * events
        if active.has_conversions:
            changed = changed_conversions(memory, new_memory)
            self.conversions += [(customer, active.id, *conversion) for conversion in changed.written]
            self.removed_conversions += [(customer, active.id, order) for order in changed.removed]

    def _write(
        self,
        customer: Customer,
        active: ActiveModel,
        journey: Journey,
        since: int,
        transitions: Sequence[Transition],
        checkpoints: Sequence[Journey],
    ) -> None:
        digest, model = customer.digest, active.id
        self.journeys.append((digest, model, customer.id, since, due_us(active.model, journey), *journey))
        self.transitions += [(digest, model, *transition) for transition in transitions]
        self.checkpoints += [(digest, model, *state) for state in checkpoints]

    def _remove_transitions(self, customer: Customer, active: ActiveModel, transitions: Iterable[Transition]) -> None:
        self.removed_transitions += [(customer.digest, active.id, *_key_of(transition)) for transition in transitions]

    def _count(
        self,
        active: ActiveModel,
        owner: Journey,
        start: Journey | None,
        transitions: Iterable[Transition],
        *,
        sign: int = 1,
        revoked: Transition | None = None,
    ) -> None:
        moves = list(transitions)
        if start is not None and not moves and revoked is None:
            return
        self.zones[active.id] = active.zone
        self.channels.add((active.id, owner.channel))
        contribute(self.deltas, active.id, owner, start, moves, sign=sign, revoked=revoked)
        if active.has_funnels and (moves or revoked is not None):
            arguments = (active.id, owner, start, moves, self._days_of(active.zone).__getitem__)
            funnel.contribute(self.funnel, *arguments, sign=sign, revoked=revoked)
            flows.contribute(self.flows, self.variants, *arguments, sign=sign, revoked=revoked)

    def _days_of(self, zone: tzinfo) -> Days:
        days = self._days.get(zone)
        if days is None:
            days = self._days[zone] = Days(zone)
        return days


_FUNNEL: Final = 4
_FLOW: Final = 4
_VARIANT: Final = 3
"""Where the channel stands in the keys of these cells; the model is first."""

_K = TypeVar("_K", bound=tuple[Any, ...])


def _renamed(deltas: Mapping[_K, int], place: int, names: Mapping[tuple[int, str], str]) -> dict[_K, int]:
    renamed: dict[_K, int] = {}
    for cell, number in deltas.items():
        channel = cell[place]
        key = cast(_K, (*cell[:place], names.get((cell[0], channel), channel), *cell[place + 1 :]))
        renamed[key] = renamed.get(key, 0) + number
    return renamed


def _key_of(transition: Transition) -> tuple[int, int, str, str, int]:
    return transition[:5]


def transitions_after(transitions: Iterable[Transition], place: OrderKey) -> list[Transition]:
    """Returns the transitions that came after the touchpoint at `place` was folded."""
    return [t for t in transitions if t[:4] > place]


def transitions_until(transitions: Iterable[Transition], place: OrderKey) -> list[Transition]:
    """Returns the transitions there were once the touchpoint at `place` was folded."""
    return [t for t in transitions if t[:4] <= place]
