"""Names of events that are about an order: such an event without an order's id is kept with a warning. Pure.

A phase model decides what a name means; these are the names of the shipped vocabulary. A shop is warned while it can
still add the id.
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
        "ordercreated",
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
"""Names of events that place or pay an order: in lower case, without spaces, hyphens and underscores."""
REFUNDS = frozenset({"orderrefunded", "refund", "refundscreate", "refunds/create"})
"""Names of events that refund an order, written likewise."""
CHANGES = REFUNDS | frozenset(
    {
        "ordercanceled",
        "ordercancelled",
        "orderdeleted",
        "orderedited",
        "orderupdated",
        "orders/cancelled",
        "orders/delete",
        "orders/edited",
        "orders/updated",
        "orderscancelled",
        "ordersdelete",
        "ordersedited",
        "ordersupdated",
    }
)
"""Names of events that edit, cancel or refund an order, written likewise."""

_SEPARATORS = re.compile(r"[\s_\-]+")
_FIELD = "properties.order_id"
_OF_ITS_OWN = warning("missing_order_id", _FIELD, "without an id each report of an order counts as another; add it")
_OF_NONE = warning("missing_order_id", _FIELD, "without an id nothing tells which order it changes; add it")


def normalise(name: str) -> str:
    """Returns an event's name without what clients differ in, as `throughline.journey.model.normalise` does."""
    return _SEPARATORS.sub("", name.casefold())


@lru_cache(maxsize=4096)
def missing_id(name: str) -> Verdict | None:
    """Returns the warning for a track call of this name without an order id; None when it needs none."""
    normal = normalise(name)
    if normal in ORDERS:
        return _OF_ITS_OWN
    return _OF_NONE if normal in CHANGES else None


@lru_cache(maxsize=4096)
def is_refund(name: str) -> bool:
    """Returns whether a track call of this name refunds an order."""
    return normalise(name) in REFUNDS


def is_order(name: str) -> bool:
    """Returns whether a track call of this name places an order, or takes one back."""
    return missing_id(name) is not None
