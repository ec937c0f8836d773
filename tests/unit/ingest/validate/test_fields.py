"""The typed fields of orders, refunds and carts: sums, lines, ids and tests."""

from typing import Any

import pytest

from services.ingest.dialects.ga4.parse import parse_collect
from tests.support.dialect_requests import batch, only, post, take
from throughline.wire.codec import Touchpoint


def order(event: str = "Order Completed", **properties: Any) -> Touchpoint:
    return only(batch({"type": "track", "event": event, "userId": "u", "messageId": "m", "properties": properties}))


@pytest.mark.parametrize(
    ("sent", "value", "total"),
    [
        ({"revenue": 100, "total": 118}, 100.0, 118.0),
        ({"total": 118, "value": 90, "revenue": 100}, 90.0, 118.0),
        ({"total": "118.00"}, 118.0, 118.0),
        ({"revenue": 100}, 100.0, None),
        ({}, None, None),
    ],
)
def test_net_and_gross_are_two_sums(sent: dict[str, Any], value: float | None, total: float | None) -> None:
    touchpoint = order(order_id="1", **sent)
    assert (touchpoint.value, touchpoint.total) == (value, total)


@pytest.mark.parametrize(
    ("sent", "order_id"),
    [
        (" 1001 ", "1001"),
        (1001.0, "1001"),
        (1001, "1001"),
        ("#1001", "#1001"),
        ("A-1\u200b", "A-1"),
    ],
)
def test_an_order_id_has_one_form(sent: Any, order_id: str) -> None:
    assert (order(order_id=sent).order_id, order(order_id=sent).warnings) == (order_id, ())


@pytest.mark.parametrize(
    "sent",
    [
        "undefined",
        "null",
        "0",
        0,
        "(not set)",
        "[object Object]",
        "N/A",
        "{{order.id}}",
        "%ORDER_ID%",
        "NaN",
        "None",
    ],
)
@pytest.mark.parametrize("name", ["Order Completed", "Order Refunded", "A name of our own"])
def test_a_placeholder_is_no_order_id(sent: Any, name: str) -> None:
    touchpoint = order(name, order_id=sent)
    assert (touchpoint.order_id, touchpoint.warnings) == ("", ("missing_order_id",))


@pytest.mark.parametrize(
    ("sent", "items"),
    [
        ({"products": [{"product_id": "p1", "quantity": 2, "price": "9.50"}]}, '[["p1",2.0,9.5]]'),
        ({"products": [{"sku": "s"}, {"productId": 7.0, "quantity": "3"}]}, '[["s",1,null],["7",3.0,null]]'),
        ({"items": [{"item_id": "i", "price": 1}, {"item_name": "n", "quantity": None}]}, '[["i",1,1.0],["n",1,null]]'),
        ({"products": []}, "[]"),
        ({"products": "p1"}, ""),
        ({"items": 3}, ""),
        ({"products": [None, 5, {"quantity": "many", "price": True}]}, '[["",1,null]]'),
    ],
)
def test_lines(sent: dict[str, Any], items: str) -> None:
    assert order(order_id="1", **sent).items == items


def test_a_hundred_lines_are_read() -> None:
    lines = [{"product_id": str(number)} for number in range(250)]
    assert order(order_id="1", products=lines).items.count("[") == 101


def test_an_event_with_one_product_is_about_it() -> None:
    one = order(order_id="1", products=[{"product_id": "p1", "quantity": 2}])
    assert (one.product_id, one.quantity) == ("p1", 2.0)
    named = order(order_id="1", product_id="p9", products=[{"product_id": "p1", "quantity": 2}])
    assert (named.product_id, named.quantity) == ("p9", None)
    several = order(order_id="1", products=[{"product_id": "p1"}, {"product_id": "p2"}])
    assert (several.product_id, several.quantity) == ("", None)


@pytest.mark.parametrize("sent", [True, "true", 1, "1"])
def test_a_test_order_is_marked(sent: Any) -> None:
    touchpoint = order(order_id="1", test=sent)
    assert (touchpoint.test, touchpoint.warnings) == (True, ("test_order",))


@pytest.mark.parametrize(
    ("name", "sent"),
    [("Order Completed", {"test": False}), ("Order Completed", {"test": "B"}), ("Product Viewed", {"test": True})],
)
def test_other_tests_are_none(name: str, sent: dict[str, Any]) -> None:
    said = {**sent, "order_id": "1"} if name == "Order Completed" else sent
    assert not order(name, **said).test


def test_a_source_may_have_a_scope_for_its_order_ids() -> None:
    event = {"type": "track", "event": "Order Completed", "userId": "u", "messageId": "m"}
    ids = [
        only(batch({**event, "properties": properties}, settings={"order_scope": scope})).order_id
        for scope in ("", "north", "south")
        for properties in ({"order_id": 1001}, {})
    ]
    assert ids == ["1001", "", "north/1001", "", "south/1001", ""]


def test_the_cart_of_ga4_has_its_lines() -> None:
    items = [{"item_id": "a", "quantity": 2, "price": 5}, {"item_id": "b"}]
    event = {"name": "add_to_cart", "params": {"items": items, "message_id": "m"}}
    touchpoint = only(take(parse_collect, post({"client_id": "1.2", "events": [event]})))
    assert (touchpoint.product_id, touchpoint.items) == ("", '[["a",2.0,5.0],["b",1,null]]')


@pytest.mark.parametrize(
    ("properties", "value", "warnings"),
    [
        ({"amount": 10}, 10.0, ()),
        ({"refund_amount": "-10.5"}, -10.5, ()),
        ({"refundedAmount": 10, "total": 4}, 4.0, ()),
        ({"total": "59,90"}, 0.0, ("wrong_type",)),
        ({"amount": {"value": 10}}, 0.0, ("wrong_type",)),
        ({"total": None, "amount": ""}, None, ()),
        ({}, None, ()),
    ],
)
def test_a_refund_has_its_sum_under_any_name_and_is_whole_only_without_one(
    properties: dict[str, Any], value: float | None, warnings: tuple[str, ...]
) -> None:
    for name in ("Order Refunded", "refund"):
        event = {"type": "track", "event": name, "userId": "u", "messageId": "m"}
        touchpoint = only(batch({**event, "properties": {"order_id": "1", **properties}}))
        assert (touchpoint.value, touchpoint.warnings) == (value, warnings)
    assert order(order_id="1", amount=3).value is None
