"""Flow cells: how many moved along each edge between phases, on a day; and variants: which phases a cycle has seen."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from throughline.journey.milestones import OPEN, outcome_of, read
from throughline.journey.state import LAPSE, RETURN, Journey, Transition

CYCLE_CLASSES = 3
"""Number of classes of cycles: the last one holds all later cycles. A move has one more: a return into it leads from a
cycle of the last class."""


MOVES, PATHS = 1, 2
"""Readings: the moves of a day, which explain the counts; those of cycles that began on it, which explain funnels."""


class FlowCell(NamedTuple):
    """The fields of the key of a number of moves; `source` and `channel` as of `FunnelCell`."""

    model: int
    reading: int
    day_us: int
    source: int
    channel: str
    kind: int
    """ENTER, RETURN or LAPSE of `state.py`."""
    from_phase: int
    """UNPLACED: the customer was new."""
    to_phase: int
    cycle: int
    """The class of the cycle that the move leads into; of a lapse, of the cycle that it ends."""


class VariantCell(NamedTuple):
    """The fields of the key of a number of cycles."""

    model: int
    day_us: int
    """The day on which the cycle began."""
    source: int
    channel: str
    phases: int
    """The phases entered, as bits: phase 1 is bit 0."""
    outcome: int


FlowDeltas = dict[tuple[int, int, int, int, str, int, int, int, int], int]
"""What to add to each cell; the key is a `FlowCell`."""
VariantDeltas = dict[tuple[int, int, int, str, int, int], int]
"""What to add to each cell; the key is a `VariantCell`."""


def contribute(
    flows: FlowDeltas,
    variants: VariantDeltas,
    model: int,
    owner: Journey,
    start: Journey | None,
    transitions: Iterable[Transition],
    day_of: Callable[[int], int],
    *,
    sign: int = 1,
    revoked: Transition | None = None,
) -> None:
    """Add a journey's transitions to the flows and variants. Arguments as of `funnel.contribute`."""
    source, channel = owner.source, owner.channel
    entered, _, outcome = read("" if start is None else start.milestones)
    began_us = min(entered.values(), default=0)
    phases = sum([1 << (phase - 1) for phase in entered])

    def flow(transition: Transition, change: int) -> None:
        """Count a move. The milestones are those after it."""
        at_us, _, _, _, kind, from_phase, to_phase, cycle = transition[:8]
        if cycle > CYCLE_CLASSES:
            cycle = CYCLE_CLASSES + 1
        cell = (model, MOVES, day_of(at_us), source, channel, kind, from_phase, to_phase, cycle)
        flows[cell] = flows.get(cell, 0) + change
        cell = (model, PATHS, day_of(began_us), source, channel, kind, from_phase, to_phase, cycle)
        flows[cell] = flows.get(cell, 0) + change

    def variant(change: int) -> None:
        if phases:
            cell = (model, day_of(began_us), source, channel, phases, outcome)
            variants[cell] = variants.get(cell, 0) + change

    # A cycle is counted as it is before the first of its moves here, and after the last: in between nobody sees it.
    has_moved = revoked is not None
    if revoked is not None:
        flow(revoked, -sign)
        variant(-sign)
        outcome = OPEN
    for transition in transitions:
        kind = transition[4]
        if kind == RETURN:
            # A return leaves the cycle before as it ended.
            if has_moved:
                variant(sign)
            phases = 0
        elif not has_moved:
            variant(-sign)
        if kind == LAPSE:
            outcome = outcome_of(transition)
        else:
            outcome = OPEN
            if not phases:
                began_us = transition[0]
            phases |= 1 << (transition[6] - 1)
        flow(transition, sign)
        has_moved = True
    if has_moved:
        variant(sign)
