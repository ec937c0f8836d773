"""An order event without an order's id is kept, with a warning."""

from typing import Any

import pytest

from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.validate import order_names
from tests.support.dialect_requests import batch, codes, post, take
from throughline.journey.model import normalise
from throughline.models import vocabulary


def test_the_names_are_those_of_the_vocabulary() -> None:
    effects = {normalise(name): kind.order for kind in vocabulary().values() for name in kind.names if kind.order}
    assert {name for name, effect in effects.items() if effect in ("place", "pay")} == order_names.ORDERS
    assert {name for name, effect in effects.items() if effect not in ("place", "pay")} == order_names.CHANGES


@pytest.mark.parametrize("kind", ["order", "order_cancelled", "order_refunded", "cart_added", "bookkeeping"])
def test_names_are_compared_as_the_models_do(kind: str) -> None:
    for name in vocabulary()[kind].names:
        for spelling in (name, name.upper(), name.replace("_", " ").title(), name.replace("_", "-")):
            assert (order_names.missing_id(spelling) is not None) == bool(vocabulary()[kind].order)


@pytest.mark.parametrize(
    ("event", "warnings"),
    [
        ({"event": "Order Completed", "properties": {"total": 5}}, ("missing_order_id",)),
        ({"event": "Order Cancelled"}, ("missing_order_id",)),
        ({"event": "Order Completed", "properties": {"orderId": "A-1"}}, ()),
        ({"event": "Product Added", "properties": {"total": 5}}, ()),
        ({"type": "page", "name": "Purchase"}, ()),
    ],
)
def test_an_order_without_an_id_is_kept_with_a_warning(event: dict[str, Any], warnings: tuple[str, ...]) -> None:
    sent = {"type": "track", "userId": "u", "messageId": "m", **event}
    result = batch(sent)
    assert [touchpoint.warnings for touchpoint in result.touchpoints] == [warnings]
    assert [verdict and verdict.code for verdict in result.verdicts] == list(warnings or [None])


def test_a_dialect_names_its_own_field() -> None:
    request = post({"client_id": "c", "events": [{"name": "purchase", "params": {"value": 5, "message_id": "m"}}]})
    assert codes(take(parse_collect, request)) == [("warning", "missing_order_id", "params.transaction_id")]
