"""Claims on the log: what is written is read, names no id, and anything else is refused with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.journey.touchpoint import Touchpoint
from throughline.wire.claims import COPY, ERASE, MAX_DIGESTS, Claim, claim_of, encode_claim
from throughline.wire.codec import UndecodableError, decode

digests = st.binary(min_size=16, max_size=16)


@given(
    claim=st.builds(
        Claim,
        st.sampled_from([ERASE, COPY]),
        st.integers(1, 9),
        st.just("erase-1"),
        st.integers(1, 2**50),
        st.lists(digests, min_size=1, max_size=5).map(tuple),
        st.booleans(),
        st.booleans(),
    )
)
def test_a_claim_is_read_as_it_was_written(claim: Claim) -> None:
    touchpoint = decode(encode_claim(claim))
    assert claim_of(touchpoint) == claim
    assert touchpoint.actor.encode() == claim.key
    assert [touchpoint.user_id, touchpoint.anonymous_id, touchpoint.previous_id] == ["", "", ""]


@pytest.mark.parametrize(
    "rest",
    [
        "no JSON",
        "[]",
        "{}",
        '{"digests": [], "once": false, "whole": false}',
        '{"digests": ["00"], "once": false, "whole": false}',
        '{"digests": ["not hex"], "once": false, "whole": false}',
        '{"digests": 7, "once": false, "whole": false}',
        json.dumps({"digests": ["0" * 32] * (MAX_DIGESTS + 1), "once": False, "whole": False}),
    ],
)
def test_anything_else_is_no_claim(rest: str) -> None:
    with pytest.raises(UndecodableError):
        claim_of(Touchpoint(1, 0, "m", "a", ERASE, "", 1, rest=rest, received_us=1))
