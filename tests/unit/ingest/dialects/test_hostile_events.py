"""Inputs that the fuzzers, or who wrote them, once broke ingest with. Each is an event or a body that mean no good."""

import json
import tracemalloc
from typing import Any

import pytest

from services.ingest.dialects.base import Request
from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.dialects.pos.parse import parse_sales
from services.ingest.dialects.posthog.parse import parse_capture
from services.ingest.dialects.registry import RULES
from services.ingest.dialects.shopify.parse import parse_webhook
from services.ingest.dialects.snowplow.parse import parse_payload
from services.ingest.event.verdict import MAX_BODY_BYTES, MAX_EVENT_BYTES, MAX_TEXT
from services.ingest.http.keys import MAX_CACHED_BYTES, Keys
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.request import Result
from services.ingest.validate.touchpoint import MAX_SHARED
from tests.support.dialect_requests import codes, only, payloads, post, segment, take, validated
from tests.support.laws import NOW, check
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey, key_digest
from throughline.wire.codec import NO_ENVELOPE, encode

GOOD = {"type": "track", "event": "E", "userId": "good", "timestamp": "2026-11-23T20:00:00Z"}
WEB = SourceKey(key_digest("key"), 1, 1, "web", enabled=True)
HUGE = 10**400
"""An integer that JSON can say and no 64-bit float can hold."""


def taken(body: bytes, call: str = "") -> Result:
    opened = segment(body, call)
    result = validated(opened)
    check(result, len(opened.events))
    return result


def batch(*events: bytes) -> bytes:
    return b'{"batch":[' + b",".join(events) + b"]}"


@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp", "sentAt"])
def test_a_time_too_large_for_any_clock(field: str) -> None:
    result = taken(json.dumps({"batch": [GOOD, {**GOOD, field: HUGE}, GOOD]}).encode())
    assert codes(result) == [None, ("rejected", "time_out_of_range", field), None]
    assert len(taken(json.dumps({"batch": [GOOD], "sentAt": HUGE}).encode()).touchpoints) == 1


def test_an_order_id_is_as_short_as_any_text() -> None:
    for order_id in (HUGE**2, "x" * (MAX_TEXT + 1)):
        result = taken(json.dumps({**GOOD, "properties": {"order_id": order_id}}).encode(), "track")
        assert codes(result) == [("warning", "wrong_type", "properties.order_id")]
        assert only(result).order_id == ""


def test_posthogs_offset_too_large_for_any_clock() -> None:
    event = {"event": "E", "distinct_id": "ada", "uuid": "m"}
    result = take(parse_capture, post([event, {**event, "offset": HUGE}]))
    assert codes(result)[1] == ("rejected", "number_out_of_range", "offset")
    assert len(result.touchpoints) == 1


def test_a_form_of_many_fields() -> None:
    with pytest.raises(ServiceError, match="more than 100 fields"):
        parse_capture(post(b"data=" + b"&a=1" * 200))


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (parse_collect, b'{"client_id":1%s,"events":[{"name":"a"}]}'),
        (parse_collect, b'{"client_id":"a","other":1%s,"events":[{"name":"a"}]}'),
        (parse_capture, b'{"sent_at":1%s,"batch":[]}'),
        (parse_capture, b'{"api_key":1%s,"batch":[]}'),
    ],
)
def test_what_a_batch_says_of_itself_can_not_be_held(read: Any, body: bytes) -> None:
    with pytest.raises(ServiceError) as failed:
        read(post(body % (b"0" * 5000)))
    assert (failed.value.status, failed.value.code) == (400, "number_out_of_range")
    assert failed.value.field in ("client_id", "other", "sent_at", "api_key")


@pytest.mark.parametrize("shadowed", [b'"\\ud800"', b'"\xff"', b"1" * 5000])
def test_what_a_name_given_twice_hides(shadowed: bytes) -> None:
    """Only the last one is read, but all of them are kept."""
    hidden = b'{"a":%s,"a":"\\u0000","a":1}' % shadowed
    for body in (b'{"context":%s,"batch":[]}' % hidden, b'{"integrations":%s,"batch":[]}' % hidden):
        with pytest.raises(ServiceError) as failed:
            taken(body)
        assert failed.value.status == 400
    for read, member in ((parse_collect, b"events"), (parse_capture, b"batch")):
        with pytest.raises(ServiceError) as failed:
            read(post(b'{"client_id":%s,"sent_at":%s,"%s":[]}' % (hidden, hidden, member)))
        assert failed.value.status == 400
    for body in (hidden, b'{"batch":[%s]}' % hidden):
        assert len(taken(body, "" if b"batch" in body else "track").rejected) == 1


