"""The fold alone: equal to the naive walk under every model, foldable on from any point, and its counts add up."""

from collections.abc import Iterable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import LAPSE, Counts, NaiveTransition, State, counts_at, naive_model, walk
from tests.reference.models import foreign, orphans
from tests.reference.trail import Told, Trail
from tests.reference.walk import in_order
from tests.strategies.touchpoints import MODELS, customer_logs, foldable, watermarks
from throughline.journey import checkpoint
from throughline.journey import fold as folding
from throughline.journey.diff import Deltas, contribute
from throughline.journey.fold import Folded
from throughline.journey.lapse import NEVER, due_us
from throughline.journey.memory import CHURNED, Memory, refund_counts_of
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import follow, read
from throughline.models import load_model

models = st.sampled_from(MODELS)
fold = partial(folding.fold, follow=follow)
cuts = st.lists(st.integers(0, 30), max_size=3).map(sorted)


def state_of(journey: Journey | None) -> State | None:
    if journey is None:
        return None
    return State(
        phase=journey.phase,
        highest=journey.highest_phase,
        cycle=journey.cycle,
        lapsed_us=journey.lapsed_us,
        churned=bool(journey.flags & CHURNED),
        entered_us=journey.entered_us,
        active_us=journey.active_us,
        source=journey.source,
        channel=journey.channel,
        first_us=journey.first_us,
        last=journey.last_key,
        trail=Trail(*read(journey.trail)[:4]),
    )


def moves_of(transitions: Iterable[Transition]) -> list[NaiveTransition]:
    return [NaiveTransition(*transition[:10], Told(*transition[10:])) for transition in transitions]


def then(transitions: list[Transition], folded: Folded) -> list[Transition]:
    """All transitions after another fold: without the lapse that turned out not to be, and with what followed."""
    if folded.revoked is None:
        return transitions + folded.transitions
    assert transitions[-1][:10] == folded.revoked[:10]
    return transitions[:-1] + folded.transitions


@given(name=models, data=st.data(), events=customer_logs())
def test_the_fold_is_the_naive_walk(name: str, data: st.DataObject, events: list[Touchpoint]) -> None:
    watermark_us = data.draw(watermarks(events))
    folded = fold(load_model(name), None, foldable(events), watermark_us)
    state, moves = walk(naive_model(name), events, watermark_us)
    assert moves_of(folded.transitions) == moves
    assert state_of(folded.journey) == state
    assert folded.revoked is None


@given(name=models, data=st.data(), events=customer_logs(), at=cuts)
def test_folding_on_is_folding_anew(name: str, data: st.DataObject, events: list[Touchpoint], at: list[int]) -> None:
    """From any cut, and whatever the clock had already called a lapse by then."""
    model, todo = load_model(name), foldable(events)
    journey: Journey | None = None
    transitions: list[Transition] = []
    watermark_us = 0
    for start, end in zip([0, *at], [*at, len(todo)], strict=True):
        assert journey is None or not any(journey.is_late(event) for event in todo[start:])
        watermark_us = max(watermark_us, data.draw(watermarks(events)))
        folded = fold(model, journey, todo[start:end], watermark_us)
        journey, transitions = folded.journey, then(transitions, folded)
    anew = fold(model, None, todo, watermark_us)
    assert journey == anew.journey
    assert transitions == anew.transitions
    assert transitions == sorted(transitions)
    assert len({transition[:4] for transition in transitions}) == len(transitions)


@given(name=models, data=st.data(), events=customer_logs())
def test_the_clock_alone_lapses_whom_it_must(name: str, data: st.DataObject, events: list[Touchpoint]) -> None:
    model, todo = load_model(name), foldable(events)
    folded = fold(model, None, todo)
    if folded.journey is None:
        return
    due = due_us(model, folded.journey)
    for watermark_us in (data.draw(watermarks(events)), due - 1, min(due, NEVER - 1)):
        settled = fold(model, folded.journey, (), watermark_us)
        assert [step.at_us for step in settled.transitions] == ([due] if due <= watermark_us else [])
        anew = fold(model, None, todo, watermark_us)
        assert settled.journey == anew.journey
        assert fold(model, anew.journey or folded.journey, (), watermark_us) == Folded(anew.journey, [], None)


@given(name=models, events=customer_logs())
def test_what_is_not_after_the_last_is_late(name: str, events: list[Touchpoint]) -> None:
    todo = foldable(events)
    journey = fold(load_model(name), None, todo).journey
    assert all(journey is not None and journey.is_late(event) for event in todo)


