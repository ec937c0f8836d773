"""Snowplow's e-commerce actions: the type of an event, and entities beside it that say what it is about. Pure.

The properties get the names that Segment's specification gives them (order_id, product_id, products, value, currency,
quantity), so that models need not know the tracker.
"""

from typing import Any

from services.ingest.dialects.snowplow.context import Entities
from services.ingest.dialects.snowplow.names import ENHANCED_ACTIONS

_ORDER_ACTIONS = {
    "transaction": ("transaction", "transaction_id", "revenue"),
    "refund": ("refund", "transaction_id", "refund_amount"),
}
"""Action -> its entity, and the entity's fields for the order's id and for the money."""
_PART_ENTITIES = ("cart", "checkout_step", "promotion", "transaction", "refund", "transaction_error")
"""Entities that become properties of the same name."""


def parse_action(data: dict[str, Any], entities: Entities) -> tuple[Any, dict[str, Any]]:
    """Returns the name, as sent, and the properties of a `snowplow_ecommerce_action`."""
    name = data.get("type")
    properties = dict(data)
    for part in _PART_ENTITIES:
        members = entities.get(part)
        if members:
            properties[part] = members[0] if len(members) == 1 else members
            _set_default(properties, "currency", members[0].get("currency"))
    order = _ORDER_ACTIONS.get(name) if isinstance(name, str) else None
    if order is not None:
        part, id_field, money_field = order
        entity = (entities.get(part) or [{}])[0]
        _set_default(properties, "order_id", entity.get(id_field))
        _set_default(properties, "value", entity.get(money_field))
    _add_products(properties, entities.get("product", []))
    return name, properties


def parse_enhanced_action(data: dict[str, Any], entities: Entities) -> tuple[Any, dict[str, Any]]:
    """Returns the name, perhaps no text, and the properties of an action of the older enhanced e-commerce plugin."""
    action = data.get("action")
    name = ENHANCED_ACTIONS.get(action, action) if isinstance(action, str) else action
    properties = dict(data)
    for details in entities.get("actionFieldObject", [])[:1]:
        properties["action_field"] = details
        _set_default(properties, "currency", details.get("currency"))
        if name in _ORDER_ACTIONS:
            _set_default(properties, "order_id", details.get("id"))
            _set_default(properties, "value", details.get("revenue"))
    _add_products(properties, entities.get("productFieldObject", []))
    return name, properties


def _add_products(properties: dict[str, Any], products: list[dict[str, Any]]) -> None:
    if not products:
        return
    properties["products"] = [
        {"product_id" if name == "id" else name: value for name, value in product.items()} for product in products
    ]
    _set_default(properties, "currency", products[0].get("currency"))
    if len(products) == 1:
        _set_default(properties, "product_id", products[0].get("id"))
        _set_default(properties, "quantity", products[0].get("quantity"))


def _set_default(properties: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and value != "":
        properties.setdefault(name, value)
