"""Count deltas: what a changed journey adds to and takes from the phase counts.

A journey's contribution is, in the cells of its own source and channel: one customer in its phase, one `entered` for
each transition into a phase and one `left` for each out of one. So `entered = now + left` for any sum of contributions.
"""

from collections.abc import Iterable
from typing import NamedTuple

from throughline.journey.fold import Journey, Transition
from throughline.journey.model import UNPLACED


class Cell(NamedTuple):
    """Where a count stands. `source` and `channel` are those of the customer's first touchpoint."""

    model: int
    source: int
    channel: str
    phase: int


class Delta:
    """What to add to one cell's counts."""

    __slots__ = ("active", "entered", "lapsed", "left")

    def __init__(self, active: int = 0, lapsed: int = 0, entered: int = 0, left: int = 0) -> None:
        self.active = active
        self.lapsed = lapsed
        self.entered = entered
        self.left = left

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delta) and self.as_tuple() == other.as_tuple()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Delta{self.as_tuple()}"

    def as_tuple(self) -> tuple[int, int, int, int]:
        """(active, lapsed, entered, left)."""
        return (self.active, self.lapsed, self.entered, self.left)


Deltas = dict[Cell, Delta]


def move(deltas: Deltas, model: int, before: Journey | None, after: Journey, transitions: Iterable[Transition]) -> None:
    """Add what folding on from `before` by `transitions` changed. Source and channel stay those of the journey."""
    if before is None:
        _at(deltas, model, after, UNPLACED).active += 1
    for _, _, from_phase, to_phase, *_ in transitions:
        out = _at(deltas, model, after, from_phase)
        out.active -= 1
        if from_phase != UNPLACED:
            out.left += 1
        into = _at(deltas, model, after, to_phase)
        into.active += 1
        into.entered += 1


def retract(deltas: Deltas, model: int, journey: Journey, transitions: Iterable[Transition]) -> None:
    """Take back everything a journey with all these transitions has contributed."""
    _at(deltas, model, journey, journey.phase).active -= 1
    for _, _, from_phase, to_phase, *_ in transitions:
        if from_phase != UNPLACED:
            _at(deltas, model, journey, from_phase).left -= 1
        _at(deltas, model, journey, to_phase).entered -= 1


def _at(deltas: Deltas, model: int, journey: Journey, phase: int) -> Delta:
    cell = Cell(model, journey.source, journey.channel, phase)
    delta = deltas.get(cell)
    if delta is None:
        delta = deltas[cell] = Delta()
    return delta
