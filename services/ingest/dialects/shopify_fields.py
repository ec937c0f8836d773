"""What is kept of a Shopify payload, and under which names. Pure.

It is a list of what is kept, not of what is left out, so that nothing slips through: no names of people, no addresses,
email or telephone, no warnings, no text of a customer's own.
"""

import math
from typing import Any
from urllib.parse import urljoin

from services.ingest.dialects.base import Request
from services.ingest.dialects.web import page_context
from services.ingest.enrich.crawlers import is_crawler

KEPT = frozenset(
    {
        *("order_number", "financial_status", "fulfillment_status", "cancel_reason", "source_name", "location_id"),
        *("total_price", "current_total_price", "subtotal_price", "total_discounts", "total_tax", "taxes_included"),
        *("presentment_currency", "confirmed", "test", "app_id", "processed_at", "created_at", "updated_at"),
        *("cancelled_at", "closed_at", "completed_at", "buyer_accepts_marketing", "status", "shipment_status"),
        *("state", "orders_count", "total_spent", "verified_email", "tax_exempt"),
    }
)
"""Members of a payload that are kept as sent, where they are text, a number or a boolean."""

_MONEY = ("current_total_price", "total_price")
_LINE = {
    "product_id": "product_id",
    "variant_id": "variant_id",
    "sku": "sku",
    "title": "name",
    "quantity": "quantity",
    "price": "price",
}
"""Member of a line item -> what it is called in Segment's `products`."""
STORE = "store"


def properties_of(topic: str, payload: dict[str, Any], shop: str, order: str) -> dict[str, Any]:
    """The event's properties, with the fields that have a type under the names they have here."""
    found = {name: payload[name] for name in sorted(KEPT & payload.keys()) if _is_plain(payload[name])}
    lines = _objects(payload.get("line_items"))
    value, currency = _first(payload, _MONEY), payload.get("currency")
    if topic.startswith("refunds/"):
        lines = [part for one in _objects(payload.get("refund_line_items")) if (part := _refunded(one)) is not None]
        value, currency = _paid_back(payload)
    products = [
        {_LINE[name]: _named(name, line[name]) for name in _LINE if _is_plain(line.get(name))} for line in lines
    ]
    if len(products) == 1:
        # What an event with several products is about is in them, not in one of them.
        found |= {name: products[0][name] for name in ("product_id", "quantity") if name in products[0]}
    codes = [code for one in _objects(payload.get("discount_codes")) if (code := text_of(one.get("code")))]
    if payload.get("source_name") == "pos":
        found["acquisition_channel"] = STORE
    own = {
        "order_id": order,
        "value": amount_of(value),
        "currency": text_of(currency),
        "coupon": codes[0] if codes else "",
        "products": products,
        "shop": shop,
    }
    return found | {name: part for name, part in own.items() if part not in ("", None, [])}


def context_of(payload: dict[str, Any], request: Request) -> dict[str, Any]:
    """Where the customer came from and with what, as Segment's libraries say it."""
    landing, referrer = text_of(payload.get("landing_site")), text_of(payload.get("referring_site"))
    context: dict[str, Any] = page_context(_absolute(landing, payload, request), referrer or None, None)
    client = payload.get("client_details")
    client = client if isinstance(client, dict) else {}
    agent = text_of(client.get("user_agent"))
    # The shop says that it was an order: what a program calls itself that placed it takes nothing back.
    if agent and not is_crawler(agent):
        context["userAgent"] = agent
    address = text_of(payload.get("browser_ip")) or text_of(client.get("browser_ip"))
    locale = text_of(payload.get("customer_locale"))
    version = request.header(b"x-shopify-api-version")
    context["library"] = {"name": "shopify", "version": version} if version else {"name": "shopify"}
    return context | {name: part for name, part in (("ip", address), ("locale", locale)) if part}


def text_of(value: Any) -> str:
    """Text as it is, a single_event number as text; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def amount_of(value: Any) -> float | None:
    """An amount, which Shopify writes as text; None for what is none."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) else None


def _absolute(landing: str, payload: dict[str, Any], request: Request) -> str | None:
    """The page a visit began with; often only its path is told."""
    if not landing:
        return None
    shop = request.header(b"x-shopify-shop-domain")
    base = text_of(payload.get("order_status_url")) or (f"https://{shop}/" if shop else "")
    try:
        return urljoin(base, landing)
    except ValueError:  # what stands in a host's place is none
        return landing


def _paid_back(payload: dict[str, Any]) -> tuple[float, Any]:
    """The sum of a refund, and its currency."""
    back = [
        one
        for one in _objects(payload.get("transactions"))
        if one.get("kind") == "refund" and one.get("status", "success") == "success"
    ]
    # Without any it is 0: nothing was paid back (yet). A refund without a sum would be one in full.
    paid = sum(amount_of(one.get("amount")) or 0.0 for one in back)
    return paid, back[0].get("currency") if back else None


def _refunded(one: dict[str, Any]) -> dict[str, Any] | None:
    line = one.get("line_item")
    return {**line, "quantity": one.get("quantity")} if isinstance(line, dict) else None


def _named(name: str, value: Any) -> Any:
    if name == "price":
        return amount_of(value)
    return text_of(value) if name.endswith("_id") else value


def _first(payload: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((payload[name] for name in names if payload.get(name) not in (None, "")), None)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""
