"""Orders as ledgers: what shops send of one order, and whether it counts in the end."""

from itertools import permutations
from typing import Any

import pytest

from throughline.journey.fold import fold
from throughline.journey.ledger import MAX_CURRENCIES
from throughline.journey.memory import MAX_CART_LINES, MAX_ORDERS, Memory, refund_counts_of
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

MODEL = load_model("seven_phase")
SOURCE = 7
LINES = '[["p1",1,60.0],["p2",2,20.0]]'

Sent = tuple[str, dict[str, Any]]

SALE = ("Order Completed", {"value": 100.0})
SALE_OF_118 = ("Order Completed", {"value": 100.0, "total": 118.0, "currency": "EUR"})
SALE_OF_LINES = ("Order Completed", {"value": 100.0, "items": LINES})
CANCELLED: Sent = ("Order Cancelled", {})
PAID = ("Order Paid", {"value": 100.0})


def refund(value: float | None = None, **fields: Any) -> Sent:
    return "Order Refunded", {"value": value, **fields}


def events_of(sent: list[Sent], order: str = "1001") -> list[Touchpoint]:
    return [
        Touchpoint(at, 0, f"m{at}", "c", "track", name, source=SOURCE, order_id=order)._replace(**fields)
        for at, (name, fields) in enumerate(sent, start=1)
    ]


def memory_of(sent: list[Sent]) -> Memory:
    journey = fold(MODEL, None, events_of(sent)).journey
    assert journey is not None
    return Memory.load(journey.memory, journey.flags)


@pytest.mark.parametrize(
    ("sent", "stands"),
    [
        ([SALE], True),
        ([SALE, refund(60.0), refund(40.0)], False),
        ([SALE, refund(-60.0), refund(-40.0)], False),
        ([SALE, refund(60.0), refund(39.99)], True),
        ([SALE, refund(33.33), refund(33.33), refund(33.34)], False),
        ([("Order Completed", {"value": 0.3}), refund(0.1), refund(0.2)], False),
        ([refund(60.0), SALE, refund(40.0)], False),
        ([refund(), SALE], False),
        ([SALE_OF_118, refund(100.0)], True),
        ([SALE_OF_118, refund(100.0), refund(18.0)], False),
        ([SALE_OF_118, refund(100.0, total=118.0)], False),
        ([SALE_OF_118, refund(118.0, currency="USD")], True),
        ([SALE_OF_118, refund(118.0, currency="eur")], False),
        ([SALE, refund(50.0, currency="EUR"), refund(50.0, currency="USD")], True),
        ([("Order Completed", {"value": 1000.4, "currency": "JPY"}), refund(1000.0, currency="JPY")], False),
        ([("Order Completed", {"value": 5.005, "currency": "KWD"}), refund(5.0)], True),
        ([("Order Completed", {"value": 5.005, "currency": "KWD"}), refund(5.005)], False),
        ([SALE_OF_LINES, refund(items='[["p1",1,60.0]]')], True),
        ([SALE_OF_LINES, refund(items='[["p1",1,null]]')], True),
        ([SALE_OF_LINES, refund(items='[["p1",1,null],["p2",1,null]]')], True),
        ([SALE_OF_LINES, refund(items='[["p1",1,null]]'), refund(items='[["p2",2,null]]')], False),
        ([SALE_OF_LINES, refund(items='[["p1",1,null]]'), refund(40.0)], False),
        ([SALE, refund(items='[["p1",1,null]]')], True),
        ([SALE, refund(items='[["p1",1,100.0]]')], False),
        ([SALE, refund(items="[]")], False),
        ([SALE_OF_LINES, refund(product_id="p1")], True),
        ([SALE_OF_LINES, refund(product_id="p1"), refund(product_id="p2", quantity=2.0)], False),
        ([SALE_OF_LINES, refund(product_id="p1"), refund(40.0)], False),
        ([SALE, refund(product_id="p1")], True),
        ([SALE, ("Order Updated", {"value": 150.0}), refund(100.0)], True),
        ([SALE, refund(100.0), ("Order Updated", {"value": 150.0})], True),
        ([SALE, ("Order Updated", {"value": 60.0}), refund(60.0)], False),
        ([SALE, CANCELLED], False),
        ([SALE, CANCELLED, PAID], True),
        ([SALE, PAID, CANCELLED], False),
        ([SALE, CANCELLED, SALE], False),
        ([CANCELLED, SALE], True),
        ([CANCELLED, PAID], True),
        ([SALE, CANCELLED, PAID, CANCELLED], False),
        ([("Order Completed", {}), SALE, refund(100.0)], False),
        ([("Order Completed", {}), refund(100.0), SALE], False),
        ([("Order Completed", {}), refund(100.0)], True),
        ([SALE, refund(100.0), SALE_OF_118], False),
        ([SALE, SALE_OF_118, refund(100.0)], False),
    ],
)
def test_whether_an_order_counts(sent: list[Sent], stands: bool) -> None:
    assert memory_of(sent).standing == stands


