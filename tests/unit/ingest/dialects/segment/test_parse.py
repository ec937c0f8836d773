"""Segment's calls to touchpoints and verdicts, on bytes as they arrive."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from services.ingest.dialects.registry import RULES
from services.ingest.event.gzip import unpack
from services.ingest.event.verdict import MAX_EVENT_BYTES, MAX_EVENTS
from services.ingest.validate.request import Result, validate
from tests.support.dialect_requests import NOW, codes, segment, source, validated
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

TIME = "2026-11-23T20:00:00Z"
TIME_US = NOW - 28 * 60_000_000 - 33_000_000
FIXTURES = Path(__file__).parents[4] / "fixtures" / "segment"
GOOD = {"type": "track", "event": "E", "userId": "u", "messageId": "m", "timestamp": TIME}


def take(body: bytes, call: str = "", received_us: int = NOW) -> Result:
    return validated(segment(body, call), received_us)


def batch(*events: Any, **shared: Any) -> Result:
    return take(json.dumps({"batch": events, **shared}).encode())


def one(**fields: Any) -> Touchpoint:
    result = batch({**GOOD, **fields})
    assert not result.rejected, result.rejected
    return result.touchpoints[0]


def test_a_track_call() -> None:
    properties = {"order_id": "A-1", "total": 59.9, "currency": "EUR", "gift": True}
    touchpoint = one(properties=properties, anonymousId="a", context={"ip": "1.2.3.4"}, integrations={"All": False})
    assert touchpoint == Touchpoint(
        TIME_US,
        0,
        "m",
        "u",
        "track",
        "E",
        workspace=3,
        source=5,
        channel="direct",
        received_us=NOW,
        client_us=TIME_US,
        user_id="u",
        anonymous_id="a",
        order_id="A-1",
        value=59.9,
        currency="EUR",
        total=59.9,
        rest=touchpoint.rest,
    )
    assert json.loads(touchpoint.rest) == {
        "properties": properties,
        "context": {"ip": "1.2.3.0"},
        "integrations": {"All": False},
    }


@pytest.mark.parametrize(
    ("call", "fields", "name"),
    [
        ("identify", {"traits": {"plan": "gold"}}, ""),
        ("page", {"name": "Home"}, "Home"),
        ("page", {}, ""),
        ("screen", {"name": "Basket"}, "Basket"),
        ("group", {"groupId": "g", "traits": {"size": 3}}, ""),
        ("alias", {"previousId": "old"}, ""),
    ],
)
def test_the_other_calls(call: str, fields: dict[str, Any], name: str) -> None:
    event = {"userId": "u", "messageId": "m", "timestamp": TIME, **fields}
    alone = take(json.dumps(event).encode(), call).touchpoints[0]
    in_batch = batch({**event, "type": call}).touchpoints[0]
    assert alone == in_batch
    assert (alone.call, alone.name, alone.actor) == (call, name, "u")
    assert alone.previous_id == fields.get("previousId", "")
    rest = json.loads(alone.rest)
    assert rest == {key: value for key, value in fields.items() if key in ("traits", "groupId")}


def test_unknown_fields_are_kept_and_keys_are_not() -> None:
    touchpoint = one(writeKey="secret", _metadata={"bundled": []}, version=2, category="Shop", **{'odd "name"': [1]})
    assert json.loads(touchpoint.rest) == {
        "_metadata": {"bundled": []},
        "version": 2,
        "category": "Shop",
        'odd "name"': [1],
    }


def test_what_a_batch_gives_to_its_events_gives_way_to_their_own() -> None:
    shared = {"context": {"app": "shop", "locale": "1"}, "integrations": {"All": True}}
    localized = {**GOOD, "context": {"locale": "2"}}
    result = batch(localized, GOOD, {**GOOD, "context": None}, **shared)
    first, second, third = (json.loads(touchpoint.rest) for touchpoint in result.touchpoints)
    assert first == {"context": {"app": "shop", "locale": "2"}, "integrations": {"All": True}}
    assert second == third == shared


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"userId": None}, "missing_id", "userId"),
        ({"userId": ""}, "missing_id", "userId"),
        ({"userId": "undefined"}, "illegal_id", "userId"),
        ({"userId": {"id": 1}}, "wrong_type", "userId"),
        ({"userId": "x" * 600}, "too_long", "userId"),
        ({"event": None}, "missing_field", "event"),
        ({"event": ""}, "missing_field", "event"),
        ({"event": 5}, "wrong_type", "event"),
        ({"event": "x" * 600}, "too_long", "event"),
        ({"type": "click"}, "unknown_type", "type"),
        ({"type": None}, "missing_field", "type"),
        ({"type": 3}, "wrong_type", "type"),
        ({"type": "alias"}, "missing_field", "previousId"),
        ({"type": "alias", "previousId": "null"}, "missing_field", "previousId"),
        ({"type": "alias", "userId": None, "anonymousId": "a", "previousId": "p"}, "missing_field", "userId"),
        ({"messageId": "m" * 101}, "too_long", "messageId"),
        ({"messageId": {}}, "wrong_type", "messageId"),
        ({"properties": [1]}, "wrong_type", "properties"),
        ({"context": "x"}, "wrong_type", "context"),
        ({"timestamp": "0000-01-01T00:00:00Z"}, "time_out_of_range", "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "time_out_of_range", "timestamp"),
        ({"properties": {"order_id": "x\0"}}, "nul_character", "properties.order_id"),
        ({"properties": {"orderId": ["\ud800"]}}, "invalid_unicode", "properties.orderId[0]"),
        ({"anonymousId": "\udc00"}, "invalid_unicode", "anonymousId"),
        ({"userId": "\ud800"}, "invalid_unicode", "userId"),
        ({"properties": {"a": float("nan")}}, "number_out_of_range", "properties.a"),
        ({"context": {"a": float("inf")}}, "number_out_of_range", "context.a"),
        ({"properties": {"value": 10**400}}, "number_out_of_range", "properties.value"),
        ({"extra": 10**5000}, "number_out_of_range", "extra"),
        ({"properties": {"a": "x" * MAX_EVENT_BYTES}}, "too_large", ""),
    ],
)
def test_refusals_name_the_field_and_spare_the_neighbours(fields: dict[str, Any], code: str, field: str) -> None:
    if fields.get("extra"):
        text = json.dumps({**GOOD, "extra": 0}).replace('"extra": 0', '"extra": 1' + "0" * 5000)
    else:
        text = json.dumps({**GOOD, **fields})
    good = json.dumps(GOOD)
    for suffix in ("", "\ufeff"):  # with a byte order mark the whole body is read carefully
        result = take(f'{suffix}{{"batch":[{good},{text},{good}]}}'.encode())
        assert codes(result) == [None, ("rejected", code, field), None]
        assert len(result.touchpoints) == 2
        (event,) = result.rejected
        assert event.verdict.message
        assert b'"messageId"' in event.payload


def test_numbers_out_of_range_in_json_are_found_wherever_they_are() -> None:
    for part in ("properties", "context", "traits", "integrations", "groupId", "_metadata", "unknown"):
        result = take(
            b'{"batch":[{"type":"track","event":"E","userId":"u","messageId":"m","%s":{"a":1e400}}]}' % part.encode()
        )
        assert codes(result) == [("rejected", "number_out_of_range", f"{part}.a")]


def test_bytes_that_are_not_utf8_refuse_their_event_only_and_are_kept() -> None:
    good = json.dumps(GOOD).encode()
    bad = good.replace(b'"E"', b'"\xff\xfe"')
    result = take(b'{"batch":[' + good + b"," + bad + b"]}")
    assert codes(result) == [None, ("rejected", "invalid_unicode", "event")]
    assert b"\xff\xfe" in result.rejected[0].payload


@pytest.mark.parametrize("item", [5, "x", None, [], True])
def test_an_item_that_is_no_event_spares_the_neighbours(item: Any) -> None:
    assert codes(batch(GOOD, item, GOOD)) == [None, ("rejected", "wrong_type", ""), None]


def test_nesting_without_end_refuses_its_event_only() -> None:
    deep = json.dumps({**GOOD, "properties": {"a": 0}}).replace('"a": 0', '"a":' + "[" * 500 + "]" * 500)
    result = take(f'{{"batch":[{json.dumps(GOOD)},{deep}]}}'.encode())
    assert [verdict and verdict.code for verdict in result.verdicts] == [None, "nested_too_deeply"]


def test_an_illegal_id_gives_way_to_a_legal_one_with_a_warning() -> None:
    result = batch({**GOOD, "userId": "null", "anonymousId": "a"}, {**GOOD, "userId": "u", "anonymousId": "undefined"})
    assert codes(result) == [("warning", "illegal_id", "userId"), ("warning", "illegal_id", "anonymousId")]
    first, second = result.touchpoints
    assert (first.actor, first.user_id, first.anonymous_id, first.warnings) == ("a", "", "a", ("illegal_id",))
    assert (second.actor, second.user_id, second.anonymous_id) == ("u", "u", "")
    assert json.loads(first.rest) == json.loads(second.rest) == {}


def test_numeric_ids_are_text() -> None:
    touchpoint = one(userId=4711, anonymousId=1.0, messageId=99)
    assert (touchpoint.actor, touchpoint.anonymous_id, touchpoint.message_id) == ("4711", "1", "99")


def test_times() -> None:
    sent = "2026-11-23T18:28:33Z"  # two hours slow
    slow = batch({**GOOD, "timestamp": "2026-11-23T18:28:00Z"}, sentAt=sent).touchpoints[0]
    assert (slow.occurred_us, slow.client_us) == (NOW - 33_000_000, NOW - 33_000_000 - 2 * 3_600_000_000)
    assert one(timestamp=None, originalTimestamp=TIME).occurred_us == TIME_US
    assert one(timestamp="2026-11-23T19:00:00Z", originalTimestamp=TIME).occurred_us == TIME_US
    assert one(timestamp=TIME_US // 1000).client_us == TIME_US
    none = one(timestamp=None)
    assert (none.occurred_us, none.client_us, none.warnings) == (NOW, 0, ())


def test_times_that_are_mended_are_flagged() -> None:
    result = batch({**GOOD, "timestamp": "2026-11-24T20:00:00Z"}, {**GOOD, "timestamp": "soon"})
    assert codes(result) == [("warning", "time_in_future", "timestamp"), ("warning", "unreadable_time", "timestamp")]
    future, unreadable = result.touchpoints
    assert (future.occurred_us, future.client_us) == (NOW, TIME_US + 24 * 3_600_000_000)
    assert (unreadable.occurred_us, unreadable.client_us) == (NOW, 0)
    assert json.loads(unreadable.rest) == {"timestamp": "soon"}


def test_without_a_message_id_a_retry_gets_the_same_one() -> None:
    event = {key: value for key, value in GOOD.items() if key != "messageId"}
    first = batch({**event, "sentAt": "2026-11-23T20:28:00Z"}).touchpoints[0]
    again = batch(dict(reversed(event.items())), sentAt="2026-11-23T20:28:31Z").touchpoints[0]
    other = batch({**event, "event": "F"}).touchpoints[0]
    assert first.message_id == again.message_id != other.message_id
    assert first.warnings == ()
    body = segment(json.dumps({"batch": [event]}).encode())
    elsewhere = validate(body, replace(source(), source=6), RULES, received_us=NOW, new_id=str)
    assert elsewhere.touchpoints[0].message_id != first.message_id


def test_without_message_id_and_time_a_retry_counts_twice_and_it_is_said() -> None:
    result = batch({"type": "track", "event": "E", "userId": "u"})
    assert codes(result) == [("warning", "missing_message_id", "messageId")]
    assert result.touchpoints[0].message_id == "random"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "unreadable_json"),
        (b'{"batch":[', "unreadable_json"),
        (b"hello", "unreadable_json"),
        (b"[]", "wrong_type"),
        (b"{}", "wrong_type"),
        (b'{"batch":{}}', "wrong_type"),
        (json.dumps({"batch": [0] * (MAX_EVENTS + 1)}).encode(), "too_many_events"),
        (b'{"batch":NaN,"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested_too_deeply"),
    ],
)
def test_bodies_nobody_can_read(body: bytes, code: str) -> None:
    with pytest.raises(ServiceError) as failed:
        segment(body)
    assert (failed.value.status, failed.value.code) == (400, code)


def test_unreadable_json_is_located() -> None:
    with pytest.raises(ServiceError, match=r"line 2, column \d+"):
        segment(b'{"batch":\n   [1, 2,]}')


def test_an_empty_batch_is_no_error() -> None:
    assert batch() == Result([], [], [], [])


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_what_real_libraries_sent(path: Path) -> None:
    recorded = json.loads(path.read_text())
    body = recorded["body"].encode() if "body" in recorded else base64.b64decode(recorded["body_base64"])
    sent_us = segment(unpack(body)).sent_us
    assert sent_us is not None
    result = take(unpack(body), received_us=sent_us + 20_000)
    assert result.verdicts == [None] * len(result.touchpoints)
    calls = [touchpoint.call for touchpoint in result.touchpoints]
    assert calls[:6] == ["identify", "track", "page", "screen", "group", "alias"]
    identify, order, page, screen, group, alias = result.touchpoints[:6]
    assert (identify.user_id, identify.anonymous_id) == ("user-1", "anon-1")
    assert (order.name, order.order_id, order.value, order.currency) == ("Order Completed", "A-1", 59.9, "EUR")
    assert order.occurred_us == order.client_us == 1_793_534_400_123_000
    assert (page.name, page.actor) == ("Home", "anon-1")
    assert page.channel in ("email", "organic_search")
    assert screen.name == "Basket"
    assert json.loads(group.rest)["groupId"] == "household-7"
    assert (alias.previous_id, alias.user_id) == ("anon-1", "user-1")
    assert all(touchpoint.message_id for touchpoint in result.touchpoints)
