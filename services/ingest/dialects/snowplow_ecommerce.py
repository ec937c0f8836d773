"""Snowplow's e-commerce actions: an event with a type, and what it is about in entities beside it. Pure.

Properties come out under the names Segment gives them (order_id, product_id, products, value, currency, quantity), so
that whoever asks for orders need not know which tracker sent them.
"""

from typing import Any

from services.ingest.dialects.snowplow_names import ENHANCED

Entities = dict[str, list[dict[str, Any]]]
"""Name of the schema -> the data of each entity of it."""

_ORDERS = {
    "transaction": ("transaction", "transaction_id", "revenue"),
    "refund": ("refund", "transaction_id", "refund_amount"),
}
"""Action -> its entity, and the entity's fields with the order's id and with the money."""
_PARTS = ("cart", "checkout_step", "promotion", "transaction", "refund", "transaction_error")


def action(data: dict[str, Any], entities: Entities) -> tuple[Any, dict[str, Any]]:
    """Name and properties of a `snowplow_ecommerce_action`."""
    name = data.get("type")
    properties = dict(data)
    for part in _PARTS:
        found = entities.get(part)
        if found:
            properties[part] = found[0] if len(found) == 1 else found
            _keep(properties, "currency", found[0].get("currency"))
    order = _ORDERS.get(name) if isinstance(name, str) else None
    if order is not None:
        part, id_field, money = order
        entity = (entities.get(part) or [{}])[0]
        _keep(properties, "order_id", entity.get(id_field))
        _keep(properties, "value", entity.get(money))
    _products(properties, entities.get("product", []))
    return name, properties


def enhanced(data: dict[str, Any], entities: Entities) -> tuple[Any, dict[str, Any]]:
    """Name and properties of an action of the older enhanced e-commerce plugin."""
    kind = data.get("action")
    name = ENHANCED.get(kind, kind) if isinstance(kind, str) else kind
    properties = dict(data)
    for details in entities.get("actionFieldObject", [])[:1]:
        properties["action_field"] = details
        _keep(properties, "currency", details.get("currency"))
        if name in _ORDERS:
            _keep(properties, "order_id", details.get("id"))
            _keep(properties, "value", details.get("revenue"))
    _products(properties, entities.get("productFieldObject", []))
    return name, properties


def _products(properties: dict[str, Any], products: list[dict[str, Any]]) -> None:
    if not products:
        return
    properties["products"] = [
        {"product_id" if name == "id" else name: value for name, value in product.items()} for product in products
    ]
    _keep(properties, "currency", products[0].get("currency"))
    if len(products) == 1:
        _keep(properties, "product_id", products[0].get("id"))
        _keep(properties, "quantity", products[0].get("quantity"))


def _keep(properties: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and value != "":
        properties.setdefault(name, value)
