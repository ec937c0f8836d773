"""An empty list where an object belongs says nothing: PHP writes its empty map so."""

import base64
import json
from typing import Any

import pytest

from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.dialects.posthog.parse import parse_capture
from services.ingest.dialects.shopify.parse import parse_webhook
from services.ingest.dialects.snowplow.parse import parse_payload
from tests.support.dialect_requests import batch, post, take
from throughline.wire.codec import Touchpoint

TIME = "2026-11-23T20:28:00Z"
EVENT = {"type": "identify", "userId": "u-1", "messageId": "m-1", "timestamp": TIME}


def same(parse: Any, with_list: Any, without: Any, headers: Any = ()) -> None:
    """Checks that the event with a list is accepted, and is the same as the one without."""

    def taken(body: Any) -> list[Touchpoint]:
        result = take(parse, post(body, headers=list(headers)))
        assert result.verdicts == [None] * len(result.touchpoints)
        # What is kept of a context is kept as sent, with the list.
        return [touchpoint._replace(message_id="", rest="") for touchpoint in result.touchpoints]

    assert taken(with_list) == taken(without)


@pytest.mark.parametrize("member", ["properties", "traits", "context", "integrations"])
@pytest.mark.parametrize("shared", [{}, {"context": {"ip": "1.2.3.4"}, "integrations": {"All": True}}])
def test_segment(member: str, shared: Any) -> None:
    (plain,) = batch(EVENT, **shared).touchpoints
    empties: list[list[str] | None] = [[], None]
    for empty in empties:
        result = batch({**EVENT, member: empty}, **shared)
        assert result.touchpoints == [plain]
    assert batch(EVENT, context=[], integrations=[]).touchpoints == batch(EVENT).touchpoints
    for part in ("page", "campaign", "device", "app", "consent", "library", "os", "referrer"):
        (touchpoint,) = batch({**EVENT, "context": {part: []}}).touchpoints
        assert touchpoint.warnings == ()
    assert batch({**EVENT, member: [1]}).verdicts != [None] or member == "integrations"


@pytest.mark.parametrize("empty", ["[]", "[ ]"])
def test_ga4(empty: str) -> None:
    event = {"name": "quiz", "params": {}}
    head = {"client_id": "c.1", "timestamp_micros": 1_795_465_713_000_000}
    for name in ("user_properties", "consent", "device", "user_location"):
        same(parse_collect, {**head, name: json.loads(empty), "events": [event]}, {**head, "events": [event]})
    body = json.dumps({**head, "events": [{"name": "quiz", "params": 0}]}).replace('"params": 0', f'"params": {empty}')
    same(parse_collect, body.encode(), {**head, "events": [{"name": "quiz"}]})


@pytest.mark.parametrize("member", ["properties", "$set", "$set_once", "$unset", "options"])
def test_posthog(member: str) -> None:
    event = {"event": "$set", "distinct_id": "u-1", "uuid": "m-1", "timestamp": TIME}
    same(parse_capture, {**event, member: []}, event)
    for inner in ("$set", "$set_once", "$group_set"):
        both = {**event, "$set": {"a": 1}, "properties": {inner: []}}
        (touchpoint,) = take(parse_capture, post(both)).touchpoints
        assert json.loads(touchpoint.rest)["traits"] == {"a": 1}


def test_snowplow() -> None:
    event = {"e": "ue", "aid": "a", "uid": "u-1", "eid": "m-1", "dtm": "1795465713000"}
    empties: list[Any] = [[], {}]
    for data in empties:
        inner = json.dumps({"data": {"schema": "iglu:a/quiz/jsonschema/1-0-0", "data": data}})
        for fields in ({"ue_pr": inner}, {"ue_px": base64.b64encode(inner.encode()).decode(), "co": "[]"}):
            (touchpoint,) = take(parse_payload, post({"data": [{**event, **fields}]})).touchpoints
            assert (touchpoint.name, touchpoint.warnings, touchpoint.rest) == ("quiz", (), "{}")


def test_cloudevents() -> None:
    event = {"specversion": "1.0", "type": "quiz", "source": "s", "id": "1", "userid": "u-1", "time": TIME}
    same(parse_cloudevents, {**event, "data": []}, event)
    same(parse_cloudevents, {**event, "data_base64": base64.b64encode(b"[]").decode()}, event)


def test_shopify() -> None:
    headers = [
        (b"x-shopify-topic", b"orders/create"),
        (b"x-shopify-event-id", b"e"),
        (b"x-shopify-triggered-at", b"2026-11-23T20:28:00Z"),
    ]
    order = {"id": 1, "cart_token": "c-1"}
    for name in ("customer", "client_details", "note_attributes", "line_items", "discount_codes"):
        same(parse_webhook, {**order, name: []}, order, headers)
