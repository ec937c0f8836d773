"""The journey of one customer under one model: its events in order, each judged with all events before it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tests.reference.links import RULINGS
from tests.reference.models import NaiveModel, Rule, emptied, holds, says_nothing, standing
from tests.reference.trail import Told, Trail, trails
from throughline.journey.touchpoint import OrderKey, Touchpoint

ENTER, RETURN, LAPSE = 1, 2, 3


class NaiveTransition(NamedTuple):
    """A transition: into a phase, back after a lapse, or a lapse in the phase."""

    at_us: int
    place: int
    message_id: str
    actor: str
    kind: int
    origin: int
    target: int
    cycle: int
    name: str
    why: str
    """"abandoned" or "churned" of a lapse, else the kind of the touchpoint and the guards that held."""
    told: Told | None = None


@dataclass(frozen=True)
class State:
    phase: int
    highest: int
    cycle: int
    lapsed_us: int
    churned: bool
    entered_us: int
    active_us: int
    source: int
    channel: str
    first_us: int
    last: OrderKey
    trail: Trail


def in_order(facts: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The touchpoints of one customer in order, each message id once, without rulings, crawlers and test orders."""
    once: dict[str, Touchpoint] = {}
    for event in sorted(facts, key=lambda event: event.order_key):
        if not event.bot and not event.test and event.call not in RULINGS:
            once.setdefault(event.message_id, event)
    return list(once.values())


def walk(
    model: NaiveModel, facts: Iterable[Touchpoint], watermark_us: int = 0
) -> tuple[State | None, list[NaiveTransition]]:
    """Where one customer stands when every lapse due by `watermark_us` has happened, and its transitions."""
    events = in_order(facts)
    if not events:
        return None, []
    transitions: list[NaiveTransition] = []
    phase, cycle, cycle_start = 0, 1, 0
    lapsed_us, entered_us, active_us = 0, events[0].occurred_us, events[0].occurred_us

    def due(n: int) -> float:
        """The instant at which silence after the first n events becomes a lapse."""
        if not phase or lapsed_us:
            return float("inf")
        empty = emptied(model, events[:cycle_start], events[cycle_start:n])
        window = (model.emptied_windows if empty else model.windows)[phase]
        return max(active_us + window, events[n - 1].occurred_us + 1)

    def silence(n: int) -> str:
        return "churned" if standing(model, events[:n]) else "abandoned"

    for n, event in enumerate(events):
        if n and event.occurred_us >= due(n):
            lapsed_us = int(due(n))
            transitions.append(NaiveTransition(lapsed_us, 0, "", "", LAPSE, phase, phase, cycle, "", silence(n)))
        meaning = model.meaning(event)
        is_activity = meaning is None or meaning.by_customer
        if lapsed_us:
            rule = first_rule(model, events[: n + 1], n, 0)
            if rule is None or not is_activity:
                continue
            transitions.append(
                NaiveTransition(*event.order_key, RETURN, phase, rule.phase, cycle + 1, event.name, rule.why)
            )
            phase, cycle, cycle_start, lapsed_us, entered_us = rule.phase, cycle + 1, n, 0, event.occurred_us
        else:
            rule = first_rule(model, events[: n + 1], cycle_start, phase)
            if rule is not None and rule.phase > phase:
                transitions.append(
                    NaiveTransition(*event.order_key, ENTER, phase, rule.phase, cycle, event.name, rule.why)
                )
                phase, entered_us = rule.phase, event.occurred_us
        if is_activity:
            active_us = event.occurred_us
        if rule is not None and rule.ends and rule.phase == phase:
            lapsed_us = event.occurred_us
            transitions.append(
                NaiveTransition(*event.order_key, LAPSE, phase, phase, cycle, event.name, silence(n + 1))
            )
    if due(len(events)) <= watermark_us:
        lapsed_us = int(due(len(events)))
        transitions.append(NaiveTransition(lapsed_us, 0, "", "", LAPSE, phase, phase, cycle, "", silence(len(events))))
    first = events[0]
    told, trail = trails(model, events, [transition[:8] for transition in transitions])
    return State(
        phase=phase,
        highest=max((transition.target for transition in transitions), default=0),
        cycle=cycle,
        lapsed_us=lapsed_us,
        churned=bool(lapsed_us) and transitions[-1].why == "churned",
        entered_us=entered_us,
        active_us=active_us,
        source=first.source,
        channel=first.channel,
        first_us=first.occurred_us,
        last=events[-1].order_key,
        trail=trail,
    ), [transition._replace(told=each) for transition, each in zip(transitions, told, strict=True)]


def first_rule(model: NaiveModel, events: list[Touchpoint], cycle_start: int, phase: int) -> Rule | None:
    """The first rule of the last event whose guards hold; None if there is none."""
    meaning = model.meaning(events[-1])
    if says_nothing(model, events):
        return None
    for rule in meaning.rules if meaning else ():
        if all(holds(model, guard, phase, events[:cycle_start], events[cycle_start:]) for guard in rule.guards):
            return rule
    return None
