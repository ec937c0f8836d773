"""What stands for the facts before the horizon, once they are gone: a base for each id that was a customer then.

A base is an exact prefix of the fold: folding on from it gives what folding everything would have given. Ids that are
joined only afterwards each bring a base of their own. Their touchpoints can no longer be put in order together, so
`join` says what the joined customer begins with.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughline.journey.fold import fold
from throughline.journey.memory import Memory
from throughline.journey.model import Model
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint


class Base(NamedTuple):
    """A journey after its last touchpoint before the horizon, before the clock was asked."""

    journey: Journey
    transitions: tuple[Transition, ...]
    """All that led to it."""


def rebase(model: Model, base: Base | None, touchpoints: Sequence[Touchpoint]) -> Base | None:
    """The base at a later horizon.

    Args:
        model: the phase model.
        base: at the horizon so far; None when nothing was before it.
        touchpoints: those between the two horizons, sorted, distinct.
    """
    folded = fold(model, None if base is None else base.journey, touchpoints)
    if folded.journey is None:
        return None
    return Base(folded.journey, (() if base is None else base.transitions) + tuple(folded.transitions))


def join(bases: Iterable[Base]) -> Base | None:
    """What a customer begins with whose ids had bases of their own; in whatever order they are given.

    It stands where the one of them stood that had come furthest: one that had not lapsed before one that had, then the
    higher phase, then the later touchpoint. All orders of all of them stand, but those that any cancelled. It belongs
    to the source and channel of the earliest.
    """
    found = sorted(set(bases), key=lambda base: base.journey.last_key)
    if len(found) < 2:
        return found[0] if found else None
    furthest = max(found, key=lambda b: (not b.journey.lapsed_us, b.journey.phase, b.journey.last_key))
    first = min(found, key=lambda b: (b.journey.first_us, b.journey.source, b.journey.channel)).journey
    last_us, last_message, last_actor = found[-1].journey.last_key
    return Base(
        furthest.journey._replace(
            highest_phase=max(base.journey.highest_phase for base in found),
            first_us=first.first_us,
            source=first.source,
            channel=first.channel,
            last_us=last_us,
            last_message=last_message,
            last_actor=last_actor,
            memory=_remembered([base.journey for base in found]),
        ),
        furthest.transitions,
    )


def _remembered(journeys: Sequence[Journey]) -> str:
    memories = [Memory.load(journey.memory, journey.flags) for journey in journeys]
    joined = Memory(cancelled=set().union(*(memory.cancelled for memory in memories)))
    for memory in memories:
        for order, value in memory.orders.items():
            if joined.orders.get(order) is None:
                joined.orders[order] = value
        for product, quantity in memory.cart.items():
            joined.cart[product] = max(quantity, joined.cart.get(product, 0.0))
    for order in joined.cancelled:
        joined.orders.pop(order, None)
    return joined.dump()


def dump(transitions: Iterable[Transition]) -> str:
    """Transitions as text: a JSON array of arrays, in the order of `Transition`."""
    return json.dumps([list(transition) for transition in transitions], ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> tuple[Transition, ...]:
    """What `dump` wrote."""
    return tuple(Transition(*fields) for fields in json.loads(text))
