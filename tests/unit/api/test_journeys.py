"""The parts of a journey's answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.journeys.answers import TransitionPage, cycle_size, cycles, stays
from services.api.journeys.touchpoints import as_sent
from throughline.journey.durations import SECOND_US
from throughline.journey.state import ENTER, LAPSE, RETURN, Journey, Transition
from throughline.models import load_model

MODEL = load_model("seven_phase")
EMPTY = Journey(1, 1, 1, 0, 0, 0, 0, 1, "direct", 0, 0, 0, "", "", "", "")


def transition(at_s: int, came_from: int, to: int, cycle: int = 1, kind: int = ENTER) -> Transition:
    cause = ("", "", "abandoned") if kind == LAPSE else ("m", "user-1", "product_viewed")
    return Transition(at_s * SECOND_US, 0, cause[0], cause[1], kind, came_from, to, cycle, "Product Viewed", cause[2])


def test_stays_follow_the_transitions_and_the_open_one_counts_to_as_of() -> None:
    moves = [
        transition(0, 0, 1),
        transition(10, 1, 3),
        transition(40, 3, 3, kind=LAPSE),
        transition(70, 3, 3, cycle=2, kind=RETURN),
    ]
    answers = stays(MODEL, TransitionPage(moves[::-1], (), ()), 100 * SECOND_US)
    assert [(stay.phase, stay.cycle, stay.seconds, stay.lapsed_at, stay.left_at) for stay in answers[::-1]] == [
        ("discovery", 1, 10.0, None, "1970-01-01T00:00:10Z"),
        ("decision", 1, 60.0, "1970-01-01T00:00:40Z", "1970-01-01T00:01:10Z"),
        ("decision", 2, 30.0, None, None),
    ]


@pytest.mark.parametrize("as_of_us", [None, 5 * SECOND_US])
def test_a_stay_is_never_negative(as_of_us: int | None) -> None:
    assert stays(MODEL, TransitionPage([transition(10, 0, 1)], (), ()), as_of_us)[0].seconds == 0.0


def naive_journey(sizes: list[int], *, ends_in_lapse: bool) -> list[Transition]:
    """Cycles of so many phases each, oldest transition first; between two of them is a lapse."""
    moves: list[Transition] = []
    for cycle, size in enumerate(sizes, start=1):
        for phase in range(1, size + 1):
            moves.append(transition(len(moves) * 10, phase - 1, phase, cycle, RETURN if phase == 1 < cycle else ENTER))
        if cycle < len(sizes) or ends_in_lapse:
            moves.append(transition(len(moves) * 10, size, size, cycle, LAPSE))
    return moves


@given(st.lists(st.integers(1, len(MODEL.phases)), min_size=1, max_size=6), st.booleans(), st.integers(1, 9))
def test_all_pages_together_tell_the_whole_journey(sizes: list[int], ends_in_lapse: bool, limit: int) -> None:
    moves = naive_journey(sizes, ends_in_lapse=ends_in_lapse)
    newest = moves[::-1]
    journey = EMPTY._replace(cycle=len(sizes))
    whole = TransitionPage(newest, (), ())
    pages = [
        TransitionPage(
            newest[start : start + limit],
            newest[max(start - 2, 0) : start][::-1],
            newest[start + limit : start + limit + cycle_size(MODEL)],
        )
        for start in range(0, len(newest), limit)
    ]
    assert [c for page in pages for c in cycles(MODEL, journey, page)] == cycles(MODEL, journey, whole)
    assert [s for page in pages for s in stays(MODEL, page, None)] == stays(MODEL, whole, None)
    assert [(c.cycle, len(c.phases)) for c in cycles(MODEL, journey, whole)[::-1]] == list(enumerate(sizes, start=1))


def parts(rest: str) -> tuple[bytes, bytes]:
    properties, other = as_sent(rest)
    return bytes(properties), bytes(other)


def test_what_was_sent_comes_out_as_it_was() -> None:
    properties = '{"n":1e400,"n":2,"big":123456789012345678901234567890}'
    sent = f'{{"properties":{properties},"context":{{"a":1}}}}'
    assert parts(sent) == (properties.encode(), b'{"context":{"a":1}}')
    assert parts('{"traits":{"plan":"pro"}}') == (b'{"plan":"pro"}', b"{}")
    assert parts("{}") == (b"{}", b"{}")
    assert parts('{"s":"\\ud800"}') == (b"{}", b'"{\\"s\\":\\"\\\\ud800\\"}"')
    assert parts("not json") == (b"{}", b'"not json"')
