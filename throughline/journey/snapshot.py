"""What is left of an actor's history before the retention cutoff: a snapshot for each id that was a customer then.

A snapshot is an exact prefix of the fold: folding on from it gives what folding everything would have given. Ids that
are linked only after the cutoff bring a snapshot each. Their touchpoints can no longer be put in order together, so
`merge` says what the merged customer begins with.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughline.journey.fold import fold
from throughline.journey.memory import Memory
from throughline.journey.model import Model
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint


class Snapshot(NamedTuple):
    """A journey after its last touchpoint before the retention cutoff, before the clock was asked."""

    journey: Journey
    transitions: tuple[Transition, ...]
    """All that led to it."""


def extend(model: Model, snapshot: Snapshot | None, touchpoints: Sequence[Touchpoint]) -> Snapshot | None:
    """The snapshot at a later retention cutoff.

    Args:
        model: the phase model.
        snapshot: at the retention cutoff so far; None when nothing was before it.
        touchpoints: those between the two cutoffs, sorted, distinct.
    """
    folded = fold(model, None if snapshot is None else snapshot.journey, touchpoints)
    if folded.journey is None:
        return None
    return Snapshot(folded.journey, (() if snapshot is None else snapshot.transitions) + tuple(folded.transitions))


def merge(snapshots: Iterable[Snapshot]) -> Snapshot | None:
    """What a customer begins with whose ids had snapshots of their own; in whatever order they are given.

    It stands where the one of them stood that had come furthest: one that had not lapsed before one that had, then the
    higher phase, then the later touchpoint. All orders of all of them stand, but those that any cancelled. It belongs
    to the source and channel of the earliest.
    """
    found = sorted(set(snapshots), key=lambda snapshot: snapshot.journey.last_key)
    if len(found) < 2:
        return found[0] if found else None
    furthest = max(found, key=lambda b: (not b.journey.lapsed_us, b.journey.phase, b.journey.last_key))
    first = min(found, key=lambda b: (b.journey.first_us, b.journey.source, b.journey.channel)).journey
    last_us, last_message, last_actor = found[-1].journey.last_key
    return Snapshot(
        furthest.journey._replace(
            highest_phase=max(snapshot.journey.highest_phase for snapshot in found),
            first_us=first.first_us,
            source=first.source,
            channel=first.channel,
            last_us=last_us,
            last_message=last_message,
            last_actor=last_actor,
            memory=_remembered([snapshot.journey for snapshot in found]),
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
