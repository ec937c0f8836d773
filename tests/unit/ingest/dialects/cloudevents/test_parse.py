"""CloudEvents over HTTP to touchpoints and verdicts, on messages as their SDKs make them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from services.ingest.dialects.base import Request
from services.ingest.dialects.cloudevents.parse import name_of, parse_cloudevents
from services.ingest.validate.request import Result
from tests.support.dialect_requests import NOW, codes, only, post, rest
from tests.support.dialect_requests import take as take_by
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

FIXTURES = Path(__file__).parents[4] / "fixtures" / "cloudevents"
MESSAGES = json.loads((FIXTURES / "sdks.json").read_text())
TIME = "2026-11-23T20:00:00Z"
TIME_US = NOW - 28 * 60_000_000 - 33_000_000
BASE = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "com.acme.cart_viewed",
    "subject": "ada",
    "time": TIME,
}
BATCH = ((b"content-type", b"application/cloudevents-batch+json; charset=utf-8"),)


def take(request: Request) -> Result:
    return take_by(parse_cloudevents, request)


def batch(*events: Any) -> Result:
    return take(post(list(events), headers=BATCH))


def one(**fields: Any) -> Touchpoint:
    return only(batch({**BASE, **fields}))


def binary(body: bytes, media_type: str | None = "application/json", **attributes: str | bytes) -> Result:
    headers = [
        (f"ce-{name}".encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in {**BASE, **attributes}.items()
    ]
    if media_type is not None:
        headers.append((b"content-type", media_type.encode()))
    return take(post(body, headers=headers))


@pytest.mark.parametrize("name", MESSAGES)
def test_what_the_sdks_send(name: str) -> None:
    message = MESSAGES[name]
    headers = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in message["headers"].items()]
    touchpoint = only(
        take(post(message["body"].encode("latin-1" if name == "python bytes" else "utf-8"), headers=headers))
    )
    number = int(touchpoint.message_id.rpartition("-")[2])
    assert touchpoint.message_id == f"https://shop.example/orders#id-{number}"
    assert (touchpoint.call, touchpoint.name, touchpoint.actor) == ("track", "order_completed", "ada")
    assert TIME_US < touchpoint.occurred_us < TIME_US + 1_000_000
    properties = rest(touchpoint)["properties"]
    expected = {3: {"data": "hello"}, 4: {"data_base64": "/wA="}, 5: {"data_base64": "/wA="}}
    expected |= {12: expected[3], 13: expected[5]}
    if number in expected:
        assert properties == expected[number]
    else:
        assert touchpoint.order_id == properties["order_id"]
    if number in (1, 11):
        assert rest(touchpoint)["cloudevents"]["note"] == 'Größe 100% "ok"'


def test_every_attribute_is_kept() -> None:
    touchpoint = one(data={"total": 5}, dataschema="urn:x", partitionkey="p")
    attributes = {**BASE, "dataschema": "urn:x", "partitionkey": "p"}
    assert rest(touchpoint) == {"properties": {"total": 5}, "cloudevents": attributes}
    assert (touchpoint.name, touchpoint.value, touchpoint.message_id) == ("cart_viewed", 5.0, "/shop#1")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("com.example.shop.product_viewed", "product_viewed"),
        ("com.example.ProductViewed", "ProductViewed"),
        ("com.example.order.completed.v1", "order_completed"),
        ("com.example.Order.Completed", "Order_Completed"),
        ("com.example.order.paid", "order_paid"),
        ("com.example.purchase/2.0", "purchase"),
        ("com.example.purchase.v1_2", "purchase"),
        ("https://example.com/events/order-completed", "order-completed"),
        ("Order Completed", "Order Completed"),
        ("completed", "completed"),
        ("v1", "v1"),
    ],
)
def test_names(kind: str, name: str) -> None:
    assert name_of(kind) == name


@pytest.mark.parametrize(
    ("fields", "user", "anonymous"),
    [
        ({}, "ada", ""),
        ({"userid": "ben"}, "ben", ""),
        ({"anonymousid": "a"}, "", "a"),
        ({"userid": "ben", "anonymousid": "a"}, "ben", "a"),
        ({"userid": "null", "anonymousid": "a"}, "", "a"),
        ({"userid": 7}, "7", ""),
    ],
)
def test_who(fields: dict[str, Any], user: str, anonymous: str) -> None:
    touchpoint = one(**fields)
    assert (touchpoint.user_id, touchpoint.anonymous_id) == (user, anonymous)


def test_ids_are_unique_within_their_source() -> None:
    assert one(source="/a").message_id != one(source="/b").message_id
    long = [one(source="/" + "x" * 200, id=event_id).message_id for event_id in ("1", "1", "2")]
    assert long[0] == long[1] != long[2]
    assert len(long[0]) == 32


@pytest.mark.parametrize(
    ("data", "properties"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": [1]}, {"data": [1]}),
        ({"data": "text", "datacontenttype": "text/plain"}, {"data": "text"}),
        ({"data_base64": base64.b64encode(b'{"a":1}').decode()}, {"a": 1}),
        ({"data_base64": base64.b64encode(b"[1]").decode(), "datacontenttype": "a/b+json"}, {"data": [1]}),
        ({"data_base64": base64.b64encode(b"<a/>").decode(), "datacontenttype": "text/xml"}, {"data": "<a/>"}),
        ({"data_base64": "/w==", "datacontenttype": "text/plain"}, {"data_base64": "/w=="}),
        ({"data": None}, None),
        ({}, None),
    ],
)
def test_data(data: dict[str, Any], properties: Any) -> None:
    assert rest(one(**data)).get("properties") == properties


def test_headers() -> None:
    touchpoint = only(binary(b'{"total": 5}', subject='"Ad\\"a%20%C3%A4"'))
    assert touchpoint.actor == 'Ad"a ä'
    assert only(binary(b"", subject="Größe".encode("latin-1"))).actor == "Größe"
    assert codes(binary(b"", subject="a%00")) == [("rejected", "nul_character", "subject")]
    assert codes(binary(b"", subject="a%ff")) == [("rejected", "invalid_unicode", "subject")]
    assert codes(binary(b"{", subject="ada")) == [("rejected", "unreadable_json", "data")]
    assert rest(only(binary(b"<a/>", "application/xml")))["properties"] == {"data": "<a/>"}
    assert rest(only(binary(b'{"a":1}', None)))["properties"] == {"a": 1}


def test_at_least_64_kib() -> None:
    text = "x" * (64 * 1024)
    assert len(rest(one(data={"text": text}))["properties"]["text"]) == len(text)
    assert rest(only(binary(b"\xff" * 64 * 1024, "application/octet-stream")))["properties"]["data_base64"]
    assert codes(batch({**BASE, "data": "x" * 150_000})) == [("rejected", "too_large", "")]


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        (1, "wrong_type", ""),
        ({}, "missing_field", "specversion"),
        ({**BASE, "specversion": "2.0"}, "unsupported_version", "specversion"),
        ({**BASE, "id": ""}, "missing_field", "id"),
        ({**BASE, "source": None}, "missing_field", "source"),
        ({**BASE, "type": 5}, "wrong_type", "type"),
        ({**BASE, "subject": "null"}, "illegal_id", "subject"),
        ({**BASE, "subject": None}, "missing_id", "subject"),
        ({**BASE, "type": "///"}, "missing_field", "type"),
        ({**BASE, "data_base64": "!"}, "unreadable_base64", "data_base64"),
        ({**BASE, "data_base64": "ä"}, "unreadable_base64", "data_base64"),
        ({**BASE, "data_base64": 1}, "unreadable_base64", "data_base64"),
        ({**BASE, "data": {"order_id": "\0"}}, "nul_character", "data.order_id"),
        ({**BASE, "data": {"orderId": "\ud800"}}, "invalid_unicode", "data.orderId"),
        ({**BASE, "time": "0000-01-01T00:00:00Z"}, "time_out_of_range", "time"),
    ],
)
def test_a_bad_event_harms_nobody(event: Any, code: str, field: str) -> None:
    assert codes(batch(BASE, event, BASE)) == [None, ("rejected", code, field), None]


def test_times() -> None:
    assert one(time="2026-11-23T20:00:00.123456789Z").occurred_us == TIME_US + 123_456
    assert one(time="soon").warnings == ("unreadable_time",)
    assert one(time=None).occurred_us == NOW


def test_the_mode_is_seen_without_a_content_type() -> None:
    assert only(take(post(BASE))).name == "cart_viewed"
    assert len(take(post([BASE, BASE])).touchpoints) == 2
    assert parse_cloudevents(post(BASE, "write_key=k")).write_key == "k"


@pytest.mark.parametrize("headers", [(), BATCH, ((b"content-type", b"application/cloudevents+json"),)])
@pytest.mark.parametrize("body", [b"", b"1", b"\xff", b"{"])
def test_a_body_nobody_can_read(body: bytes, headers: Any) -> None:
    with pytest.raises(ServiceError) as failure:
        parse_cloudevents(post(body, headers=headers))
    assert failure.value.status == 400
