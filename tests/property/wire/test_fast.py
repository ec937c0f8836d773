"""The fast encoder says what the generated message says, for every field."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies.wire import TOUCHPOINTS
from throughline.journey.touchpoint import Touchpoint
from throughline.wire.codec import decode, encode, encode_plain
from throughline.wire.fast import encoder
from throughline.wire.v1.touchpoint_pb2 import Touchpoint as Message

USUAL = Touchpoint(
    1_795_465_713_000_000,
    3,
    "0d6b8f0e-8b0e-4f0e-9c55-2c9d7a3f6f11",
    "customer-42",
    "track",
    "Order Completed",
    workspace=1,
    source=2,
    channel="direct",
    received_us=1_795_465_714_000_000,
    client_us=1_795_465_700_000_000,
    user_id="customer-42",
    anonymous_id="anonymous-7",
    order_id="A-1",
    value=59.9,
    currency="EUR",
    rest='{"properties":{"total":59.9}}',
)


@given(TOUCHPOINTS, st.booleans())
@example(Touchpoint(1, 0, "m", "a", "track", "n"), False)
@example(
    Touchpoint(1_795_465_713_000_000, 0, "m", "a", "track", "n", received_us=1_795_465_713_000_000, value=0.0), True
)
def test_both_encoders_say_the_same(touchpoint: Touchpoint, same_values: bool) -> None:
    if same_values:
        touchpoint = touchpoint._replace(client_us=touchpoint.occurred_us, user_id=touchpoint.actor)
    value = encode(touchpoint)
    assert Message.FromString(value) == Message.FromString(encode_plain(touchpoint))
    assert decode(value) == touchpoint


encode_or_mark = encoder(lambda _: b"unusual")


def test_a_usual_touchpoint_takes_the_fast_encoder() -> None:
    assert decode(encode_or_mark(USUAL)) == USUAL


@pytest.mark.parametrize("unusual", [{"occurred_us": -1}, {"client_us": 1}, {"name": "x", "rest": "x" * 16_384}])
def test_an_unusual_touchpoint_takes_the_plain_encoder(unusual: dict[str, object]) -> None:
    touchpoint = USUAL._replace(**unusual)  # type: ignore[arg-type]
    assert encode_or_mark(touchpoint) == b"unusual"
    assert encode(touchpoint) == encode_plain(touchpoint)


def test_every_field_is_in_the_message() -> None:
    assert {field.name for field in Message.DESCRIPTOR.fields} == set(Touchpoint._fields)
