"""Touchpoints and verdicts of Shopify's webhooks.

The payloads in tests/fixtures/shopify are those that Shopify's public documentation shows for each topic, shortened,
with times and addresses of these tests.
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from services.ingest.dialects.base import ParsedClaim, Request, Signature
from services.ingest.dialects.shopify.parse import parse_webhook
from services.ingest.http.access import check_signature
from services.ingest.validate.request import Result
from tests.support.dialect_requests import NOW, codes, only, payloads, post, rest, validated
from tests.support.dialect_requests import take as take_by
from throughline.journey.fold import fold
from throughline.kit.clock import to_us
from throughline.kit.errors import ServiceError
from throughline.models import load_model, vocabulary
from throughline.store.access.keys import SourceKey, SourceSettings
from throughline.wire.codec import Touchpoint

FIXTURES = Path(__file__).parents[4] / "fixtures" / "shopify"
ORDER = json.loads((FIXTURES / "order.json").read_text())
USER, CART, ORDER_ID = "115310627314723954", "68778783ad298f1c80c3bafcddeea02f", "820982911946154508"
TRIGGERED = "2026-11-23T20:27:33.877041743Z"
TRIGGERED_US = NOW - 60_000_000 + 877_041
UNSUPPORTED = ("unsupported_topic", "X-Shopify-Topic")
PERSONAL = ("Steve", "Shipp", "Jon", "John", "Smith", "Biller", "@", "555", "+1312", "ring twice", "ice cream", "vip")


def webhook(payload: Any, topic: str = "orders/create", query: str = "writeKey=tlw_1", **headers: str) -> Request:
    """Returns a webhook with a payload or a named fixture; `event_id` is the header X-Shopify-Event-Id, and so on."""
    if isinstance(payload, str):
        payload = json.loads((FIXTURES / f"{payload}.json").read_text())
    fields = {"topic": topic, "event_id": "e-1", "triggered_at": TRIGGERED, "shop_domain": "s.myshopify.com", **headers}
    named = [
        (f"x-shopify-{name.replace('_', '-')}".encode(), value.encode("latin-1")) for name, value in fields.items()
    ]
    return post(payload, query, "/v1/shopify", [pair for pair in named if pair[1]])


def take(payload: Any, topic: str = "orders/create", **headers: str) -> Result:
    return take_by(parse_webhook, webhook(payload, topic, **headers))


def message_id(topic: str, payload: Any) -> str:
    return f"{topic}:{blake2b(webhook(payload, topic).body, digest_size=16).hexdigest()}"


def first(result: Result) -> Touchpoint:
    """Returns the event itself, which comes before its links."""
    assert not result.rejected, result.rejected
    return result.touchpoints[0]


def links(result: Result) -> list[tuple[str, str, str]]:
    return [(touchpoint.call, touchpoint.previous_id, touchpoint.user_id) for touchpoint in result.touchpoints[1:]]


def test_an_order() -> None:
    result = take("order", api_version="2026-10")
    touchpoint = first(result)
    assert (touchpoint.call, touchpoint.name, touchpoint.actor, touchpoint.anonymous_id) == (
        "track",
        "orders/create",
        USER,
        CART,
    )
    assert (touchpoint.order_id, touchpoint.value, touchpoint.currency) == (ORDER_ID, 398.0, "USD")
    assert (touchpoint.product_id, touchpoint.quantity, touchpoint.channel) == ("632910392", 2.0, "email")
    assert (touchpoint.occurred_us, touchpoint.message_id) == (TRIGGERED_US, message_id("orders/create", "order"))
    assert links(result) == [("alias", f"shopify-order-{ORDER_ID}", USER)]
    stored = rest(touchpoint)
    assert stored["properties"]["products"] == [
        {
            "product_id": "632910392",
            "variant_id": "808950810",
            "sku": "IPOD2008PINK",
            "name": "IPod Nano - 8GB",
            "quantity": 2,
            "price": 199.0,
        }
    ]
    assert stored["properties"]["coupon"] == "TENOFF"
    assert stored["properties"]["financial_status"] == "paid"
    assert stored["context"]["page"] == {
        "url": "https://shop.example/products/ipod?utm_source=newsletter&utm_medium=email&utm_campaign=autumn",
        "referrer": "https://mail.example/",
    }
    assert stored["context"]["ip"] == "216.191.105.0"
    assert "Chrome/131" in stored["context"]["userAgent"]
    assert stored["context"]["library"] == {"name": "shopify", "version": "2026-10"}


@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.iterdir()))
@pytest.mark.parametrize("test", ["", "true"], ids=["kept", "rejected"])
def test_nothing_personal_is_kept(name: str, test: str) -> None:
    result = take(name, "shop/redact" if name == "customer-redact" else "any/topic", test=test)
    stored = " ".join(
        [*(touchpoint.rest for touchpoint in result.touchpoints), *(raw.decode() for raw in payloads(result))]
    )
    assert len(stored) > 20
    assert not [text for text in PERSONAL if text in stored]
    assert "216.191.105.146" not in stored


@pytest.mark.parametrize(
    ("name", "topic", "actor", "anonymous", "linked"),
    [
        ("checkout", "checkouts/create", USER, "visitor-7", [CART]),
        ("cart", "carts/update", CART, CART, []),
        ("refund", "refunds/create", f"shopify-order-{ORDER_ID}", f"shopify-order-{ORDER_ID}", []),
        ("fulfillment", "fulfillments/create", f"shopify-order-{ORDER_ID}", f"shopify-order-{ORDER_ID}", []),
        ("order-edited", "orders/edited", f"shopify-order-{ORDER_ID}", f"shopify-order-{ORDER_ID}", []),
        ("order", "orders/fulfilled", USER, CART, []),
        ("customer", "customers/create", "706405506930370084", "", []),
    ],
)
def test_ids(name: str, topic: str, actor: str, anonymous: str, linked: list[str]) -> None:
    result = take(name, topic)
    assert (first(result).actor, first(result).anonymous_id) == (actor, anonymous)
    assert links(result) == [("alias", other, actor) for other in linked]


@pytest.mark.parametrize("attributes", [[{"name": "anonymousId", "value": "v"}], {"throughline_anonymous_id": "v"}])
def test_cart_attributes_name_the_visitor(attributes: Any) -> None:
    result = take({**ORDER, "note_attributes": attributes})
    assert first(result).anonymous_id == "v"
    assert [previous for _, previous, _ in links(result)] == [CART, f"shopify-order-{ORDER_ID}"]


def test_an_order_without_a_customer_is_a_customer_of_its_own() -> None:
    result = take({**ORDER, "customer": None, "cart_token": None, "checkout_token": None})
    assert only(result).actor == f"shopify-order-{ORDER_ID}"
    till = only(take("pos-order"))
    assert (till.actor, till.channel) == ("5f1d1e3b6b3a4a1e8f0e4f2b6f7c8d9e", "store")


def test_a_retry_and_a_second_subscription_count_once_and_another_topic_does_not() -> None:
    create = take("order", webhook_id="w-1")
    again = take("order", webhook_id="w-2", event_id="e-2")  # headers are not signed
    assert [touchpoint.message_id for touchpoint in create.touchpoints] == [
        touchpoint.message_id for touchpoint in again.touchpoints
    ]
    paid = take("order", "orders/paid")
    assert first(paid).message_id != first(create).message_id
    assert paid.touchpoints[1].message_id == create.touchpoints[1].message_id
    assert first(take({**ORDER, "note": "again"})).message_id != first(create).message_id


def test_times() -> None:
    assert first(take("order", triggered_at="")).occurred_us == NOW - 512_000_000  # updated_at
    late = {**ORDER, "updated_at": None}
    assert first(take(late, triggered_at="")).occurred_us == NOW - 513_000_000  # created_at
    assert "unreadable_time" in first(take("order", triggered_at="soon")).warnings
    assert codes(take("order", triggered_at="+12345-01-01"))[0] == (
        "rejected",
        "time_out_of_range",
        "X-Shopify-Triggered-At",
    )


def test_a_refund_in_part_and_in_full() -> None:
    part = only(take("refund", "refunds/create"))
    assert (part.order_id, part.value, part.currency, part.quantity) == (ORDER_ID, 199.0, "USD", 1.0)
    nothing = only(take({"order_id": 1, "transactions": []}, "refunds/create"))
    assert nothing.value == 0.0
    refunds = [{"created_at": "2026-11-23T15:25:00-05:00"}, {"created_at": "2026-11-23T15:26:00-05:00"}]
    full = {**ORDER, "financial_status": "refunded", "refunds": refunds}
    touchpoint, again = (first(take(full, "orders/updated", event_id=event_id)) for event_id in ("e-7", "e-8"))
    assert (touchpoint.name, touchpoint.value, touchpoint.order_id) == ("Order Refunded", None, ORDER_ID)
    assert (touchpoint.occurred_us, touchpoint.message_id) == (NOW - 153_000_000, f"orders/updated:refunded:{ORDER_ID}")
    assert touchpoint == again


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"current_total_price": "150.00"}, 150.0),
        ({"total_price": "100.00"}, 100.0),
        ({"total_price": "100.00", "current_total_price": "60.00", "financial_status": "partially_refunded"}, 100.0),
        ({"current_total_price": "60.00", "financial_status": "partially_refunded"}, None),
        (
            {
                "current_total_price": "110.00",
                "financial_status": "partially_refunded",
                "refunds": [{"transactions": [{"kind": "refund", "status": "success", "amount": "40.00"}]}],
            },
            150.0,
        ),
    ],
)
def test_an_edited_order_has_its_new_value_and_refunds_count_once(said: dict[str, Any], value: float | None) -> None:
    touchpoint = first(take({"id": 1, "currency": "EUR", **said}, "orders/updated"))
    assert (touchpoint.name, touchpoint.value, touchpoint.total) == ("orders/updated", value, value)


def test_a_voided_order_is_cancelled_once() -> None:
    voided = {"id": 1, "financial_status": "voided", "total_price": "9.00"}
    touchpoint, again = (first(take(voided, "orders/updated", event_id=event_id)) for event_id in ("e-7", "e-8"))
    assert (touchpoint.name, touchpoint.order_id, touchpoint.message_id) == (
        "Order Cancelled",
        "1",
        "orders/updated:voided:1",
    )
    assert touchpoint.message_id == again.message_id


def test_a_cart_is_whole_also_when_it_is_empty() -> None:
    lines = [{"product_id": 7, "quantity": 2, "price": "3.50"}, {"product_id": 8, "quantity": 1}]
    assert first(take({"id": "c", "line_items": lines}, "carts/update")).items == '[["7",2.0,3.5],["8",1.0,null]]'
    assert first(take({"id": "c", "line_items": []}, "carts/create")).items == "[]"
    assert first(take({"id": "c"}, "carts/create")).items == ""


def test_test_orders_are_marked_and_link_nobody() -> None:
    result = take({**ORDER, "test": True})
    touchpoint = only(result)
    assert (touchpoint.test, touchpoint.warnings) == (True, ("test_order",))
    transaction = {"kind": "refund", "amount": "1.00", "test": True}
    assert only(take({"order_id": 1, "transactions": [transaction]}, "refunds/create")).test
    assert not first(take({**ORDER, "test": False})).test


def test_kinds_of_topics() -> None:
    kinds = {
        "orders/create": "order",
        "orders/paid": "order_paid",
        "orders/cancelled": "order_cancelled",
        "refunds/create": "order_refunded",
        "orders/partially_fulfilled": "fulfilment",
        "fulfillments/create": "fulfilment",
        "carts/update": "cart_updated",
        "checkouts/create": "checkout",
        "customers/enable": "sign_up",
        "customers/update": "bookkeeping",
        "orders/updated": "order_edited",
    }
    kinds_by_name = {name: kind for kind, entry in vocabulary().items() for name in entry.names if name in kinds}
    assert kinds_by_name == kinds


def test_the_journey_of_an_order() -> None:
    deliveries = [("checkout", "checkouts/create"), ("order", "orders/create"), ("order", "orders/paid")]
    deliveries += [("order", "orders/fulfilled"), ("order", "orders/cancelled")]
    steps = [
        first(take(name, topic, triggered_at=f"2026-11-23T20:1{minute}Z"))
        for minute, (name, topic) in enumerate(deliveries)
    ]
    second, third = (first(take({**ORDER, "id": n}, triggered_at=f"2026-11-23T20:2{n}Z")) for n in (2, 3))
    transitions = fold(load_model("seven_phase"), None, [*steps, second, third]).transitions
    assert [(step.name, step.to_phase) for step in transitions] == [
        ("checkouts/create", 3),
        ("orders/create", 4),
        ("orders/fulfilled", 5),
        ("orders/create", 6),  # the third order: one of the two before it was cancelled
    ]


def test_a_cart_attribute_says_consent() -> None:
    for answer, outcome in (("granted", [None, None]), ("denied", ["dropped"] * 2), ("", ["dropped"] * 2)):
        order = {**ORDER, "note_attributes": [{"name": "throughline_consent", "value": answer}]}
        parsed = parse_webhook(webhook(order))
        result = validated(parsed, consent="drop")
        assert [verdict and verdict.status for verdict in result.verdicts] == outcome
        assert not outcome[0] or codes(result)[0] == ("dropped", "no_consent", "note_attributes.throughline_consent")


def test_a_redact_claims_the_customer_and_its_orders() -> None:
    parsed = parse_webhook(webhook("customer-redact", "customers/redact"))
    assert not parsed.events
    assert parsed.signature is not None
    assert parsed.claim == ParsedClaim(
        "erase",
        message_id("customers/redact", "customer-redact"),
        ("191167", "john@example.com", "shopify-order-299938", "shopify-order-280263", "shopify-order-220458"),
    )


def test_a_data_request_claims_a_copy() -> None:
    request = {"customer": {"id": 7, "email": " Ada@X.example"}, "orders_requested": [8, None]}
    parsed = parse_webhook(webhook(request, "customers/data_request"))
    assert parsed.claim == ParsedClaim(
        "copy",
        message_id("customers/data_request", request),
        ("7", "Ada@X.example", "ada@x.example", "shopify-order-8"),
    )


def test_a_program_that_orders_is_no_crawler() -> None:
    touchpoint = first(take({**ORDER, "client_details": {"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}}))
    assert not touchpoint.bot
    assert "userAgent" not in rest(touchpoint)["context"]


@pytest.mark.parametrize(
    ("payload", "headers", "code", "field"),
    [
        ("order", {"topic": ""}, "missing_field", "X-Shopify-Topic"),
        ("order", {"test": "true"}, "test_webhook", "X-Shopify-Test"),
        ("customer-redact", {"topic": "shop/redact"}, "unsupported_topic", "X-Shopify-Topic"),
        ("customer-redact", {"topic": "customers/redact", "test": "true"}, "test_webhook", "X-Shopify-Test"),
        ({"customer": {"id": "guest"}}, {"topic": "customers/redact"}, "missing_id", "customer.id"),
        ({"customer": {"email": "\ud800"}}, {"topic": "customers/data_request"}, "missing_id", "customer.id"),
        ({"id": 1, "title": "IPod"}, {"topic": "products/update"}, "missing_id", "customer.id"),
        ({"customer": {"id": []}}, {}, "wrong_type", "customer.id"),
        ({"customer": {"id": "guest"}}, {"topic": "customers/x"}, "missing_id", "customer.id"),
        ({**ORDER, "customer": {"id": "a\0"}}, {}, "nul_character", "customer.id"),
        ({**ORDER, "tax_exempt": float("nan")}, {}, "number_out_of_range", "properties.tax_exempt"),
    ],
)
def test_rejected(payload: Any, headers: dict[str, str], code: str, field: str) -> None:
    event, *_ = take(payload, **headers).rejected
    assert event.verdict[:3] == ("rejected", code, field)
    assert json.loads(event.payload)["type"] == "track"


@pytest.mark.parametrize(
    ("payload", "headers", "faults"),
    [
        (
            {"customer": {"id": []}, "note_attributes": {"anonymousId": ["v"]}},
            {"triggered_at": "+275760-09-13T00:00:00Z", "topic": ""},
            {
                ("missing_field", "X-Shopify-Topic"),
                ("wrong_type", "customer.id"),
                ("wrong_type", "note_attributes"),
                ("time_out_of_range", "X-Shopify-Triggered-At"),
            },
        ),
        (
            {"customer": {"id": []}},
            {"topic": "orders/create", "test": "true"},
            {("test_webhook", "X-Shopify-Test"), ("wrong_type", "customer.id")},
        ),
        (
            {"title": "\ud800"},
            {"topic": "products/update", "test": "true"},
            {("test_webhook", "X-Shopify-Test"), ("missing_id", "customer.id")},
        ),
        ({}, {"topic": "shop/redact", "test": "true"}, {("test_webhook", "X-Shopify-Test"), UNSUPPORTED}),
        ({}, {"topic": "shop/redact"}, {UNSUPPORTED}),
        ({}, {"topic": "customers/redact", "test": "true"}, {("test_webhook", "X-Shopify-Test")}),
        (
            {"status": "failed"},
            {"topic": "customers/merge"},
            {("missing_id", "customer.id"), ("unfinished_merge", "status")},
        ),
        (
            {"customer": {"id": "a\0"}, "id": float("nan")},
            {"topic": "orders/create"},
            {("nul_character", "customer.id")},
        ),
    ],
)
def test_a_rejected_webhook_names_every_fault(
    payload: Any, headers: dict[str, str], faults: set[tuple[str, str]]
) -> None:
    (verdict,) = take(payload, **headers).verdicts
    assert verdict is not None
    named = [(fault.code, fault.field) for fault in (verdict, *verdict.others) if fault.status == "rejected"]
    assert set(named) == faults
    assert len(named) == len(faults)


def test_a_test_is_not_sent_again_whatever_else_is_wrong_with_it() -> None:
    faulty: dict[str, Any] = {"customer": {"id": []}}
    assert parse_webhook(webhook(faulty)).replay_request is not None
    for headers in ({"test": "true"}, {"test": "true", "topic": ""}):
        assert parse_webhook(webhook(faulty, **headers)).replay_request is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<order/>", b"{", b"\xff"])
def test_unreadable_requests(body: bytes) -> None:
    with pytest.raises(ServiceError) as failure:
        parse_webhook(webhook(body))
    assert failure.value.status == 400


def signed(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def source(secret: str | None) -> SourceKey:
    return SourceKey(b"", 1, 1, "shop", True, SourceSettings(webhook_secret=secret))


def test_every_request_has_to_be_signed() -> None:
    body = (FIXTURES / "order.json").read_bytes()
    parsed = parse_webhook(webhook(body, hmac_sha256=signed(body, "s3cret")))
    assert parsed.write_key == "tlw_1"
    assert parsed.signature is not None
    check_signature(source("s3cret"), parsed.signature)
    segment = parse_webhook(webhook({"type": "track", "event": "E", "userId": "u", "batch": []}))
    assert segment.signature == Signature("", segment.signature.body if segment.signature else b"")


def test_a_secret_that_cannot_be_decrypted_lets_nobody_in() -> None:
    with pytest.raises(ServiceError) as failure:
        check_signature(source(None), Signature(signed(b"{}", ""), b"{}"))
    assert (failure.value.status, failure.value.code) == (503, "webhook_secret_unreadable")
    assert failure.value.headers["Retry-After"]


@pytest.mark.parametrize(
    ("secret", "sent", "code"),
    [
        ("", signed(b"{}", ""), "webhook_secret_not_set"),
        ("s3cret", "", "invalid_signature"),
        ("s3cret", signed(b"{}", "other"), "invalid_signature"),
        ("s3cret", signed(b"{} ", "s3cret"), "invalid_signature"),
        ("s3cret", signed(b"{}", "s3cret")[:-1], "invalid_signature"),
        ("s3cret", hmac.new(b"s3cret", b"{}", hashlib.sha256).hexdigest(), "invalid_signature"),
        ("s3cret", "\xff", "invalid_signature"),
    ],
)
def test_wrong_signatures(secret: str, sent: str, code: str) -> None:
    with pytest.raises(ServiceError) as failure:
        check_signature(source(secret), Signature(sent, b"{}"))
    assert (failure.value.status, failure.value.code) == (401, code)
    check_signature(source("s3cret"), Signature(signed(b"{}", "s3cret"), b"{}"))


KEPT, GONE = "gid://shopify/Customer/706405506930370084", "gid://shopify/Customer/115310627314723954"


def test_a_merge_joins_two_customers() -> None:
    payload = {
        "admin_graphql_api_customer_kept_id": KEPT,
        "admin_graphql_api_customer_deleted_id": GONE,
        "status": "completed",
    }
    merge = only(take(payload, "customers/merge"))
    assert (merge.call, merge.user_id, merge.previous_id) == ("alias", "706405506930370084", "115310627314723954")
    assert (merge.message_id, merge.occurred_us) == (message_id("customers/merge", payload), TRIGGERED_US)
    assert codes(take({**payload, "status": "failed"}, "customers/merge")) == [
        ("rejected", "unfinished_merge", "status")
    ]
    assert codes(take({"status": "completed"}, "customers/merge")) == [("rejected", "missing_id", "customer.id")]


@pytest.mark.parametrize("topic", ["orders/create", "orders/paid"])
def test_an_imported_order_happened_when_it_was_processed(topic: str) -> None:
    imported = {**ORDER, "processed_at": "2025-03-01T10:00:00+01:00", "created_at": "2026-11-23T20:27:00Z"}
    assert first(take(imported, topic)).occurred_us == to_us(datetime(2025, 3, 1, 9, tzinfo=UTC))
    usual = {**imported, "processed_at": "2026-11-23T20:26:59Z"}
    assert first(take(usual, topic)).occurred_us == TRIGGERED_US
