"""Flows: what goes in and out of each node adds up, and cutting changes no node."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.touchpoints import customer_logs, foldable, watermarks
from throughline.analytics.flows import NEW, Moves, Place, flows
from throughline.journey import flows as cells
from throughline.journey.fold import fold
from throughline.journey.state import LAPSE, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

PHASE = load_model("seven_phase")


def moves_of(logs: list[list[Touchpoint]], watermark_us: int, from_us: int, reading: int = cells.MOVES) -> list[Moves]:
    """The moves of some customers; those before an instant are before the span."""
    sums: cells.FlowDeltas = {}
    for log in logs:
        folded = fold(PHASE, None, foldable(log), watermark_us)
        if folded.journey is not None:
            cells.contribute(sums, {}, 1, folded.journey, None, folded.transitions, lambda at_us: at_us)
    moves = ((cells.FlowCell(*key), number) for key, number in sums.items())
    return [
        Moves(cell.day_us < from_us, cell.kind, cell.from_phase, cell.to_phase, cell.cycle, number)
        for cell, number in moves
        if cell.reading == reading
    ]


@given(data=st.data(), logs=st.lists(customer_logs(), min_size=1, max_size=3), edges=st.integers(0, 10))
def test_every_node_adds_up_and_closes_with_those_who_are_there(
    data: st.DataObject, logs: list[list[Touchpoint]], edges: int
) -> None:
    watermark_us = data.draw(watermarks([event for log in logs for event in log]))
    moves = moves_of(logs, watermark_us, data.draw(watermarks([event for log in logs for event in log])))
    whole, cut = flows(moves, 10_000), flows(moves, edges)
    assert cut.nodes == whole.nodes
    assert all(edge.to_place is not None for edge in whole.edges)
    for node in whole.nodes:
        assert min(node[1:]) >= 0
        for shown in (whole, cut):
            assert node.out == sum(edge.number for edge in shown.edges if edge.from_place == node.place)
        assert node.into == sum(edge.number for edge in whole.edges if edge.to_place == node.place)
    present: Counter[Place] = Counter()
    for log in logs:
        journey = fold(PHASE, None, foldable(log), watermark_us).journey
        if journey is not None and journey.phase:
            present[Place(min(journey.cycle, 3), journey.phase, journey.lapsed_us > 0)] += 1
    assert {node.place: node.closing for node in whole.nodes if node.closing} == present
    assert all(node.place != NEW or node.closing == 0 for node in whole.nodes)


@given(data=st.data(), logs=st.lists(customer_logs(), min_size=1, max_size=3))
def test_cycles_of_a_span_close_where_each_of_them_ended(data: st.DataObject, logs: list[list[Touchpoint]]) -> None:
    events = [event for log in logs for event in log]
    watermark_us, from_us = data.draw(watermarks(events)), data.draw(watermarks(events))
    within = [move for move in moves_of(logs, watermark_us, from_us, cells.PATHS) if not move.before]
    nodes = flows(within, reading=cells.PATHS).nodes
    ended: Counter[Place] = Counter()
    for log in logs:
        cycles: dict[int, list[Transition]] = {}
        for transition in fold(PHASE, None, foldable(log), watermark_us).transitions:
            cycles.setdefault(transition.cycle, []).append(transition)
        for cycle, transitions in cycles.items():
            if transitions[0].at_us >= from_us:
                last = transitions[-1]
                ended[Place(min(cycle, 3), last.to_phase, last.kind == LAPSE)] += 1
    assert all(min(node[1:]) >= 0 for node in nodes)
    assert {node.place: node.closing for node in nodes if node.closing} == ended


def test_the_smallest_edges_are_one() -> None:
    moves = [Moves(False, 1, 1, phase, 1, number) for phase, number in ((2, 5), (3, 3), (4, 2))]
    assert [(edge.to_place, edge.number) for edge in flows(moves, 1).edges] == [(Place(1, 2), 5), (None, 5)]
