"""Touchpoints survive the wire, whatever is in them, and the encoder by hand says what the generated one says."""

from hypothesis import example, given
from hypothesis import strategies as st

from throughline.kit.clock import MAX_US, MIN_US
from throughline.wire import codec
from throughline.wire.codec import Touchpoint, decode, encode
from throughline.wire.v1.touchpoint_pb2 import Touchpoint as Message

TEXT = st.text(max_size=200) | st.sampled_from(["", "é" * 100, "x" * 127, "x" * 128, "x" * 16_383, "x" * 16_384])
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
INSTANTS = st.integers(MIN_US, MAX_US) | st.sampled_from([0, 1, 2**28 - 1, 2**28, 1_795_465_713_000_000])
IDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300)
NEEDED = TEXT.filter(bool)

TOUCHPOINTS = st.builds(
    Touchpoint,
    occurred_us=INSTANTS,
    message_id=NEEDED,
    actor=NEEDED,
    call=TEXT,
    name=TEXT,
    workspace=IDS,
    source=IDS,
    channel=TEXT,
    received_us=INSTANTS,
    client_us=INSTANTS,
    user_id=TEXT,
    anonymous_id=TEXT,
    previous_id=TEXT,
    order_id=TEXT,
    value=NUMBERS,
    currency=TEXT,
    rating=NUMBERS,
    score=NUMBERS,
    product_id=TEXT,
    quantity=NUMBERS,
    warnings=st.lists(TEXT, max_size=3).map(tuple),
    rest=NEEDED,
)


@given(TOUCHPOINTS, st.booleans())
@example(Touchpoint(1, "m", "a", "track", "n"), False)
@example(Touchpoint(1_795_465_713_000_000, "m", "a", "track", "n", received_us=1_795_465_713_000_000, value=0.0), True)
def test_there_and_back(touchpoint: Touchpoint, same_times: bool) -> None:
    if same_times:
        touchpoint = touchpoint._replace(client_us=touchpoint.occurred_us, user_id=touchpoint.actor)
    value = encode(touchpoint)
    assert decode(value) == touchpoint
    assert Message.FromString(value) == Message.FromString(codec._encode_any(touchpoint))


def test_the_usual_touchpoint_is_encoded_by_hand() -> None:
    touchpoint = Touchpoint(
        1_795_465_713_000_000,
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
    assert decode(codec._encode_usual(touchpoint)) == touchpoint
