"""Count deltas: what a changed journey adds to and takes from the phase counts, and when.

A journey is counted in the cells of its first touchpoint's source and channel: one customer where it stands, one
`entered` for each transition into a phase, one `left` for each out of a phase, in the minute of the transition. So
`entered = now + left` for every sum of journeys, and the counts of a past instant are the sum of all minutes before.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from throughline.journey.durations import MINUTE_US
from throughline.journey.memory import CHURNED
from throughline.journey.model import UNPLACED
from throughline.journey.state import CHURNED_NAME, LAPSE, RETURN, Journey, Transition


class Cell(NamedTuple):
    """The key of a count. `source` and `channel` are those of the customer's first touchpoint."""

    model: int
    source: int
    channel: str
    phase: int
    minute_us: int
    """The start of the minute in which the count changed."""


COUNTS = ("active", "lapsed", "churned", "entered", "left", "returned")
Counts = tuple[int, int, int, int, int, int]
"""In the order of `COUNTS`. `churned`: of the lapsed, those who had purchased; `returned`: of
the entries, those that followed a lapse."""

NOTHING: Counts = (0, 0, 0, 0, 0, 0)
_ACTIVE, _LAPSED, _CHURNED, _ENTERED, _LEFT, _RETURNED = range(len(COUNTS))

_new: Callable[[type[Cell], Iterable[Any]], Cell] = tuple.__new__  # `Cell(...)` is three times slower

Deltas = dict[Cell, list[int]]
"""What to add to each cell, in the order of `COUNTS`."""


def contribute(
    deltas: Deltas,
    model: int,
    owner: Journey,
    start: Journey | None,
    transitions: Iterable[Transition],
    *,
    sign: int = 1,
    revoked: Transition | None = None,
) -> None:
    """Add a journey's transitions to count deltas.

    Args:
        deltas: changed in place.
        model: the generation's id.
        owner: the journey whose source and channel say in which cells.
        start: the state before the transitions; None: the journey begins here, and its customer is counted too.
        transitions: of the journey, in order.
        sign: 1 adds, -1 takes back.
        revoked: the lapse of `start` that never was.
    """
    source, channel = owner.source, owner.channel
    churned = start is not None and bool(start.flags & CHURNED)

    def at(phase: int, at_us: int) -> list[int]:
        cell = _new(Cell, (model, source, channel, phase, at_us - at_us % MINUTE_US))
        counts = deltas.get(cell)
        if counts is None:
            counts = deltas[cell] = [0, 0, 0, 0, 0, 0]
        return counts

    if start is None:
        at(UNPLACED, owner.first_us)[_ACTIVE] += sign
    if revoked is not None:
        counts = at(revoked.to_phase, revoked.at_us)
        counts[_ACTIVE] += sign
        counts[_LAPSED] -= sign
        counts[_CHURNED] -= sign * churned
        churned = False
    for transition in transitions:
        at_us, _, _, _, kind, from_phase, to_phase, _, _, rule = transition[:10]
        if kind == LAPSE:
            churned = rule == CHURNED_NAME
            counts = at(to_phase, at_us)
            counts[_ACTIVE] -= sign
            counts[_LAPSED] += sign
            counts[_CHURNED] += sign * churned
            continue
        counts = at(from_phase, at_us)
        if kind == RETURN:
            counts[_LAPSED] -= sign
            counts[_CHURNED] -= sign * churned
            counts[_LEFT] += sign
            churned = False
        else:
            counts[_ACTIVE] -= sign
            if from_phase != UNPLACED:
                counts[_LEFT] += sign
        counts = at(to_phase, at_us)
        counts[_ACTIVE] += sign
        counts[_ENTERED] += sign
        if kind == RETURN:
            counts[_RETURNED] += sign