@pytest.mark.parametrize(
    "sent",
    [
        [refund(60.0), refund(40.0), SALE],
        [refund(60.0), refund(-30.0), refund(10.0), SALE],
        [refund(items='[["p1",1,null]]'), SALE_OF_LINES, refund(40.0)],
        [refund(), SALE_OF_118],
    ],
)
def test_refunds_add_up_whatever_their_order(sent: list[Sent]) -> None:
    assert {memory_of(list(order)).standing for order in permutations(sent)} == {0}


def test_any_split_gives_the_same_memory() -> None:
    sent = [refund(10.0), SALE_OF_LINES, CANCELLED, PAID, ("Order Updated", {"total": 120.0}), refund(110.0), SALE]
    events = events_of(sent)
    whole = fold(MODEL, None, events).journey
    for cut in range(1, len(events)):
        assert fold(MODEL, fold(MODEL, None, events[:cut]).journey, events[cut:]).journey == whole


def test_an_order_paid_again_is_second_only_to_one_placed_before_it() -> None:
    first, second = events_of([SALE, CANCELLED, PAID]), events_of([SALE], "1002")
    late = [event._replace(occurred_us=event.occurred_us + 10, message_id="x") for event in second]
    journey = fold(MODEL, None, [*first, *late]).journey
    assert journey is not None
    memory = Memory.load(journey.memory, 0)
    assert (memory.is_repeat("1001"), memory.is_repeat("1002")) == (False, True)


def test_what_takes_no_order_back_is_counted_until_its_order_comes() -> None:
    assert memory_of([refund(10.0), CANCELLED]).orphans == {str(SOURCE): 2}
    assert memory_of([refund(10.0), CANCELLED, SALE]).orphans == {}
    assert memory_of([SALE, refund(10.0)]).orphans == {}
    assert memory_of([refund(10.0, order_id="")]).orphans == {str(SOURCE): 1}
    journey = fold(MODEL, None, events_of([refund(10.0)])).journey
    assert journey is not None
    assert refund_counts_of(journey.memory) == ({str(SOURCE): 1}, {})


IN_EURO = ("Order Completed", {"value": 100.0, "currency": "EUR"})
OF_COST = ("Order Updated", {"value": 120.0, "currency": "USD"})


@pytest.mark.parametrize(
    ("sent", "foreign"),
    [
        ([IN_EURO, refund(100.0, currency="USD")], 1),
        ([IN_EURO, refund(100.0, currency="eur"), refund(1.0)], 0),
        ([IN_EURO, refund(10.0, currency="USD"), refund(10.0, currency="CHF"), refund(10.0, currency="EUR")], 2),
        ([IN_EURO, refund(items='[["p1",1,60.0]]', currency="USD")], 1),
        ([IN_EURO, refund(items='[["p1",1,null]]', currency="USD")], 0),
        ([IN_EURO, refund(currency="USD")], 0),
        ([SALE, refund(10.0, currency="USD")], 0),
        ([("Order Completed", {}), refund(10.0, currency="USD"), IN_EURO], 1),
        ([IN_EURO, refund(10.0, currency="USD"), OF_COST], 0),
        ([IN_EURO, refund(10.0, currency="EUR"), OF_COST], 1),
        ([IN_EURO, CANCELLED, refund(10.0, currency="USD")], 1),
    ],
)
def test_a_refund_in_another_currency_than_its_order_is_counted(sent: list[Sent], foreign: int) -> None:
    expected = {str(SOURCE): foreign} if foreign else {}
    memory = memory_of(sent)
    assert (memory.foreign, memory.orphans) == (expected, {})


