"""What is kept of a Shopify payload, and under which names. Pure.

The list says what is kept, not what is left out, so that nothing slips through: no names of people, no addresses, no
email or telephone, no notes, no text that a customer wrote.
"""

import math
from typing import Any
from urllib.parse import urljoin

from services.ingest.dialects.base import Request
from services.ingest.dialects.web import page_context
from services.ingest.enrich.crawlers import is_crawler

SHOP_HEADER = b"x-shopify-shop-domain"
KEPT_MEMBERS = frozenset(
    {
        "order_number",
        "financial_status",
        "fulfillment_status",
        "cancel_reason",
        "source_name",
        "location_id",
        "total_price",
        "current_total_price",
        "subtotal_price",
        "total_discounts",
        "total_tax",
        "taxes_included",
        "presentment_currency",
        "confirmed",
        "test",
        "app_id",
        "processed_at",
        "created_at",
        "updated_at",
        "cancelled_at",
        "closed_at",
        "completed_at",
        "buyer_accepts_marketing",
        "status",
        "shipment_status",
        "state",
        "orders_count",
        "total_spent",
        "verified_email",
        "tax_exempt",
    }
)
"""Members of a payload that are kept as sent if they are text, a number or a boolean."""
STORE_CHANNEL = "store"

_PRODUCT_NAMES = {
    "product_id": "product_id",
    "variant_id": "variant_id",
    "sku": "sku",
    "title": "name",
    "quantity": "quantity",
    "price": "price",
}
"""Member of a line item -> member of a product, as Segment's specification names it."""


def properties_of(topic: str, payload: dict[str, Any], shop: str, order_id: str) -> dict[str, Any]:
    """Returns the event's properties, those with a typed field under its name."""
    properties = {name: payload[name] for name in sorted(KEPT_MEMBERS & payload.keys()) if _is_scalar(payload[name])}
    lines = objects_of(payload.get("line_items"))
    value, currency = _charged(payload), payload.get("currency")
    if topic.startswith("refunds/"):
        refunded = map(_refunded_line, objects_of(payload.get("refund_line_items")))
        lines = [line for line in refunded if line is not None]
        value, currency = _refund_total(payload)
        if any(transaction.get("test") is True for transaction in objects_of(payload.get("transactions"))):
            properties["test"] = True
    products = [_product(line) for line in lines]
    if len(products) == 1:
        # An event with several products is about none of them alone.
        properties |= {name: products[0][name] for name in ("product_id", "quantity") if name in products[0]}
    discounts = objects_of(payload.get("discount_codes"))
    codes = [code for discount in discounts if (code := text_of(discount.get("code")))]
    if payload.get("source_name") == "pos":
        properties["acquisition_channel"] = STORE_CHANNEL
    typed = {
        "order_id": order_id,
        "value": value,
        "total": value,
        "currency": text_of(currency),
        "coupon": codes[0] if codes else "",
        "products": products,
        "shop": shop,
    }
    if topic.startswith("carts/") and isinstance(payload.get("line_items"), list):
        properties["products"] = []  # a cart without lines is empty
    return properties | {name: part for name, part in typed.items() if part not in ("", None, [])}


def context_of(payload: dict[str, Any], request: Request) -> dict[str, Any]:
    """Returns the event's context, as Segment's libraries would fill it."""
    landing, referrer = text_of(payload.get("landing_site")), text_of(payload.get("referring_site"))
    context: dict[str, Any] = page_context(_landing_url(landing, payload, request), referrer or None, None)
    client = payload.get("client_details")
    client = client if isinstance(client, dict) else {}
    user_agent = text_of(client.get("user_agent"))
    # The store says that this is an order. A program's user agent must not make it a crawler's, which does not count.
    if user_agent and not is_crawler(user_agent):
        context["userAgent"] = user_agent
    address = text_of(payload.get("browser_ip")) or text_of(client.get("browser_ip"))
    locale = text_of(payload.get("customer_locale"))
    version = request.header(b"x-shopify-api-version")
    context["library"] = {"name": "shopify", "version": version} if version else {"name": "shopify"}
    return context | {name: text for name, text in (("ip", address), ("locale", locale)) if text}


def text_of(value: Any) -> str:
    """Returns a text as it is, a whole number as text, and "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def amount_of(value: Any) -> float | None:
    """Returns an amount of money, which Shopify writes as text; None for anything else."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) else None


def objects_of(value: Any) -> list[dict[str, Any]]:
    """Returns the objects in a list, none of a value that is no list."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _landing_url(landing: str, payload: dict[str, Any], request: Request) -> str | None:
    """Returns the address of the landing page; Shopify often sends its path only."""
    if not landing:
        return None
    shop = request.header(SHOP_HEADER)
    base = text_of(payload.get("order_status_url")) or (f"https://{shop}/" if shop else "")
    try:
        return urljoin(base, landing)
    except ValueError:  # a malformed host
        return landing


def _refund_total(payload: dict[str, Any]) -> tuple[float, Any]:
    """Returns the sum that a refund paid back, and its currency.

    The sum is 0 if nothing has been paid back yet: a refund without a sum would count as one of the whole order.
    """
    refunds = [
        transaction
        for transaction in objects_of(payload.get("transactions"))
        if transaction.get("kind") == "refund" and transaction.get("status", "success") == "success"
    ]
    total = sum(amount_of(refund.get("amount")) or 0.0 for refund in refunds)
    return total, refunds[0].get("currency") if refunds else None


def _refunded_line(refund_line: dict[str, Any]) -> dict[str, Any] | None:
    line = refund_line.get("line_item")
    return {**line, "quantity": refund_line.get("quantity")} if isinstance(line, dict) else None


def _product(line: dict[str, Any]) -> dict[str, Any]:
    return {
        product_name: _product_value(name, line[name])
        for name, product_name in _PRODUCT_NAMES.items()
        if _is_scalar(line.get(name))
    }


def _product_value(name: str, value: Any) -> Any:
    if name == "price":
        return amount_of(value)
    return text_of(value) if name.endswith("_id") else value


def _charged(payload: dict[str, Any]) -> float | None:
    """Returns what an order costs as it is now, before refunds.

    Shopify takes refunds off the current total; they have events of their own and must not count twice.
    """
    current, total = amount_of(payload.get("current_total_price")), amount_of(payload.get("total_price"))
    refunds = objects_of(payload.get("refunds"))
    if current is None or (not refunds and payload.get("financial_status") in ("partially_refunded", "refunded")):
        return total
    return current + sum(_refund_total(refund)[0] for refund in refunds)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""
