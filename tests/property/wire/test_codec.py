"""Touchpoints through protobuf and back; what is not a touchpoint has a code and a field."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import MAX_US, MIN_US
from throughline.wire.codec import UndecodableError, decode, encode


def outcome(value: bytes) -> Touchpoint | str:
    try:
        return decode(value)
    except UndecodableError as error:
        return error.code


@given(st.binary(max_size=40))
def test_any_bytes_are_a_touchpoint_or_undecodable(value: bytes) -> None:
    result = outcome(value)
    if isinstance(result, str):
        assert result in ("undecodable", "missing_field", "time_out_of_range", "not_finite")
    else:
        assert result.actor
        assert result.message_id


@pytest.mark.parametrize("field", ["value", "rating", "score", "quantity"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_by_name(field: str, number: float) -> None:
    numbers: dict[str, Any] = {field: number}
    touchpoint = Touchpoint(0, 0, "m", "a", "track", "x")._replace(**numbers)
    with pytest.raises(UndecodableError) as caught:
        decode(encode(touchpoint))
    assert (caught.value.code, caught.value.field) == ("not_finite", field)


@given(st.integers(-(2**63), MIN_US - 1) | st.integers(MAX_US + 1, 2**63 - 1))
def test_an_instant_outside_the_years_1_to_9999_is_refused(instant: int) -> None:
    with pytest.raises(UndecodableError, match="1-9999"):
        decode(encode(Touchpoint(instant, 0, "m", "a", "track", "x")))