def test_a_refund_in_a_currency_waits_for_its_order() -> None:
    early = [refund(10.0, currency="USD"), refund(10.0, currency="EUR")]
    waiting = memory_of(early)
    assert (waiting.foreign, waiting.orphans) == ({}, {str(SOURCE): 2})
    memory = memory_of([*early, IN_EURO])
    assert (memory.foreign, memory.orphans) == ({str(SOURCE): 1}, {})


def test_refunds_in_many_currencies_have_an_end() -> None:
    codes = [f"X{number:02}" for number in range(MAX_CURRENCIES + 5)]
    memory = memory_of([IN_EURO, *(refund(1.0, currency=code) for code in codes)])
    assert memory.foreign == {str(SOURCE): MAX_CURRENCIES}


def test_a_memory_of_before_there_were_ledgers_is_read() -> None:
    memory = Memory.load('{"orders":{"a":10.0,"b":null},"cancelled":["c"],"cart":{"p":1.0}}', 0)
    assert (list(memory.orders), memory.standing, memory.cart) == (["a", "b", "c"], 2, {"p": 1.0})
    assert memory.is_repeat("b")
    assert Memory.load(memory.dump(), 0).standing == 2


def test_a_memory_has_an_end() -> None:
    events = [
        Touchpoint(at, 0, f"m{at}", "c", "track", "Order Completed", order_id=str(at), value=1.0, items=LINES)
        for at in range(1, MAX_ORDERS + 51)
    ]
    journey = fold(MODEL, None, events).journey
    assert journey is not None
    memory = Memory.load(journey.memory, 0)
    assert (len(memory.orders), memory.standing_before, memory.standing) == (MAX_ORDERS, 50, MAX_ORDERS + 50)
    assert memory.is_repeat("51")
    half = fold(MODEL, fold(MODEL, None, events[:1_020]).journey, events[1_020:]).journey
    assert half == journey
    for product in range(MAX_CART_LINES + 9):
        memory.add(str(product), 1.0)
    assert len(memory.cart) == MAX_CART_LINES


def cart(name: str, items: str = "", **fields: Any) -> Sent:
    return name, {"items": items, **fields}


@pytest.mark.parametrize(
    ("sent", "products", "emptied"),
    [
        ([cart("add_to_cart", LINES)], {"p1": 1, "p2": 2}, False),
        ([cart("add_to_cart", LINES), cart("remove_from_cart", '[["p2",2,null]]')], {"p1": 1}, False),
        ([cart("add_to_cart", LINES), cart("remove_from_cart", LINES)], {}, True),
        ([cart("carts/create", LINES), cart("carts/update", '[["p3",4,1.0]]')], {"p3": 4}, False),
        ([cart("carts/create", LINES), cart("carts/update", "[]")], {}, True),
        ([cart("carts/create", LINES), cart("carts/update")], {"p1": 1, "p2": 2}, False),
        ([cart("carts/create", "[]")], {}, False),
    ],
)
def test_carts_change_line_by_line(sent: list[Sent], products: dict[str, float], emptied: bool) -> None:
    memory = memory_of(sent)
    assert (memory.cart, memory.emptied) == (products, emptied)


def test_a_cart_that_never_had_a_line_is_no_decision() -> None:
    decision = MODEL.phase_named("decision").number
    phases = [fold(MODEL, None, events_of([cart("carts/create", items)])).journey for items in ("[]", LINES)]
    assert [journey and journey.phase for journey in phases] == [0, decision]
