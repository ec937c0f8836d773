"""Strategies for Shopify webhooks: topics, headers and payloads."""

from hypothesis import strategies as st

from services.ingest.dialects.base import Request
from services.ingest.dialects.shopify.fields import KEPT_MEMBERS
from tests.strategies.values import JSON, TEXT, TIMES

IDS = st.integers() | TEXT | JSON

TOPICS = st.sampled_from(
    [
        "orders/create",
        "orders/updated",
        "orders/edited",
        "orders/delete",
        "refunds/create",
        "checkouts/create",
        "carts/update",
        "customers/create",
        "customers/redact",
        "products/update",
        "",
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
            **dict.fromkeys(sorted(KEPT_MEMBERS - {"updated_at", "created_at", "financial_status"})[:6], JSON),
        },
    )
    | JSON
)

HEADER_NAMES = st.sampled_from([b"event-id", b"webhook-id", b"triggered-at", b"shop-domain", b"api-version", b"test"])


def webhook(topic: str, headers: dict[bytes, bytes], body: bytes) -> Request:
    named = [(b"x-shopify-" + name, value) for name, value in headers.items()]
    return Request("POST", "/v1/shopify", "writeKey=%ff", [(b"x-shopify-topic", topic.encode()), *named], body)
