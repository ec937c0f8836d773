"""Events that are about an order, by their name: one of them without an order's id is taken with a warning. Pure.

What a name means is the phase model's business; these are the names that the shipped vocabulary knows, so that a shop
hears of what is missing while it still can send it.
"""

import re
from functools import lru_cache

from services.ingest.event.verdict import Verdict, warning

ORDERS = frozenset(
    {
        "buy",
        "buyaction",
        "checkoutcompleted",
        "closeconvertlead",
        "contractsigned",
        "order",
        "orderaction",
        "ordercompleted",
        "orderpaid",
        "orders/create",
        "orders/paid",
        "orderscreate",
        "orderspaid",
        "pay",
        "payaction",
        "possale",
        "purchase",
        "subscriptionstarted",
        "transaction",
    }
)
"""Each places an order; as `normalised` has them."""
TAKEN_BACK = frozenset(
    {
        "ordercancelled",
        "orders/cancelled",
        "orders/delete",
        "orderscancelled",
        "ordersdelete",
        "orderrefunded",
        "refund",
        "refundscreate",
        "refunds/create",
    }
)
"""Each cancels or refunds an order."""

_SEPARATORS = re.compile(r"[\s_\-]+")
_FIELD = "properties.order_id"
_OF_ITS_OWN = warning("missing_order_id", _FIELD, "without an id each report of an order counts as another; add it")
_OF_NONE = warning("missing_order_id", _FIELD, "without an id nothing tells which order is taken back; add it")


@lru_cache(maxsize=4096)
def missing_id(name: str) -> Verdict | None:
    """What is to be said of a track call of this name that has no order id; None when it needs none."""
    normal = _SEPARATORS.sub("", name.casefold())
    if normal in ORDERS:
        return _OF_ITS_OWN
    return _OF_NONE if normal in TAKEN_BACK else None
