"""The parts of a journey's answer."""

import pytest

from services.api.journeys.answers import stays
from services.api.journeys.touchpoints import as_sent
from throughline.journey.durations import SECOND_US
from throughline.journey.state import ENTER, LAPSE, RETURN, Transition
from throughline.models import load_model

MODEL = load_model("seven_phase")


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
    answers = stays(MODEL, moves, 100 * SECOND_US)
    assert [(stay.phase, stay.cycle, stay.seconds, stay.lapsed_at, stay.left_at) for stay in answers] == [
        ("discovery", 1, 10.0, None, "1970-01-01T00:00:10Z"),
        ("decision", 1, 60.0, "1970-01-01T00:00:40Z", "1970-01-01T00:01:10Z"),
        ("decision", 2, 30.0, None, None),
    ]


@pytest.mark.parametrize("as_of_us", [None, 5 * SECOND_US])
def test_a_stay_is_never_negative(as_of_us: int | None) -> None:
    assert stays(MODEL, [transition(10, 0, 1)], as_of_us)[0].seconds == 0.0


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
