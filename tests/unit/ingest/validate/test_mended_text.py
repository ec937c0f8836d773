"""Half a character or a NUL in a free property costs the property a mark, and not the event."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.ingest.dialects.base import ParsedRequest, Request
from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.dialects.pos.parse import parse_sales
from services.ingest.dialects.posthog.parse import parse_capture
from services.ingest.dialects.shopify.parse import parse_webhook
from services.ingest.dialects.snowplow.parse import parse_payload
from tests.support.dialect_requests import batch, codes, post, segment, take, validated
from throughline.wire.codec import Touchpoint

EVENT = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1"}
MARK = "\ufffd"
BROKEN = [
    ('"\\ud83d"', MARK),
    ('"a\\ud83d b"', f"a{MARK} b"),
    ('"\\ude00\\ud83d"', MARK * 2),
    ('"\\u0000"', MARK),
    ('"\\ud83d\\ude00\\ud83d"', f"\U0001f600{MARK}"),
    ('"\\\\ud83d\\u0000"', f"\\ud83d{MARK}"),
]
SNOWPLOW = '{"data":{"schema":"iglu:a/order_completed/jsonschema/1-0-0","data":{"title":%s,"order_id":"A-1"}}}'


def note_of(touchpoint: Touchpoint) -> Any:
    properties = json.loads(touchpoint.rest)["properties"]
    return properties.get("title", properties.get("note"))


@pytest.mark.parametrize(("sent", "stored"), BROKEN)
@pytest.mark.parametrize(
    ("parse", "body", "field"),
    [
        (
            segment,
            '{"batch":[{"type":"track","event":"E","userId":"u","properties":{"title":%s}}]}',
            "properties.title",
        ),
        (parse_collect, '{"client_id":"c","events":[{"name":"e","params":{"title":%s}}]}', "params.title"),
        (parse_capture, '{"event":"e","distinct_id":"u","properties":{"title":%s}}', "properties.title"),
        (
            parse_cloudevents,
            '{"specversion":"1.0","type":"e","source":"s","id":"1","userid":"u","data":{"title":%s}}',
            "data.title",
        ),
        (parse_sales, '[{"receipt":"R-1","sold_at":"2026-01-31","customer":"u","total":5,"note":%s}]', "note"),
    ],
    ids=["segment", "ga4", "posthog", "cloudevents", "pos"],
)
def test_every_dialect_mends(
    parse: Callable[[Any], ParsedRequest], body: str, field: str, sent: str, stored: str
) -> None:
    content = (body % sent).encode()
    result = validated(parse(content if parse is segment else post(content)))
    (touchpoint,) = result.touchpoints
    assert note_of(touchpoint) == stored
    assert ("mended_text" in touchpoint.warnings, touchpoint.actor in ("u", "c")) == (True, True)
    assert ("warning", "mended_text", field) == codes(result)[0]


@pytest.mark.parametrize(("sent", "stored"), BROKEN)
def test_snowplow_mends_what_stands_in_base64_and_in_text(sent: str, stored: str) -> None:
    inner = SNOWPLOW % sent
    for fields in ({"ue_px": base64.b64encode(inner.encode()).decode()}, {"ue_pr": inner}):
        result = take(parse_payload, post({"data": [{"e": "ue", "aid": "a", "uid": "u", "eid": "m", **fields}]}))
        (touchpoint,) = result.touchpoints
        assert (note_of(touchpoint), touchpoint.order_id) == (stored, "A-1")
        assert "mended_text" in touchpoint.warnings


def test_shopify_mends() -> None:
    headers = [(b"x-shopify-topic", b"orders/create"), (b"x-shopify-event-id", b"e")]
    body = b'{"id":1,"customer":{"id":7},"line_items":[{"product_id":2,"title":"Tea \\ud83c"}]}'
    request = Request("POST", "/v1/shopify", "", headers, body)
    order = take(parse_webhook, request).touchpoints[0]
    assert (order.actor, order.order_id, order.warnings) == ("7", "1", ("mended_text", "missing_message_id")[:1])
    assert json.loads(order.rest)["properties"]["products"][0]["name"] == f"Tea {MARK}"


def test_bytes_that_are_not_utf8_are_mended_too() -> None:
    body = b'{"batch":[{"type":"track","event":"E","userId":"u","messageId":"m","properties":{"city":"Gr\xfcn"}}]}'
    result = validated(segment(body))
    assert codes(result) == [("warning", "mended_text", "properties.city")]
    assert json.loads(result.touchpoints[0].rest)["properties"] == {"city": f"Gr{MARK}n"}


def test_a_key_is_mended_and_an_id_is_not() -> None:
    assert codes(batch({**EVENT, "properties": {"\ud83d": 1, "order_id": "A"}})) == [
        ("warning", "mended_text", "properties")
    ]
    for fields in ({"userId": "a\ud83d"}, {"event": "a\0"}, {"properties": {"order_id": "a\0", "note": "\0"}}):
        assert [verdict and verdict[0] for verdict in codes(batch({**EVENT, **fields}))] == ["rejected"]


def test_a_mended_event_that_is_rejected_is_kept_as_it_was_sent() -> None:
    body = b'{"batch":[{"type":"track","userId":"u","properties":{"a":"\\ud83d"}}]}'
    result = validated(segment(body))
    assert [event.payload for event in result.rejected] == [body[10:-2]]


def test_what_is_mended_has_the_same_id_when_it_is_sent_again() -> None:
    timed = {**EVENT, "timestamp": "2026-11-23T20:28:00Z", "properties": {"note": "\ud83d"}}
    del timed["messageId"]
    first, second = (batch(timed).touchpoints[0].message_id for _ in range(2))
    assert first == second
    assert first != batch({**timed, "properties": {"note": "\ud83c!"}}).touchpoints[0].message_id