@pytest.mark.parametrize("deep", [380, 410, 900, *range(930, 1000, 3)])
def test_nesting_harms_nobody_else(deep: int) -> None:
    """Around what the decoders can read: one of them may read what the next one can not."""
    nested = b'{"type":"track","event":"E","userId":"u","properties":{"a":' + b"[" * deep + b"]" * deep + b"}}"
    good = json.dumps(GOOD).encode()
    try:
        result = taken(batch(good, nested, good))
    except ServiceError as error:
        failed = error
    else:
        assert len(result.touchpoints) == (3 if deep < 400 else 2)
        return
    assert failed.code == "nested_too_deeply"
    assert deep > 900


def test_what_is_wrong_with_one_event_leaves_the_others_as_they_were_sent() -> None:
    good = b'{ "type":"track","event":"E","userId":"\\u0067ood","timestamp":1795465653,"properties":{"a":[%s1E15]} }'
    good %= b"1e15, " * 4000
    alone = only(taken(batch(good)))
    broken = (
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\u0000"}',
        b'{"a":"\xff"}',
        b'{"a":1,"a":1e999}',
        b'{"a":"\xff","a":1}',
    )
    for broken_event in broken:
        result = taken(batch(good, broken_event, good))
        assert result.touchpoints == [alone, alone._replace(place=2)]
        assert payloads(result) == [broken_event]
    for read, member, event in (
        (parse_payload, b"data", b'{"e":"pv", "uid":"ada","eid":"m","dtm":"1795465653000","x":"\\u00e9"}'),
        (parse_collect, b"events", b'{"name":"a", "timestamp_micros":1,"params":{"x":1e15}}'),
        (parse_capture, b"batch", b'{"event":"E", "distinct_id":"ada","properties":{"x":1e15}, "uuid":"m"}'),
    ):
        start = b'{"client_id":"c","' + member + b'":['
        single = only(take(read, post(start + event + b"]}")))
        for broken_event in broken:
            parsed_result = take(read, post(start + event + b"," + broken_event + b" , " + event + b"]}"))
            assert parsed_result.touchpoints[0] == single
            assert payloads(parsed_result) == [broken_event]


def test_a_refused_event_is_kept_as_it_was_sent_and_is_no_larger() -> None:
    """So that it fits into Kafka's message, whatever it is made of."""
    for body in (
        b'{"userId":"\\ud800","x":"' + "é".encode() * 240_000 + b'"}',
        b'{"userId":"u","x":[' + b"1e15," * 100_000 + b"NaN]}",
    ):
        assert payloads(taken(body, "track")) == [body]
        assert payloads(taken(batch(body))) == [body]


