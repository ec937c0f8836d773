"""The fold: touchpoints in order, one after another, move a customer forward through the model's phases.

state = f(facts): folding on from a state equals folding everything anew, as long as what comes is later than what was
folded (`Journey.is_late` tells). Within a cycle a customer only moves forward; skipped phases are not entered.
"""

from collections.abc import Iterable
from typing import NamedTuple

from throughline.journey.guards import order_key
from throughline.journey.memory import Memory
from throughline.journey.model import UNPLACED, Kind, Model, Rule
from throughline.journey.touchpoint import Touchpoint


class Journey(NamedTuple):
    """Where one customer stands under one model. Instants are microseconds since the epoch."""

    phase: int
    highest_phase: int
    cycle: int
    """From 1."""
    entered_us: int
    """When the current phase was entered; the first touchpoint's time while unplaced."""
    source: int
    channel: str
    """Source and channel of the first touchpoint ever."""
    first_us: int
    last_us: int
    last_message: str
    last_actor: str
    transitions: int
    """How many there were so far."""
    memory: str
    """What the guards remember, as text (see `Memory`)."""

    def is_late(self, touchpoint: Touchpoint) -> bool:
        """Whether the touchpoint belongs before something already folded."""
        return touchpoint[:3] <= (self.last_us, self.last_message, self.last_actor)


class Transition(NamedTuple):
    """One move of a customer, with the touchpoint and the rule that caused it."""

    number: int
    """0, 1, ... in the order of the journey."""
    at_us: int
    from_phase: int
    to_phase: int
    cycle: int
    message_id: str
    name: str
    rule: str


def fold(
    model: Model, journey: Journey | None, touchpoints: Iterable[Touchpoint]
) -> tuple[Journey | None, list[Transition]]:
    """Fold sorted touchpoints onto a journey (None: a customer not seen before).

    Args:
        model: the phase model.
        journey: the state so far; every touchpoint must come after it.
        touchpoints: sorted, distinct.

    Returns:
        The new state and the transitions that led to it, numbered on from the state; None for no touchpoints at all.
    """
    transitions: list[Transition] = []
    last: Touchpoint | None = None
    if journey is None:
        phase = highest = UNPLACED
        cycle = 1
        entered_us = source = first_us = number = 0
        channel = ""
        known = False
        memory = Memory()
        text = ""
    else:
        (phase, highest, cycle, entered_us, source, channel, first_us, *_, number, text) = journey
        known = True
        memory = Memory.load(text)
    remembers = False
    kind_of = model.kind
    for last in touchpoints:
        if not known:
            known = True
            entered_us = first_us = last.occurred_us
            source, channel = last.source, last.channel
        kind = kind_of(last.call, last.name)
        if kind is None:
            continue
        if kind.order:
            remembers = True
            _note_order(memory, kind, last)
        rule = _rule(kind, memory, last)
        if kind.is_page and not memory.paged:
            memory.paged = remembers = True
        if rule is not None and rule.phase > phase:
            at_us = last.occurred_us
            transitions.append(
                Transition(number, at_us, phase, rule.phase, cycle, last.message_id, last.name, rule.name)
            )
            number += 1
            phase = rule.phase
            highest = max(highest, phase)
            entered_us = at_us
    if last is None:
        return journey, transitions
    return (
        Journey(
            phase,
            highest,
            cycle,
            entered_us,
            source,
            channel,
            first_us,
            last.occurred_us,
            last.message_id,
            last.actor,
            number,
            memory.dump() if remembers else text,
        ),
        transitions,
    )


def _note_order(memory: Memory, kind: Kind, touchpoint: Touchpoint) -> None:
    key = order_key(touchpoint)
    if kind.order == "place":
        memory.place(key, touchpoint.value)
    elif kind.order == "cancel":
        memory.cancel(key)
    else:
        memory.refund(key, touchpoint.value)


def _rule(kind: Kind, memory: Memory, touchpoint: Touchpoint) -> Rule | None:
    for rule in kind.rules:
        for guard in rule.guards:
            if not guard(memory, touchpoint):
                break
        else:
            return rule
    return None
