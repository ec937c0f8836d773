"""RudderStack and Jitsu: what differs from Segment is where the key and the call stand."""

import json
from typing import Any

import pytest

from services.ingest.dialects import rudder
from services.ingest.dialects.base import ParsedRequest, Request
from services.ingest.validate.request import Result
from tests.support.dialect_requests import parsed, validated
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


def judged(body: ParsedRequest) -> Result:
    return validated(body, NOW)


def beacon(query: str, body: Any) -> ParsedRequest:
    return rudder.parse(Request("POST", "/beacon/v1/batch", query, [], json.dumps(body).encode()))


def jitsu_event(path: str, body: Any, *headers: tuple[bytes, bytes]) -> ParsedRequest:
    return parsed(Request("POST", path, "", headers, json.dumps(body).encode()))


def test_a_beacon_has_its_key_in_the_query() -> None:
    body = beacon("writeKey=tlw_%31&v=1", {"batch": [EVENT], "sentAt": "2026-09-21T13:46:41Z"})
    assert body.write_key == "tlw_1"
    assert [touchpoint.message_id for touchpoint in judged(body).touchpoints] == ["m1"]
    assert beacon("", {"batch": [EVENT], "writeKey": "tlw_2"}).write_key == "tlw_2"


def test_an_event_of_rudderstack_is_kept_whole() -> None:
    result = judged(beacon("writeKey=k", {"batch": [RUDDER]}))
    (touchpoint,) = result.touchpoints
    assert result.verdicts == [None]
    assert (touchpoint.call, touchpoint.name, touchpoint.user_id) == ("track", "Product Viewed", "ada")
    assert (touchpoint.anonymous_id, touchpoint.product_id) == ("anon", "p1")
    assert touchpoint.occurred_us == touchpoint.client_us == HAPPENED
    rest = json.loads(touchpoint.rest)
    assert (rest["channel"], rest["rudderId"], rest["context"]["traits"]) == ("web", "r1", {"plan": "gold"})


@pytest.mark.parametrize("path", ["/api/s/page", "/api/s/s2s/page"])
def test_jitsu_names_its_call_in_the_path(path: str) -> None:
    event = {"type": "page", "name": "Home", "anonymousId": "a", "messageId": "m", "writeKey": "k:***"}
    body = jitsu_event(path, event, (b"x-write-key", b"k:secret"))
    assert body.write_key == "k:secret"
    (touchpoint,) = judged(body).touchpoints
    assert (touchpoint.call, touchpoint.name, touchpoint.anonymous_id) == ("page", "Home", "a")


def test_jitsu_without_the_header_has_the_key_of_its_body() -> None:
    assert jitsu_event("/api/s/track", {**EVENT, "writeKey": "k:***"}).write_key == "k:***"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"x"'])
def test_what_nobody_can_read_is_a_400(body: bytes) -> None:
    request = Request("POST", "/beacon/v1/batch", "writeKey=k", [], body)
    with pytest.raises(ServiceError) as failed:
        rudder.parse(request)
    assert failed.value.status == 400