def test_a_long_key_above_many_values() -> None:
    """The path of each value, written out, would be the body's length times their number."""
    body = batch(b'{"' + b"k" * 200_000 + b'":[' + b"0," * 100_000 + b"NaN]}")
    tracemalloc.start()
    result = taken(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * MAX_BODY_BYTES
    (verdict,) = (event.verdict for event in result.rejected)
    assert verdict.code == "number_out_of_range"
    assert len(verdict.field) < 1000


def test_what_a_batch_shares_is_not_multiplied() -> None:
    """Each event is kept; copies of what they share only as long as there is room, and the verdict says so."""
    good = json.dumps(GOOD).encode()
    shared = b'{"context":{"a":"' + b"x" * 30_000 + b'"},' + batch(*[good] * 1000)[1:-1]
    result = taken(shared + b"}")
    assert len(result.touchpoints) == 1000
    copies = sum('"a":"' in touchpoint.rest for touchpoint in result.touchpoints)
    assert copies == MAX_SHARED // (30_000 + len('"a""": '))
    assert sum(len(encode(touchpoint)) for touchpoint in result.touchpoints) < MAX_SHARED + 500_000
    assert [code for code in codes(result) if code] == [("warning", "shared_left_out", "context")] * (1000 - copies)
    assert result.touchpoints[-1].warnings == ("shared_left_out",)
    assert json.loads(result.touchpoints[-1].rest) == {}
    for mark in (b"", b"\xef\xbb\xbf"):
        with pytest.raises(ServiceError, match="32768 are allowed") as failed:
            taken(mark + b'{"context":{"a":"' + b"x" * MAX_EVENT_BYTES + b'"},' + batch(good)[1:])
        assert (failed.value.status, failed.value.code) == (400, "too_large")


def test_a_till_whose_file_has_columns_without_number() -> None:
    """Told apart in one go, not each from all others."""
    names = b",".join(b"c%d" % number for number in range(60_000))
    result = take(parse_sales, post(b"receipt," + names + b"\n" + b"1," * 60_000 + b"1"))
    assert len(result.verdicts) == 1
    with pytest.raises(ServiceError, match="two columns are called 'c7'"):
        parse_sales(post(b"receipt," + names + b",c7\n"))


def test_what_headers_say_of_a_client_is_not_kept_at_length() -> None:
    events = [{"event": "E", "distinct_id": "ada", "uuid": str(number)} for number in range(2500)]
    result = take(parse_capture, post(events, headers=[(b"posthog-sdk-info", b"x" * 60_000)]))
    assert sum(len(touchpoint.rest) for touchpoint in result.touchpoints) < 2_000_000


async def test_long_headers_are_not_remembered() -> None:
    async def read() -> list[SourceKey]:
        return [WEB]

    keys = Keys(read, refresh_seconds=1)
    await keys.refresh()
    for header in (b"Bearer key", b"Bearer key:" + b"x" * MAX_CACHED_BYTES):
        assert keys.source(header, "") == WEB
    assert list(keys._by_header) == [b"Bearer key"]


def test_any_bytes_in_binary_cloudevents() -> None:
    headers = [(b"ce-specversion", b"1.0"), (b"ce-id", b"%ff"), (b"ce-type", b"a.b"), (b"ce-source", b'"\\"')]
    request = Request("POST", "/v1/cloudevents", "", headers, b"\xff" * MAX_BODY_BYTES)
    check(take(parse_cloudevents, request), 1)


def test_what_is_made_of_a_body_fits_into_kafkas_message_too() -> None:
    """A webhook's items are kept under longer names, numbers are written out."""
    items = b",".join([b'{"sku":1e15}'] * 39_000)
    body = b'{"id":1,"line_items":[' + items + b"]}"
    opened = parse_webhook(post(body, headers=[(b"x-shopify-topic", b"orders/create")]))
    result = take(lambda _: opened, post(b""))
    assert len(result.rejected[0].payload) > 1_000_000
    (record,) = rejected_records(result, opened, WEB, RULES, NOW, "POST /v1/shopify", "")
    assert record.code == "too_large"
    assert record.envelope == NO_ENVELOPE
    check(result, len(opened.events), [record])


def test_what_refused_events_are_sent_in_is_not_kept_without_end() -> None:
    shared = b'{"context":{"a":"' + b"x" * 30_000 + b'"},' + batch(*[b"{}"] * 2500)[1:]
    body = segment(shared)
    result = validated(body)
    records = rejected_records(result, body, WEB, RULES, NOW, "POST /v1/batch", "")
    assert len(records) == 2500
    assert 4_200_000 > sum(len(record.envelope.before) for record in records) > 4_000_000


@pytest.mark.parametrize(("customer", "cart"), [(b"c" * 513, b"cart-1"), (b"1", b"c" * 513)])
def test_ids_of_a_webhook_too_long_for_a_link(customer: bytes, cart: bytes) -> None:
    body = b'{"id":1,"customer":{"id":"%s"},"note_attributes":{"anonymousId":"v"},"cart_token":"%s"}' % (customer, cart)
    opened = parse_webhook(post(body, headers=[(b"x-shopify-topic", b"orders/create")]))
    result = take(lambda _: opened, post(b""))
    check(result, len(opened.events))
    assert [event.verdict.code for event in result.rejected] == (["too_long"] if len(customer) > 512 else [])
    assert cart.decode() not in {touchpoint.previous_id for touchpoint in result.touchpoints}
