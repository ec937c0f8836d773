"""RudderStack: what differs from Segment is where a beacon has its key."""

import json
from typing import Any

import pytest

from services.ingest.dialects.base import ParsedRequest, Request
from services.ingest.dialects.rudderstack.parse import parse_beacon
from tests.support.dialect_requests import validated
from throughline.kit.errors import ServiceError

NOW = 1_790_000_000_000_000
HAPPENED = 1_789_998_400_000_000
EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "m1"}
RUDDER = {
    **EVENT,
    "channel": "web",
    "rudderId": "r1",
    "anonymousId": "anon",
    "originalTimestamp": "2026-09-21T13:46:40.000Z",
    "properties": {"product_id": "p1"},
    "context": {"traits": {"plan": "gold"}},
    "integrations": {"All": True},
}


def beacon(query: str, body: Any) -> ParsedRequest:
    return parse_beacon(Request("POST", "/beacon/v1/batch", query, [], json.dumps(body).encode()))


def test_a_beacon_has_its_key_in_the_query() -> None:
    body = beacon("writeKey=tlw_%31&v=1", {"batch": [EVENT], "sentAt": "2026-09-21T13:46:41Z"})
    assert body.write_key == "tlw_1"
    assert [touchpoint.message_id for touchpoint in validated(body, NOW).touchpoints] == ["m1"]
    assert beacon("", {"batch": [EVENT], "writeKey": "tlw_2"}).write_key == "tlw_2"


def test_an_event_of_rudderstack_is_kept_whole() -> None:
    result = validated(beacon("writeKey=k", {"batch": [RUDDER]}), NOW)
    (touchpoint,) = result.touchpoints
    assert result.verdicts == [None]
    assert (touchpoint.call, touchpoint.name, touchpoint.user_id) == ("track", "Product Viewed", "ada")
    assert (touchpoint.anonymous_id, touchpoint.product_id) == ("anon", "p1")
    assert touchpoint.occurred_us == touchpoint.client_us == HAPPENED
    rest = json.loads(touchpoint.rest)
    assert (rest["channel"], rest["rudderId"], rest["context"]["traits"]) == ("web", "r1", {"plan": "gold"})


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"x"'])
def test_what_nobody_can_read_is_a_400(body: bytes) -> None:
    request = Request("POST", "/beacon/v1/batch", "writeKey=k", [], body)
    with pytest.raises(ServiceError) as failed:
        parse_beacon(request)
    assert failed.value.status == 400
