"""Touchpoints and verdicts of Snowplow's requests, as trackers send them."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from services.ingest.dialects.base import Request
from services.ingest.dialects.snowplow.parse import parse_payload, parse_query
from services.ingest.validate.request import Result
from tests.support.dialect_requests import NOW, codes, only, post, rest
from tests.support.dialect_requests import take as take_by
from throughline.journey.fold import Folded, fold
from throughline.journey.state import ENTER, LAPSE
from throughline.kit.errors import ServiceError
from throughline.models import load_model
from throughline.wire.codec import Touchpoint

FIXTURES = Path(__file__).parents[4] / "fixtures" / "snowplow"
TIME = NOW - 60_000_000
BASE = {"e": "pv", "eid": "id-1", "uid": "ada", "aid": "shop", "dtm": str(TIME // 1000), "stm": str(NOW // 1000)}
ECOMMERCE = "iglu:com.snowplowanalytics.snowplow.ecommerce/{}/jsonschema/1-0-0"
PRODUCT = {"id": "BOOT", "price": 10.5, "quantity": 2, "currency": "EUR"}
TRANSACTION = {"transaction_id": "A-1", "revenue": 21, "currency": "EUR"}


def take(*events: Any) -> Result:
    return take_by(parse_payload, post({"schema": "iglu:.../payload_data", "data": events}))


def touchpoint_of(**fields: Any) -> Touchpoint:
    return only(take({**BASE, **fields}))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def described(schema: str, data: Any) -> dict[str, Any]:
    return {
        "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
        "data": {"schema": schema, "data": data},
    }


def contexts(**entities: Any) -> str:
    entity_list = [
        {"schema": ECOMMERCE.format(name), "data": data}
        for name, parts in entities.items()
        for data in (parts if isinstance(parts, list) else [parts])
    ]
    return encoded({"schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0", "data": entity_list})


def ecommerce(kind: str, **entities: Any) -> Touchpoint:
    event = described(ECOMMERCE.format("snowplow_ecommerce_action"), {"type": kind})
    return touchpoint_of(e="ue", ue_px=encoded(event), cx=contexts(**entities))


@pytest.mark.parametrize("name", ["python-base64", "python-json"])
def test_payloads_of_the_python_tracker(name: str) -> None:
    request = post((FIXTURES / f"{name}.json").read_bytes())
    assert parse_payload(request).write_key == "shop"
    result = take_by(parse_payload, request)
    assert result.verdicts == [None] * 4
    assert [(t.call, t.name) for t in result.touchpoints] == [
        ("page", "Home"),
        ("track", "page_ping"),
        ("track", "add-to-basket"),
        ("track", "transaction"),
    ]
    assert {(t.actor, t.user_id, t.anonymous_id) for t in result.touchpoints} == {("ada", "ada", "d-1")}
    order = result.touchpoints[-1]
    assert (order.order_id, order.value, order.currency, order.product_id, order.quantity) == (
        "A-1",
        21.0,
        "EUR",
        "BOOT",
        2.0,
    )
    assert result.touchpoints[0].channel == "email"
    sent = json.loads(request.body)["data"]
    assert [t.message_id for t in result.touchpoints] == [event["eid"] for event in sent]
    assert [t.client_us for t in result.touchpoints] == [int(event["dtm"]) * 1000 for event in sent]


def test_queries_of_the_python_tracker() -> None:
    touchpoints = []
    for path in json.loads((FIXTURES / "python-get.json").read_text()):
        request = Request("GET", "/i", path.partition("?")[2], [], b"")
        parsed = parse_query(request)
        assert parsed.reply is not None
        media_type, pixel = parsed.reply([None])
        assert media_type == b"image/gif"
        assert pixel.startswith(b"GIF89a")
        touchpoints.append(only(take_by(parse_query, request)))
    assert [(t.name, t.order_id, t.value, t.product_id, t.quantity) for t in touchpoints] == [
        ("Höme", "", None, "", None),
        ("transaction", "T1", 20.5, "", None),
        ("transaction_item", "T1", None, "S", 2.0),
    ]


def test_a_page_view() -> None:
    touchpoint = touchpoint_of(
        url="https://a.example/?utm_source=y&utm_medium=cpc&utm_campaign=May",
        refr="https://b.example/",
        page="Home",
        ua="UA",
        ip="1.2.3.4",
        lang="de",
        tz="Europe/Rome",
        tv="js-4",
        vid="3",
    )
    assert (touchpoint.call, touchpoint.name, touchpoint.channel, touchpoint.occurred_us) == (
        "page",
        "Home",
        "paid_search",
        TIME,
    )
    assert rest(touchpoint) == {
        "context": {
            "page": {
                "url": "https://a.example/?utm_source=y&utm_medium=cpc&utm_campaign=May",
                "referrer": "https://b.example/",
                "title": "Home",
            },
            "campaign": {"source": "y", "medium": "cpc", "name": "May"},
            "userAgent": "UA",
            "ip": "1.2.3.0",
            "locale": "de",
            "timezone": "Europe/Rome",
            "library": {"name": "js-4"},
        },
        "snowplow": {"vid": "3"},
    }


def folded(*kinds_and_seconds: tuple[str, int]) -> Folded:
    """Returns the journey of a visitor, whose events are given by kind and by the seconds since the first."""
    events = [
        {**BASE, "e": kind, "eid": f"id-{number}", "dtm": str(TIME // 1000 + 1000 * seconds), "stm": ""}
        for number, (kind, seconds) in enumerate(kinds_and_seconds)
    ]
    result = take_by(parse_payload, post({"data": events}), received_us=TIME + 1_000_000 * kinds_and_seconds[-1][1])
    return fold(load_model("seven_phase"), None, result.touchpoints)


def phases(folded: Folded) -> list[str]:
    names = [phase.name for phase in load_model("seven_phase").phases]
    return [names[step.to_phase - 1] for step in folded.transitions]


def test_a_page_ping_is_activity_but_no_page_view() -> None:
    read = folded(("pv", 0), ("pp", 10), ("pp", 20))
    assert phases(read) == ["discovery"]
    assert read.journey is not None
    assert read.journey.active_us == TIME + 20_000_000
    assert phases(folded(("pv", 0), ("pp", 10), ("pv", 30))) == ["discovery", "consideration"]


def test_a_page_ping_begins_no_phase() -> None:
    # A ping may arrive before its page view, which must not count twice. A page that was left open is no return.
    assert phases(folded(("pp", 0))) == []
    assert phases(folded(("pp", 0), ("pv", 5))) == ["discovery"]
    month = 30 * 86_400
    lapsed = folded(("pv", 0), ("pp", month)).transitions
    assert [step.kind for step in lapsed] == [ENTER, LAPSE]


def test_the_number_of_a_structured_event_is_no_value() -> None:
    touchpoint = touchpoint_of(e="se", se_ca="shop", se_ac="add-to-basket", se_la="web", se_pr="pcs", se_va="2.0")
    assert (touchpoint.name, touchpoint.value) == ("add-to-basket", None)
    assert rest(touchpoint)["properties"] == {
        "se_category": "shop",
        "se_action": "add-to-basket",
        "se_label": "web",
        "se_property": "pcs",
        "se_value": "2.0",
    }


@pytest.mark.parametrize(
    ("schema", "data", "call", "name"),
    [
        ("iglu:com.acme/product_viewed/jsonschema/1-0-0", {"sku": "B"}, "track", "product_viewed"),
        ("iglu:com.snowplowanalytics.snowplow/link_click/jsonschema/1-0-1", {"targetUrl": "/"}, "track", "link_click"),
        ("iglu:com.snowplowanalytics.snowplow/site_search/jsonschema/1-0-0", {"terms": ["a"]}, "track", "search"),
        ("iglu:com.snowplowanalytics.snowplow/add_to_cart/jsonschema/1-0-0", {"sku": "B"}, "track", "add_to_cart"),
        ("iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0", {"name": "Basket"}, "screen", "Basket"),
        (
            "iglu:com.snowplowanalytics.mobile/message_notification/jsonschema/1-0-0",
            {"action": "click"},
            "track",
            "push_notification_tapped",
        ),
        (
            "iglu:com.google.analytics.enhanced-ecommerce/action/jsonschema/1-0-0",
            {"action": "purchase"},
            "track",
            "transaction",
        ),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_self_describing_events(schema: str, data: dict[str, Any], call: str, name: str, packed: bool) -> None:
    event = described(schema, data)
    touchpoint = touchpoint_of(e="ue", **({"ue_px": encoded(event)} if packed else {"ue_pr": json.dumps(event)}))
    assert (touchpoint.call, touchpoint.name) == (call, name)
    assert rest(touchpoint)["properties"] == data
    assert touchpoint.product_id == data.get("sku", "")


def test_a_transaction_of_several_products() -> None:
    touchpoint = ecommerce("transaction", transaction=TRANSACTION, product=[PRODUCT, {**PRODUCT, "id": "LACE"}])
    assert (touchpoint.name, touchpoint.order_id, touchpoint.value, touchpoint.currency) == (
        "transaction",
        "A-1",
        21.0,
        "EUR",
    )
    assert (touchpoint.product_id, touchpoint.quantity) == ("", None)
    assert [product["product_id"] for product in rest(touchpoint)["properties"]["products"]] == ["BOOT", "LACE"]
    assert len(rest(touchpoint)["context"]["entities"]) == 3


def test_other_ecommerce_actions() -> None:
    refund = ecommerce("refund", refund={"transaction_id": "A-1", "refund_amount": 5, "currency": "EUR"})
    assert (refund.name, refund.order_id, refund.value, refund.currency) == ("refund", "A-1", 5.0, "EUR")
    cart = ecommerce("add_to_cart", product=PRODUCT, cart={"total_value": 99, "currency": "EUR"})
    assert (cart.name, cart.product_id, cart.quantity, cart.value) == ("add_to_cart", "BOOT", 2.0, None)
    step = ecommerce("checkout_step", checkout_step={"step": 2})
    assert (step.name, rest(step)["properties"]["checkout_step"]) == ("checkout_step", {"step": 2})
    failed = ecommerce("trns_error", transaction=TRANSACTION, transaction_error={"error_code": "E"})
    assert (failed.name, failed.order_id, failed.value) == ("trns_error", "", None)


def test_an_order_of_the_older_plugin() -> None:
    older = "iglu:com.google.analytics.enhanced-ecommerce/{}/jsonschema/1-0-0"
    entities = [
        {"schema": older.format("actionFieldObject"), "data": {"id": "A-2", "revenue": "54.9", "currency": "EUR"}},
        {"schema": older.format("productFieldObject"), "data": {"id": "LACE", "quantity": 1}},
    ]
    event = described(older.format("action"), {"action": "purchase"})
    touchpoint = touchpoint_of(e="ue", ue_pr=json.dumps(event), co=json.dumps({"schema": "", "data": entities}))
    assert (touchpoint.name, touchpoint.order_id, touchpoint.value, touchpoint.currency, touchpoint.product_id) == (
        "transaction",
        "A-2",
        54.9,
        "EUR",
        "LACE",
    )


@pytest.mark.parametrize(
    ("ids", "actor", "anonymous"),
    [
        ({"uid": "u", "duid": "d", "nuid": "n"}, "u", "d"),
        ({"duid": "d", "tnuid": "n"}, "d", "d"),
        ({"tnuid": "n"}, "n", "n"),
        ({"nuid": "n"}, "n", "n"),
        ({"uid": "null", "duid": "d"}, "d", "d"),
        ({"cx": contexts(client_session={"userId": "phone"})}, "phone", "phone"),
        ({"cx": contexts(user={"id": "ada"}), "duid": "d"}, "ada", "d"),
        ({"cx": contexts(user={"id": "ada", "is_guest": True}), "duid": "d"}, "d", "d"),
    ],
)
def test_ids(ids: dict[str, str], actor: str, anonymous: str) -> None:
    event = {key: value for key, value in BASE.items() if key != "uid"} | ids
    touchpoint = only(take(event))
    assert (touchpoint.actor, touchpoint.anonymous_id) == (actor, anonymous)


def test_times() -> None:
    hour = 3_600_000
    fast = {"dtm": str(TIME // 1000 + hour), "stm": str(NOW // 1000 + hour)}
    assert touchpoint_of(**fast).occurred_us == TIME  # a clock an hour ahead
    assert (
        touchpoint_of(**fast, ttm=str(TIME // 1000 - 5)).occurred_us == TIME - 5000
    )  # a true time needs no correction
    assert touchpoint_of(dtm="soon").warnings == ("unreadable_time",)
    assert codes(take({**BASE, "dtm": "9" * 30})) == [("rejected", "time_out_of_range", "dtm")]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"e": ""}, "missing_field", "e"),
        ({"e": "xx"}, "unknown_type", "e"),
        ({"e": "ue"}, "missing_field", "ue_pr"),
        ({"e": "ue", "ue_px": "!"}, "unreadable_json", "ue_px"),
        ({"e": "ue", "ue_px": "A"}, "unreadable_base64", "ue_px"),
        ({"e": "ue", "ue_px": "ä"}, "unreadable_base64", "ue_px"),
        ({"e": "ue", "ue_pr": json.dumps(described("", {}))}, "missing_field", "ue_pr.schema"),
        ({"e": "ue", "ue_pr": json.dumps(described("iglu:a/b/jsonschema/1", 1))}, "wrong_type", "ue_pr.data"),
        (
            {"e": "ue", "ue_px": encoded(described("iglu:a/b/jsonschema/1", {"order_id": "\0"}))},
            "nul_character",
            "ue_px.data.data.order_id",
        ),
        ({"e": "ue", "ue_pr": '{"data":' + "[" * 200_000}, "nested_too_deeply", "ue_pr"),
        ({"e": "ue", "ue_pr": '{"data":' + "[" * 500 + "]" * 500 + "}"}, "nested_too_deeply", "ue_pr"),
        ({"cx": encoded({"data": 1})}, "wrong_type", "cx"),
        ({"cx": encoded({"data": [{"schema": 1, "data": {}}]})}, "missing_field", "cx.schema"),
        ({"e": "se"}, "missing_field", "se_ac"),
        ({"uid": ["a"]}, "wrong_type", "uid"),
        ({"uid": "null"}, "illegal_id", "uid"),
        ({"uid": ""}, "missing_id", "uid"),
        ({"eid": "x" * 101}, "too_long", "eid"),
        ({"aid": "other"}, "mixed_app_ids", "aid"),
    ],
)
def test_a_bad_event_leaves_its_neighbours_alone(fields: dict[str, Any], code: str, field: str) -> None:
    result = take(BASE, {**BASE, **fields}, BASE)
    assert [result.verdicts[0], result.verdicts[2]] == [None, None]
    verdict = result.verdicts[1]
    assert verdict is not None
    assert (verdict.status, verdict.code) == ("rejected", code)
    assert verdict.field.startswith(field)
    assert json.loads(result.rejected[0].payload) == {**BASE, **fields}


def test_numbers_and_objects_where_texts_belong() -> None:
    event = described("iglu:com.acme/product_viewed/jsonschema/1-0-0", {"sku": "B"})
    touchpoint = touchpoint_of(e="ue", ue_pr=event, dtm=TIME // 1000, vid=3, cookie=True, refr=None)
    assert (touchpoint.name, touchpoint.client_us, rest(touchpoint)["snowplow"]) == (
        "product_viewed",
        TIME,
        {"vid": "3", "cookie": "1"},
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":{}}', b"\xff", b'{"data":[}'])
def test_unreadable_bodies(body: bytes) -> None:
    with pytest.raises(ServiceError) as failure:
        parse_payload(post(body))
    assert failure.value.status == 400


def test_a_query_that_is_not_unicode() -> None:
    bad = Request("GET", "/i", urlencode(BASE) + "&page=%FF", [], b"")
    assert codes(take_by(parse_query, bad)) == [("warning", "mended_text", "page")]
    bad = Request("GET", "/i", urlencode({**BASE, "uid": ""}) + "&uid=%FF", [], b"")
    assert codes(take_by(parse_query, bad)) == [("rejected", "invalid_unicode", "uid")]
