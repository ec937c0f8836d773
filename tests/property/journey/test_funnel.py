"""Funnel, flow and variant cells: equal to a naive count, whatever the cuts and clocks, and they retract to nothing."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.reference import naive_model, walk
from tests.reference.funnel import customer_cells, cycle_cells, move_cells, path_cells, variant_cells
from tests.strategies.touchpoints import MODELS, customer_logs, foldable, watermarks
from throughline.journey import flows, funnel
from throughline.journey.fold import Folded, fold
from throughline.journey.milestones import ABANDONED, CHURNED, ENDED, OPEN
from throughline.journey.rollup import floor
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

ZONE = "Etc/GMT-3"
WAYS = ("reached", "entered", "next", "lapsed", "ended")
OUTCOMES = {OPEN: "open", ABANDONED: "abandoned", CHURNED: "churned", ENDED: "ended"}

cuts = st.lists(st.integers(0, 30), max_size=3).map(sorted)


class Kept:
    """The sums of one customer, changed as its journey changes."""

    def __init__(self) -> None:
        self.funnel: funnel.FunnelDeltas = {}
        self.flows: flows.FlowDeltas = {}
        self.variants: flows.VariantDeltas = {}

    def change(
        self,
        owner: Journey,
        start: Journey | None,
        transitions: list[Transition],
        sign: int = 1,
        revoked: Transition | None = None,
    ) -> None:
        funnel.contribute(self.funnel, 1, owner, start, transitions, day_of, sign=sign, revoked=revoked)
        flows.contribute(
            self.flows, self.variants, 1, owner, start, transitions, day_of, sign=sign, revoked=revoked
        )  # fmt: skip

    def cells(self) -> dict[Any, int]:
        """All cells that are not 0."""
        return present({**self.funnel, **self.flows, **self.variants})

    def funnel_of(self, unit: int) -> dict[Any, int]:
        """The cells of a unit, in the terms of the reference."""
        cells: Counter[Any] = Counter()
        for key, count in self.funnel.items():
            cell = funnel.FunnelCell(*key)
            if cell.unit == unit:
                way, phase = divmod(cell.way, 100)
                name = "entry" if cell.way == funnel.ENTRY else WAYS[way]
                cells[cell.day_us, cell.channel, cell.source, cell.phase, name, phase, cell.age] += count
        return present(cells)

    def matches(self, state: Any, moves: list[Any]) -> None:
        journeys = [] if state is None else [(state, moves)]
        assert self.funnel_of(funnel.CYCLE) == cycle_cells(journeys, ZONE)
        assert self.funnel_of(funnel.CUSTOMER) == customer_cells(journeys, ZONE)
        for reading, naive in ((flows.MOVES, move_cells), (flows.PATHS, path_cells)):
            moves_counted = ((flows.FlowCell(*key), number) for key, number in self.flows.items())
            assert present(
                {
                    (c.day_us, c.channel, c.source, c.kind, c.from_phase, c.to_phase, c.cycle): n
                    for c, n in moves_counted
                    if c.reading == reading
                }
            ) == naive(journeys, ZONE)
        counted = ((flows.VariantCell(*key), number) for key, number in self.variants.items())
        assert present(
            {(c.day_us, c.channel, c.source, phases_of(c.phases), OUTCOMES[c.outcome]): n for c, n in counted}
        ) == variant_cells(journeys, ZONE)


def present(cells: Mapping[Any, int]) -> dict[Any, int]:
    return {cell: count for cell, count in cells.items() if count}


def phases_of(bits: int) -> frozenset[int]:
    return frozenset(phase for phase in range(1, 11) if bits & 1 << (phase - 1))


def day_of(at_us: int) -> int:
    return floor("day", at_us, timezone(timedelta(hours=3)))


@given(name=st.sampled_from(MODELS), data=st.data(), events=customer_logs(), at=cuts)
def test_cells_are_a_naive_count(name: str, data: st.DataObject, events: list[Touchpoint], at: list[int]) -> None:
    """From any cut, and whatever the clock had already called a lapse by then."""
    model, todo = load_model(name), foldable(events)
    sums = Kept()
    states: list[tuple[Journey | None, int]] = [(None, 0)]
    journey: Journey | None = None
    transitions: list[Transition] = []
    watermark_us = 0
    for start, end in zip([0, *at], [*at, len(todo)], strict=True):
        watermark_us = max(watermark_us, data.draw(watermarks(events)))
        folded = fold(model, journey, todo[start:end], watermark_us)
        if folded.journey is not None:
            sums.change(folded.journey, journey, folded.transitions, revoked=folded.revoked)
        journey, transitions = folded.journey, then(transitions, folded)
        states.append((journey, len(transitions)))
    sums.matches(*walk(naive_model(name), events, watermark_us))

    # The last stretch is recomputed from where it began: taken back and added again, nothing is left of the first time.
    if journey is None:
        return
    settled = fold(model, None, todo[: data.draw(st.integers(0, len(todo)))])
    if settled.journey is not None:
        rest = transitions[len(settled.transitions) :]
        before = sums.cells()
        if transitions[: len(settled.transitions)] == settled.transitions:
            sums.change(journey, settled.journey, rest, sign=-1)
            sums.change(journey, settled.journey, rest)
            assert before == sums.cells()
            sums.change(journey, settled.journey, rest, sign=-1)
            sums.change(journey, None, settled.transitions, sign=-1)
        else:
            sums.change(journey, None, transitions, sign=-1)
    else:
        sums.change(journey, None, transitions, sign=-1)
    assert not sums.cells()


def then(transitions: list[Transition], folded: Folded) -> list[Transition]:
    """All transitions after another fold: without the lapse that turned out not to be, and with what followed."""
    return (transitions if folded.revoked is None else transitions[:-1]) + folded.transitions
