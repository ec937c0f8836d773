"""Flows out of kept sums: nodes, and the moves between them. They add up however few edges are shown.

Of every node opening + in = closing + out. A lapse moves a customer from the active to the lapsed node of its phase, a
return from there into the next cycle. Of the cycles that began in a span, a lapsed one stays so, and one that a return
began begins in the lapsed node: the cycle before may be older than the span.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from throughline.journey.flows import CYCLE_CLASSES, MOVES, PATHS
from throughline.journey.model import UNPLACED
from throughline.journey.state import LAPSE, RETURN

MAX_EDGES = 40
"""Maximum number of edges that are shown one by one."""


class Place(NamedTuple):
    """Where a move begins or ends: a phase in a class of cycles. Phase 0 in class 0: the customer was new."""

    cycle: int
    phase: int
    lapsed: bool = False


NEW = Place(0, UNPLACED)


class Moves(NamedTuple):
    """A sum of flow cells, of before the span or of within."""

    before: bool
    kind: int
    from_phase: int
    to_phase: int
    cycle: int
    number: int


class Node(NamedTuple):
    """A place and its sums."""

    place: Place
    opening: int
    into: int
    out: int

    @property
    def closing(self) -> int:
        """Number of customers there at the end of the span."""
        return self.opening + self.into - self.out


class Edge(NamedTuple):
    """Moves from one place to another; `to_place` None: to all places that are not shown, together."""

    from_place: Place
    to_place: Place | None
    number: int


class Flows(NamedTuple):
    """All moves of a span."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def flows(moves: Iterable[Moves], max_edges: int = MAX_EDGES, *, reading: int = MOVES) -> Flows:
    """Returns the nodes, and the largest edges; the other edges from a node are one edge together."""
    opening: Counter[Place] = Counter()
    into: Counter[Place] = Counter()
    out: Counter[Place] = Counter()
    edges: Counter[tuple[Place, Place]] = Counter()
    for before, kind, from_phase, to_phase, cycle, number in moves:
        from_place = _from(kind, from_phase, cycle)
        to_place = Place(min(cycle, CYCLE_CLASSES), to_phase, kind == LAPSE)
        if before:
            opening[to_place] += number
            opening[from_place] -= number
        else:
            edges[from_place, to_place] += number
            out[from_place] += number
            into[to_place] += number
    # Before anything else a customer is new, as often as the span begins with one.
    opening[NEW] = out[NEW]
    if reading == PATHS:
        opening.update({place: number for place, number in out.items() if place.lapsed})
    in_order = sorted(edges.items(), key=lambda edge: (-edge[1], edge[0]))
    rest: Counter[Place] = Counter()
    for (from_place, _), number in in_order[max_edges:]:
        rest[from_place] += number
    shown = [Edge(from_place, to_place, number) for (from_place, to_place), number in in_order[:max_edges] if number]
    cut = [Edge(place, None, number) for place, number in sorted(rest.items()) if number]
    nodes = (Node(place, opening[place], into[place], out[place]) for place in sorted({*opening, *into, *out}))
    return Flows(tuple(node for node in nodes if any(node[1:])), (*shown, *cut))


def _from(kind: int, from_phase: int, cycle: int) -> Place:
    if kind == RETURN:
        return Place(min(cycle - 1, CYCLE_CLASSES), from_phase, lapsed=True)
    return NEW if from_phase == UNPLACED else Place(min(cycle, CYCLE_CLASSES), from_phase)
