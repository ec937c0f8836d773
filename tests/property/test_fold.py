"""The fold alone: equal to the naive walk, and foldable on from any point."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.reference import NAMES, distinct, walk
from tests.strategies import logs
from throughline.journey.diff import Deltas, move, retract
from throughline.journey.fold import Transition, fold
from throughline.journey.memory import Memory
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

MODEL = load_model("seven_phase")
PHASES = ("", *NAMES)


def sorted_log(log: list[Touchpoint]) -> list[Touchpoint]:
    return sorted(distinct(log))


def moves_of(transitions: list[Transition]) -> list[tuple[int, str, str, str]]:
    return [(t.at_us, PHASES[t.from_phase], PHASES[t.to_phase], t.message_id) for t in transitions]


@given(logs(customers=1))
def test_the_fold_is_the_naive_walk(log: list[Touchpoint]) -> None:
    _, transitions = fold(MODEL, None, sorted_log(log))
    assert moves_of(transitions) == walk(distinct(log))


@given(logs(customers=1), st.integers(0, 40))
def test_folding_on_is_folding_anew(log: list[Touchpoint], cut: int) -> None:
    events = sorted_log(log)
    whole, transitions = fold(MODEL, None, events)
    first, some = fold(MODEL, None, events[:cut])
    assert first is None or not any(first.is_late(event) for event in events[cut:])
    second, more = fold(MODEL, first, events[cut:])
    assert second == whole
    assert some + more == transitions
    assert [t.number for t in transitions] == list(range(len(transitions)))


@given(logs(customers=1))
def test_what_is_not_after_the_last_is_late(log: list[Touchpoint]) -> None:
    events = sorted_log(log)
    state, _ = fold(MODEL, None, events)
    assert all(state is not None and state.is_late(event) for event in events)


@given(logs(customers=1), st.integers(0, 40))
def test_counts_add_up_and_retract_to_nothing(log: list[Touchpoint], cut: int) -> None:
    events = sorted_log(log)
    deltas: Deltas = {}
    first, some = fold(MODEL, None, events[:cut])
    if first is not None:
        move(deltas, 1, None, first, some)
    whole, more = fold(MODEL, first, events[cut:])
    if whole is not None and events[cut:]:
        move(deltas, 1, first, whole, more)
    for cell, delta in deltas.items():
        if cell.phase:
            assert delta.entered == delta.active + delta.lapsed + delta.left
    assert sum(delta.active for delta in deltas.values()) == (whole is not None)
    if whole is not None:
        retract(deltas, 1, whole, some + more)
    assert not any(any(delta.as_tuple()) for delta in deltas.values())


@dataclass(frozen=True)
class Step:
    what: str
    order: str
    amount: float | None


steps = st.builds(
    Step,
    st.sampled_from(["place", "cancel", "refund"]),
    st.text(max_size=3),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.booleans(), st.lists(steps, max_size=8))
def test_memory_survives_being_kept_as_text(paged: bool, todo: list[Step]) -> None:
    memory = Memory(paged)
    for step in todo:
        if step.what == "place":
            memory.place(step.order, step.amount)
        elif step.what == "cancel":
            memory.cancel(step.order)
        else:
            memory.refund(step.order, step.amount)
    again = Memory.load(memory.dump())
    assert (again.paged, list(again.orders.items()), again.cancelled) == (
        memory.paged,
        list(memory.orders.items()),
        memory.cancelled,
    )
    assert again.dump() == memory.dump()
    assert (memory.dump() == "") == (not memory.paged and not memory.orders and not memory.cancelled)
