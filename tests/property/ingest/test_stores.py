"""Any request to the stores' paths: a verdict for each event, or a 400; nothing else is ever raised."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects import pos, shopify
from services.ingest.dialects.base import Request
from services.ingest.dialects.pos import COLUMNS, EVENTS
from services.ingest.dialects.shopify_fields import KEPT
from tests.property.ingest.test_dialects import attempt, take
from tests.property.ingest.test_segment import JSON, TEXT, TIMES

IDS = st.integers() | TEXT | JSON
TOPICS = st.sampled_from(
    [
        *("orders/create", "orders/updated", "orders/edited", "orders/delete", "refunds/create", "checkouts/create"),
        *("carts/update", "customers/create", "customers/redact", "products/update", ""),
    ]
)
LINES = st.lists(
    st.dictionaries(st.sampled_from(["product_id", "price", "quantity", "title", "line_item"]), JSON, max_size=3)
    | JSON,
    max_size=2,
)
PAYLOADS = (
    st.fixed_dictionaries(
        {"id": IDS},
        optional={
            "customer": st.fixed_dictionaries({"id": IDS}) | JSON,
            **dict.fromkeys(("token", "cart_token", "checkout_token", "order_id", "landing_site", "currency"), IDS),
            **dict.fromkeys(("updated_at", "created_at"), TIMES),
            "note_attributes": st.lists(st.fixed_dictionaries({"name": st.just("anonymousId"), "value": IDS})) | JSON,
            "order_edit": st.fixed_dictionaries({"order_id": IDS}) | JSON,
            "refunds": st.lists(st.fixed_dictionaries({"created_at": TIMES}) | JSON, max_size=2) | JSON,
            "financial_status": st.just("refunded") | JSON,
            **dict.fromkeys(("line_items", "refund_line_items", "discount_codes"), LINES | JSON),
            "transactions": st.lists(st.fixed_dictionaries({"kind": st.just("refund"), "amount": JSON | TEXT}) | JSON),
            "client_details": st.dictionaries(st.sampled_from(["user_agent", "browser_ip"]), TEXT | JSON) | JSON,
            **dict.fromkeys(sorted(KEPT - {"updated_at", "created_at", "financial_status"})[:6], JSON),
        },
    )
    | JSON
)
NAMES = st.sampled_from([b"event-id", b"webhook-id", b"triggered-at", b"shop-domain", b"api-version", b"test"])


def webhook(topic: str, headers: dict[bytes, bytes], body: bytes) -> Request:
    named = [(b"x-shopify-" + name, value) for name, value in headers.items()]
    return Request("POST", "/v1/shopify", "writeKey=%ff", [(b"x-shopify-topic", topic.encode()), *named], body)


@given(TOPICS, PAYLOADS)
def test_any_payload(topic: str, payload: Any) -> None:
    result = attempt(shopify.read, webhook(topic, {}, json.dumps(payload).encode("utf-8", "surrogatepass")))
    assert result is not None or not isinstance(payload, dict)


@given(TOPICS | TEXT.filter(str.isascii), st.dictionaries(NAMES, st.binary(max_size=30) | st.just(b"true")), PAYLOADS)
def test_any_headers(topic: str, headers: dict[bytes, bytes], payload: Any) -> None:
    request = webhook(topic, headers, json.dumps(payload).encode("utf-8", "surrogatepass"))
    result, again = attempt(shopify.read, request), attempt(shopify.read, request)
    assert result == again


@given(TOPICS, st.binary(max_size=60))
def test_any_bytes(topic: str, body: bytes) -> None:
    attempt(shopify.read, webhook(topic, {}, body))


def test_as_deep_as_can_be() -> None:
    for depth in (300, 500, 900, 100_000):
        for wrapped in (b'{"customer":{"id":1},"updated_at":%s}', b'{"customer":{"id":1},"line_items":%s}', b"%s"):
            attempt(shopify.read, webhook("orders/create", {}, wrapped % (b"[" * depth + b"]" * depth)))
    assert len(take(shopify.read, webhook("orders/create", {}, b'{"customer":{"id":1}}')).verdicts) == 1


SALES = (
    st.fixed_dictionaries(
        {},
        optional={
            **{name: TEXT | JSON for names in COLUMNS.values() for name in names},
            "kind": st.sampled_from(sorted(EVENTS)) | JSON,
            "sold_at": TIMES,
            **dict.fromkeys(("currency", "quantity", "acquisition_channel", "other"), JSON),
        },
    )
    | JSON
)
GOOD = {"receipt": "R", "customer": "good", "sold_at": "2026-11-23T20:00:00Z"}
QUERIES = st.sampled_from(
    ["", "anonymous=receipt&currency=%ff", "time_zone=Europe/Vienna", "time_zone=%00&anonymous=x"]
)
CELLS = st.sampled_from(
    ['"', '""', "a", "\n", "\r", ",", ";", "\t", "receipt", "R-1", "\ufeff", "\udcff", "\0", "{", "[", " "]
)


def sales(body: bytes, query: str = "") -> Request:
    return Request("POST", "/v1/pos", query, [], body)


@given(SALES, QUERIES)
def test_neighbours_of_any_sale_survive(sale: Any, query: str) -> None:
    for body in ([GOOD, sale, GOOD], {"sales": [GOOD, sale, GOOD]}):
        result = attempt(pos.read, sales(json.dumps(body).encode(), query))
        if result is not None:
            assert result.verdicts[0] is result.verdicts[2] is None
    lines = "\n".join(json.dumps(one) for one in (GOOD, sale, GOOD))
    assert take(pos.read, sales(lines.encode())).verdicts[::2] == [None, None]


@given(st.lists(CELLS, max_size=40).map("".join), QUERIES)
def test_any_csv(text: str, query: str) -> None:
    attempt(pos.read, sales(text.encode("utf-8", "surrogateescape"), query))
    row = "R-1,ada\n"
    broken = text.replace("\n", "").replace("\r", "").replace("receipt", "")
    if broken.strip():
        found = take(pos.read, sales(f"receipt,customer\n{row}{broken}\n{row}".encode("utf-8", "surrogateescape")))
        assert len(found.verdicts) == 3
        assert found.verdicts[0] == found.verdicts[2]
        assert found.verdicts[0] is None or found.verdicts[0].verdict == "warning"


@given(st.binary(max_size=60))
def test_any_bytes_of_a_till(body: bytes) -> None:
    for before in (b"", b"{", b"receipt\n"):
        attempt(pos.read, sales(before + body))
