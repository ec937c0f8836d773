"""GA4's Measurement Protocol to touchpoints and verdicts, on requests as its documentation has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.ingest.dialects.ga4.parse import parse_collect, parse_debug
from services.ingest.validate.request import Result
from tests.support.dialect_requests import NOW, codes, only, post, rest, validated
from tests.support.dialect_requests import take as take_by
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

FIXTURES = Path(__file__).parents[4] / "fixtures" / "ga4"
QUERY = "measurement_id=G-1&api_secret=s3cret"
TIME = NOW - 60_000_000
HEAD = {"client_id": "123.456", "user_id": "ada", "timestamp_micros": TIME}


def take(*events: Any, query: str = QUERY, path: str = "/mp/collect", **head: Any) -> Result:
    return take_by(parse_collect, post({**HEAD, **head, "events": events}, query, path))


def one(name: Any = "login", params: Any = None, **fields: Any) -> Touchpoint:
    return only(take({"name": name, "params": params, **fields}))


def test_a_purchase() -> None:
    request = post((FIXTURES / "purchase.json").read_bytes(), QUERY)
    assert parse_collect(request).write_key == "s3cret"
    touchpoint = only(take_by(parse_collect, request))
    assert (touchpoint.call, touchpoint.name, touchpoint.actor, touchpoint.user_id, touchpoint.anonymous_id) == (
        "track",
        "purchase",
        "ada",
        "ada",
        "1234567890.1687549204",
    )
    assert (touchpoint.order_id, touchpoint.value, touchpoint.currency) == ("T-12345", 59.98, "EUR")
    assert (touchpoint.product_id, touchpoint.quantity) == ("BOOT-MID", 2.0)
    assert touchpoint.occurred_us == TIME
    sent = json.loads(request.body)
    assert rest(touchpoint) == {
        "properties": {
            **sent["events"][0]["params"],
            "order_id": "T-12345",
            "product_id": "BOOT-MID",
            "quantity": 2,
        },
        "traits": {"plan": "gold"},
        "context": {"consent": {"ad_user_data": "GRANTED"}, "userAgent": "UA", "ip": "203.0.113.0"},
        "user_data": {"sha256_email_address": ["ab"]},
    }


def test_a_purchase_of_very_many_items_is_one_event() -> None:
    items = [{"item_id": f"BOOT-{number}", "item_name": "x" * 400} for number in range(200)]
    assert len(rest(one("purchase", {"transaction_id": "T", "items": items}))["properties"]["items"]) == 200
    large = {"name": "purchase", "params": {"transaction_id": "T", "items": items * 2}}
    assert codes(take(large)) == [("rejected", "too_large", "")]


def test_several_items_are_no_product() -> None:
    touchpoint = one("view_item_list", {"items": [{"item_id": "a"}, {"item_id": "b"}]})
    assert touchpoint.product_id == ""
    assert rest(touchpoint)["properties"] == {"items": [{"item_id": "a"}, {"item_id": "b"}]}


def test_page_and_campaign() -> None:
    touchpoint = one("page_view", {"page_location": "https://a.example/", "page_referrer": "https://google.com/"})
    assert (touchpoint.call, touchpoint.name, touchpoint.channel) == ("track", "page_view", "organic_search")
    assert one("campaign_details", {"source": "news", "medium": "email", "campaign": "May"}).channel == "email"
    utm = {"page_location": "https://a.example/?utm_source=y&utm_medium=cpc"}
    assert one("page_view", utm).channel == "paid_search"


def test_a_request_sent_again_counts_once() -> None:
    click = {"name": "select_item", "params": {"item_list_id": "x"}}
    first, again = take(click, click), take(click, click)
    ids = [touchpoint.message_id for touchpoint in first.touchpoints]
    assert ids == [touchpoint.message_id for touchpoint in again.touchpoints]
    assert len(set(ids)) == 2
    later = take(click, timestamp_micros=TIME + 1).touchpoints[0].message_id
    other = take(click, client_id="789").touchpoints[0].message_id
    assert len({ids[0], later, other}) == 3
    assert one(params={"message_id": "mine"}).message_id == "mine"


def test_without_a_time() -> None:
    login = {"name": "login"}
    result = take(login, timestamp_micros=None)
    assert codes(result) == [("warning", "missing_message_id", "params.message_id")]
    order = {"name": "purchase", "params": {"transaction_id": "T-1"}}
    first, again = take(order, timestamp_micros=None), take(order, timestamp_micros=None)
    assert first.verdicts == [None]
    assert only(first).message_id == only(again).message_id != "random"


def test_times() -> None:
    assert one(timestamp_micros=TIME - 1).occurred_us == TIME - 1
    assert one(timestamp_micros=str(TIME)).occurred_us == TIME
    assert one(timestamp_micros="soon").warnings == ("unreadable_time", "missing_message_id")
    assert codes(take({"name": "e", "timestamp_micros": 10**30})) == [
        ("rejected", "time_out_of_range", "timestamp_micros")
    ]


@pytest.mark.parametrize(
    ("head", "actor"),
    [
        ({"user_id": None}, "123.456"),
        ({"user_id": None, "client_id": 123}, "123"),
        ({"user_id": "null"}, "123.456"),
        ({"user_id": None, "client_id": None, "app_instance_id": "app"}, "app"),
    ],
)
def test_who(head: dict[str, Any], actor: str) -> None:
    assert only(take({"name": "login"}, **head)).actor == actor


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        (1, "wrong_type", ""),
        ({}, "missing_field", "name"),
        ({"name": 1}, "wrong_type", "name"),
        ({"name": "e", "params": [1]}, "wrong_type", "params"),
        ({"name": "e", "params": {"transaction_id": "\0"}}, "nul_character", "params.transaction_id"),
        ({"name": "e", "params": {"x": 10.0**308 * 10}}, "number_out_of_range", "params.x"),
        ({"name": "e", "params": {"message_id": "x" * 101}}, "too_long", "params.message_id"),
    ],
)
def test_a_bad_event_harms_nobody(event: Any, code: str, field: str) -> None:
    good = {"name": "login"}
    result = take(good, event, good)
    assert codes(result) == [None, ("rejected", code, field), None]


def test_nobody() -> None:
    assert codes(take({"name": "login"}, user_id=None, client_id=None)) == [("rejected", "missing_id", "user_id")]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"events":1}', {"events": [{"name": "e"}] * 26}, b'{"timestamp_micros":1e999,"events":[]}'],
)
def test_a_request_nobody_can_read(body: Any) -> None:
    with pytest.raises(ServiceError) as failure:
        parse_collect(post(body, QUERY))
    assert failure.value.status == 400


def test_validation() -> None:
    body = {**HEAD, "events": [{"name": "login"}, {"name": "e", "params": [1]}, {}]}
    opened = parse_debug(post(body, QUERY))
    assert opened.write_key is None
    assert opened.reply is not None
    media_type, answer = opened.reply(validated(opened).verdicts)
    assert media_type == b"application/json"
    assert json.loads(answer) == {
        "validationMessages": [
            {
                "fieldPath": "events[1].params",
                "description": "params has to be an object, got a list",
                "validationCode": "VALUE_INVALID",
            },
            {
                "fieldPath": "events[2].name",
                "description": "an event has to have a name",
                "validationCode": "VALUE_REQUIRED",
            },
        ]
    }