@given(name=models, data=st.data(), events=customer_logs(), at=cuts, every=st.integers(1, 6))
def test_checkpoints_are_where_a_fold_may_start(
    name: str, data: st.DataObject, events: list[Touchpoint], at: list[int], every: int
) -> None:
    model, todo = load_model(name), foldable(events)
    checkpoints: list[Journey] = []
    journey: Journey | None = None
    transitions: list[Transition] = []
    since = watermark_us = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", every)
        for start, end in zip([0, *at], [*at, len(todo)], strict=True):
            watermark_us = max(watermark_us, data.draw(watermarks(events)))
            step = checkpoint.advance(model, journey, todo[start:end], watermark_us, since, has_trail=True)
            transitions = then(transitions, Folded(step.journey, step.transitions, step.revoked))
            journey, since = step.journey, step.since
            checkpoints += step.checkpoints
            assert since < every
    whole = fold(model, None, todo, watermark_us)
    assert (journey, transitions) == (whole.journey, whole.transitions)
    for state in checkpoints:
        rest = [event for event in todo if event.order_key > state.last_key]
        before = [step for step in transitions if step[:4] <= state.last_key]
        again = fold(model, state, rest, watermark_us)
        assert again.journey == whole.journey
        assert before + again.transitions == transitions
    assert len(checkpoints) >= len(todo) // every - len(at)


@given(name=models, data=st.data(), events=customer_logs(), at=cuts)
def test_counts_add_up_and_retract_to_nothing(
    name: str, data: st.DataObject, events: list[Touchpoint], at: list[int]
) -> None:
    model, todo = load_model(name), foldable(events)
    deltas: Deltas = {}
    journey: Journey | None = None
    transitions: list[Transition] = []
    watermark_us = 0
    for start, end in zip([0, *at], [*at, len(todo)], strict=True):
        watermark_us = max(watermark_us, data.draw(watermarks(events)))
        folded = fold(model, journey, todo[start:end], watermark_us)
        if folded.journey is not None:
            contribute(deltas, 1, folded.journey, journey, folded.transitions, revoked=folded.revoked)
        journey, transitions = folded.journey, then(transitions, folded)
    state, moves = walk(naive_model(name), events, watermark_us)
    journeys = [(state, moves)] if state is not None else []
    assert summed(deltas) == counts_at(journeys)
    for instant in sorted({cell.minute_us + late for cell in deltas for late in (0, 60_000_000)}):
        then_there = summed({cell: delta for cell, delta in deltas.items() if cell.minute_us < instant})
        assert then_there == counts_at(journeys, instant)
        assert sum(count.active + count.lapsed for count in then_there.values()) <= 1
        for (_, _, phase), count in then_there.items():
            assert min(count) >= 0
            assert not phase or count.entered == count.active + count.lapsed + count.left
            assert count.churned <= count.lapsed
            assert count.returned <= count.entered
    if journey is not None:
        contribute(deltas, 1, journey, None, transitions, sign=-1)
    assert not any(any(delta) for delta in deltas.values())


def summed(deltas: Deltas) -> dict[tuple[int, str, int], Counts]:
    """(source, channel, phase) -> what there is, without cells where nothing ever was."""
    sums: dict[tuple[int, str, int], Counts] = {}
    for (_, source, channel, phase, _), delta in deltas.items():
        so_far = sums.get((source, channel, phase), Counts())
        sums[(source, channel, phase)] = Counts(*(a + b for a, b in zip(so_far, delta, strict=True)))
    return {cell: count for cell, count in sums.items() if any(count)}


@given(name=models, events=customer_logs())
def test_a_lapse_leaves_nobody_and_a_return_leaves_once(name: str, events: list[Touchpoint]) -> None:
    transitions = fold(load_model(name), None, foldable(events)).transitions
    phase, cycle, lapsed = 0, 1, False
    for step in transitions:
        assert step.from_phase == phase
        if step.kind == LAPSE:
            assert (step.to_phase, step.cycle, lapsed) == (phase, cycle, False)
        elif lapsed:
            assert step.cycle == cycle + 1
        else:
            assert (step.cycle, step.to_phase > phase) == (cycle, True)
        phase, cycle, lapsed = step.to_phase, step.cycle, step.kind == LAPSE


@given(name=models, events=customer_logs(), at=st.integers(0, 30))
def test_refunds_that_take_nothing_back_are_counted(name: str, events: list[Touchpoint], at: int) -> None:
    model, todo = load_model(name), foldable(events)
    journey = fold(model, None, todo[:at]).journey
    journey = fold(model, journey, todo[at:]).journey
    counted = refund_counts_of(journey.memory if journey else "")
    for actual, expected in zip(counted, (orphans, foreign), strict=True):
        by_source = expected(naive_model(name), in_order(events))
        assert actual == {str(source): number for source, number in by_source.items()}


@given(events=customer_logs())
def test_memory_survives_being_kept_as_text(events: list[Touchpoint]) -> None:
    journey = fold(load_model("seven_phase"), None, foldable(events)).journey
    text = journey.memory if journey else ""
    memory = Memory.load(text, 0)
    assert memory.dump() == text
    assert (text == "") == (not memory.orders and not memory.cart and not memory.orphans and not memory.foreign)
