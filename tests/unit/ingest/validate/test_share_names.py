"""A code that a customer passes on is a fact of the event, and no channel of hers."""

import json

import pytest

from services.ingest.validate import share_names
from tests.support.dialect_requests import batch
from throughline.journey.model import normalise
from throughline.models import vocabulary


def test_the_names_are_those_of_the_vocabulary() -> None:
    assert {normalise(name) for name in vocabulary()["share"].names} == share_names.SHARES


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"event": "Invite Sent", "properties": {"code": "ANN10"}}, "ANN10"),
        ({"event": "product_shared", "properties": {"code": " ANN10 "}}, "ANN10"),
        ({"event": "Invite Sent", "properties": {"code": "PROMO", "referralCode": "ANN10"}}, "ANN10"),
        ({"event": "Invite Sent", "properties": {"code": ["ANN10"]}}, None),
        ({"event": "Coupon Applied", "properties": {"code": "ANN10"}}, None),
        ({"type": "identify", "traits": {"referral_code": "ANN10"}}, "ANN10"),
        ({"type": "identify", "traits": {"referralCode": "ANN10"}}, "ANN10"),
        ({"type": "identify", "traits": {"code": "ANN10"}}, None),
        ({"type": "identify"}, None),
    ],
)
def test_a_code_that_is_passed_on(event: dict[str, object], code: str | None) -> None:
    (touchpoint,) = batch({"type": "track", "userId": "ann", "messageId": "m1", **event}).touchpoints
    facts = json.loads(touchpoint.attribution or "{}")
    assert facts.get("referral_code") == code
    if "referralCode" not in str(event.get("properties")):
        assert touchpoint.channel == "direct"


def test_the_code_of_another_event_is_not_taken_over() -> None:
    ann = {"type": "identify", "userId": "ann", "messageId": "m1", "traits": {"referral_code": "ANN10"}}
    ben = {"type": "identify", "userId": "ben", "messageId": "m2"}
    first, second = batch(ann, ben).touchpoints
    assert "ANN10" in first.attribution
    assert second.attribution == ""
