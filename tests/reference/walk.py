"""One customer's journey under one model: the events in order, each looked at with everything that came before it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tests.reference.links import RULINGS
from tests.reference.models import NaiveModel, Rule, emptied, holds, standing
from throughline.journey.touchpoint import OrderKey, Touchpoint

ENTER, RETURN, LAPSE = 1, 2, 3


class Move(NamedTuple):
    """Into a phase, back after a lapse, or fallen silent where one is."""

    at_us: int
    message_id: str
    actor: str
    kind: int
    origin: int
    target: int
    cycle: int
    name: str
    why: str
    """Of a lapse "abandoned" or "churned", else the kind of the touchpoint and the guards that held."""


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


def in_order(facts: Iterable[Touchpoint]) -> list[Touchpoint]:
    """One customer's touchpoints as they happened, each message id once, without crawlers' and operators'."""
    once: dict[str, Touchpoint] = {}
    for event in sorted(facts, key=lambda event: event.order_key):
        if not event.bot and event.call not in RULINGS:
            once.setdefault(event.message_id, event)
    return list(once.values())


def walk(model: NaiveModel, facts: Iterable[Touchpoint], watermark_us: int = 0) -> tuple[State | None, list[Move]]:
    """Where one customer stands when every lapse due by `watermark_us` has happened, and how it came there."""
    events = in_order(facts)
    if not events:
        return None, []
    moves: list[Move] = []
    phase, cycle, cycle_start = 0, 1, 0
    lapsed_us, entered_us, active_us = 0, events[0].occurred_us, events[0].occurred_us

    def due(n: int) -> float:
        """When silence after the first n events becomes a lapse."""
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
            moves.append(Move(lapsed_us, "", "", LAPSE, phase, phase, cycle, "", silence(n)))
        meaning = model.meaning(event)
        own = meaning is None or meaning.by_customer
        if lapsed_us:
            rule = first_rule(model, events[: n + 1], n, 0)
            if rule is None or not own:
                continue
            moves.append(Move(*event.order_key, RETURN, phase, rule.phase, cycle + 1, event.name, rule.why))
            phase, cycle, cycle_start, lapsed_us, entered_us = rule.phase, cycle + 1, n, 0, event.occurred_us
        else:
            rule = first_rule(model, events[: n + 1], cycle_start, phase)
            if rule is not None and rule.phase > phase:
                moves.append(Move(*event.order_key, ENTER, phase, rule.phase, cycle, event.name, rule.why))
                phase, entered_us = rule.phase, event.occurred_us
        if own:
            active_us = event.occurred_us
        if rule is not None and rule.ends and rule.phase == phase:
            lapsed_us = event.occurred_us
            moves.append(Move(*event.order_key, LAPSE, phase, phase, cycle, event.name, silence(n + 1)))
    if due(len(events)) <= watermark_us:
        lapsed_us = int(due(len(events)))
        moves.append(Move(lapsed_us, "", "", LAPSE, phase, phase, cycle, "", silence(len(events))))
    first = events[0]
    return State(
        phase=phase,
        highest=max((move.target for move in moves), default=0),
        cycle=cycle,
        lapsed_us=lapsed_us,
        churned=bool(lapsed_us) and moves[-1].why == "churned",
        entered_us=entered_us,
        active_us=active_us,
        source=first.source,
        channel=first.channel,
        first_us=first.occurred_us,
        last=events[-1].order_key,
    ), moves


def first_rule(model: NaiveModel, events: list[Touchpoint], cycle_start: int, phase: int) -> Rule | None:
    """The rule that places the last of the events, if one does."""
    meaning = model.meaning(events[-1])
    for rule in meaning.rules if meaning else ():
        if all(holds(model, guard, phase, events[:cycle_start], events[cycle_start:]) for guard in rule.guards):
            return rule
    return None
