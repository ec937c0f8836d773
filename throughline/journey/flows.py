"""Flow cells: how many moved along each edge between phases, on a day; and variants: which phases a cycle has seen."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from throughline.journey.milestones import OPEN, Milestones
from throughline.journey.state import RETURN, Journey, Transition

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
    milestones = Milestones("" if start is None else start.milestones)
    entered = milestones.entered

    def flow(transition: Transition, change: int) -> None:
        """Count a move. The milestones are those after it."""
        at_us, _, _, _, kind, from_phase, to_phase, cycle, _, _ = transition
        move = (source, channel, kind, from_phase, to_phase, min(cycle, CYCLE_CLASSES + 1))
        cell = (model, MOVES, day_of(at_us), *move)
        flows[cell] = flows.get(cell, 0) + change
        cell = (model, PATHS, day_of(min(entered.values())), *move)
        flows[cell] = flows.get(cell, 0) + change

    def variant(change: int) -> None:
        if entered:
            phases = 0
            for phase in entered:
                phases |= 1 << (phase - 1)
            cell = (model, day_of(min(entered.values())), source, channel, phases, milestones.outcome)
            variants[cell] = variants.get(cell, 0) + change

    # A cycle is counted as it is before the first of its moves here, and after the last: in between nobody sees it.
    has_moved = revoked is not None
    if revoked is not None:
        flow(revoked, -sign)
        variant(-sign)
        milestones.outcome = OPEN
    for transition in transitions:
        if transition.kind == RETURN:
            # A return leaves the cycle before as it ended.
            if has_moved:
                variant(sign)
        elif not has_moved:
            variant(-sign)
        milestones.move(transition)
        flow(transition, sign)
        has_moved = True
    if has_moved:
        variant(sign)
