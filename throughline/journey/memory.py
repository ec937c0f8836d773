"""A customer's memory, for the guards: its orders, and what is in the cart."""

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, NamedTuple

from throughline.journey.ledger import Order, Report
from throughline.journey.money import Line, minor_units

_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode
_quote = json.encoder.encode_basestring_ascii

PAGED, EMPTIED, CHURNED = 1, 2, 4
"""Flags of a journey: the cycle has a page; its cart was emptied; its lapse came after a purchase."""

MAX_ORDERS = 1_000
"""Maximum number of orders remembered one by one: of older ones, how many stand."""
MAX_ITEMS = 64 * 1024
"""Maximum number of characters of the lines of all orders: the oldest orders' lines are forgotten first."""
MAX_CART_LINES = 500
"""Maximum number of products in a cart; further ones are not remembered."""

_Before = tuple[bool, int, Mapping[str, int]]
"""What a memory counts of an order, before the order changes: whether it stands, the length of its lines, and its
refunds in another currency."""
_NEW: _Before = (False, 0, {})
_COUNTING = ('{"orphans":', '{"foreign":')
"""How a text begins that counts refunds."""


class Memory:
    """Changes while folding. In a journey the flags stand as bits, the rest as text ("" when there is nothing)."""

    __slots__ = (
        "_ledger",
        "_parsed",
        "cart",
        "emptied",
        "foreign",
        "items_length",
        "orphans",
        "paged",
        "standing",
        "standing_before",
    )

    def __init__(
        self,
        paged: bool = False,
        emptied: bool = False,
        ledger: str = "",
        cart: dict[str, float] | None = None,
        standing: int = 0,
        standing_before: int = 0,
        items_length: int = 0,
        orphans: dict[str, int] | None = None,
        foreign: dict[str, int] | None = None,
    ) -> None:
        self.paged = paged
        self.emptied = emptied
        self._ledger = ledger
        """Orders as text, until somebody asks for one: most events are about none."""
        self._parsed: dict[str, Order | list[Any]] | None = None if ledger else {}
        self.cart: dict[str, float] = {} if cart is None else cart
        """Net quantity by product id, above 0."""
        self.standing_before = standing_before
        """Number of standing orders older than all of `orders`."""
        self.orphans: dict[str, int] = {} if orphans is None else orphans
        """By source: refunds and cancellations of orders that the customer never placed."""
        self.foreign: dict[str, int] = {} if foreign is None else foreign
        """By source: refunds in another currency than that of their order."""
        self.standing = standing
        """Number of orders that stand."""
        self.items_length = items_length
        """Number of characters of the lines of all orders."""

    @property
    def _entries(self) -> dict[str, Order | list[Any]]:
        """The orders by id, those that nobody has asked for as they are kept; placed ones in the order of placing."""
        if self._parsed is None:
            self._parsed = _decode(self._ledger)[0]
        return self._parsed

    @property
    def orders(self) -> dict[str, Order]:
        """The orders by id."""
        return {order: self._order(order) for order in self._entries}

    def stands(self, order: str) -> bool:
        """Whether an order stands."""
        entry = self._entries.get(order)
        return entry is not None and (entry if type(entry) is Order else self._order(order)).stands

    def is_repeat(self, order: str) -> bool:
        """Whether an order stands and was placed after another that stands."""
        if not self.stands(order):
            return False
        if self.standing_before:
            return True
        for other in self._entries:
            if other == order:
                break
            if self._order(other).stands:
                return True
        return False

    def place(self, order: str, at_us: int, report: Report, *, is_payment: bool = False) -> None:
        """Place an order, which empties the cart, or pay it. One id is one order, whoever reports it."""
        entries = self._entries
        if order in entries:
            entry = self._order(order)
            before = entry.stands, len(entry.items), entry.foreign
        else:
            entry, before = Order(), _NEW
        if not entry.placed_us:
            # The order of placing, not that of refunds that wait for it.
            entries.pop(order, None)
            entries[order] = entry
            if entry.orphans:
                _add(self.orphans, entry.orphans, -1)
                entry.orphans = {}
            self.cart.clear()
            self.emptied = False
        entry.place(at_us, report, is_payment=is_payment)
        self._settle(entry, before)

    def cancel(self, order: str, at_us: int, source: int) -> None:
        """Cancel an order: it does not count from now on, unless it is paid later."""
        entry = self._entry(order, source)
        if entry is not None:
            before = entry.stands, len(entry.items), entry.foreign
            entry.cancelled_us = at_us or 1
            self._settle(entry, before)

    def refund(self, order: str, report: Report, source: int) -> None:
        """Refund an order, in part or in full."""
        entry = self._entry(order, source)
        if entry is not None:
            before = entry.stands, len(entry.items), entry.foreign
            entry.refund(report, str(source))
            self._settle(entry, before)

    def edit(self, order: str, report: Report) -> None:
        """Give an order its new value."""
        if order.startswith(NO_ID):
            return
        entry = self._order(order) if order in self._entries else Order()
        self._entries[order] = entry
        before = entry.stands, len(entry.items), entry.foreign
        entry.edit(report)
        self._settle(entry, before)

    def add(self, product: str, quantity: float | None) -> None:
        """Put a product into the cart; without a quantity, one of it."""
        amount = 1.0 if quantity is None else quantity
        cart = self.cart
        if amount > 0 and (product in cart or len(cart) < MAX_CART_LINES):
            cart[product] = cart.get(product, 0.0) + amount
            self.emptied = False

    def remove(self, product: str, quantity: float | None) -> None:
        """Take a product out of the cart, never below none; without a quantity, one of it."""
        left = self.cart.get(product, 0.0) - (1.0 if quantity is None else max(0.0, quantity))
        if left > 0:
            self.cart[product] = left
        else:
            self.cart.pop(product, None)
        self.emptied = not self.cart

    def replace_cart(self, lines: Iterable[Line]) -> None:
        """Take the whole cart as it is now; one that becomes empty is emptied."""
        had_lines = bool(self.cart)
        self.cart.clear()
        for line in lines:
            self.add(line.product, line.quantity)
        self.emptied = not self.cart and (self.emptied or had_lines)

    def dump(self) -> str:
        """Returns the text that `load` reads; equal memories give equal texts."""
        # By hand, because an encoder takes ten times as long.
        parts: list[str] = []
        if self.orphans:
            parts.append(f'"orphans":{_encode(dict(sorted(self.orphans.items())))}')
        if self.foreign:
            parts.append(f'"foreign":{_encode(dict(sorted(self.foreign.items())))}')
        if self.standing:
            parts.append(f'"standing":{self.standing}')
        if self.standing_before:
            parts.append(f'"standing_before":{self.standing_before}')
        if self.items_length:
            parts.append(f'"items_length":{self.items_length}')
        if self.cart:
            lines = [
                f"{_quote(product)}:{quantity!r}" if isfinite(quantity) else f"{_quote(product)}:{_encode(quantity)}"
                for product, quantity in sorted(self.cart.items())
            ]
            parts.append(f'"cart":{{{",".join(lines)}}}')
        ledger = self._ledger
        if self._parsed is not None:
            orders = [
                f"{_quote(order)}:{entry.text() if type(entry) is Order else _encode(entry)}"
                for order, entry in self._parsed.items()
            ]
            ledger = f"{{{','.join(orders)}}}" if orders else ""
        if ledger:
            return f"{{{','.join(parts)}}}\n{ledger}"
        return f"{{{','.join(parts)}}}" if parts else ""

    @classmethod
    def load(cls, text: str, flags: int) -> "Memory":
        """Returns the memory of a journey, from its text and flags; also from a text of before there were ledgers."""
        paged, emptied = bool(flags & PAGED), bool(flags & EMPTIED)
        if not text:
            return cls(paged, emptied)
        parts, end = _decode(text)
        ledger = text[end + 1 :]
        if "orders" in parts or "cancelled" in parts:
            return cls._of_before(parts, paged, emptied)
        get = parts.get
        return cls(
            paged,
            emptied,
            ledger,
            get("cart"),
            get("standing", 0),
            get("standing_before", 0),
            get("items_length", 0),
            get("orphans"),
            get("foreign"),
        )

    @classmethod
    def _of_before(cls, parts: dict[str, Any], paged: bool, emptied: bool) -> "Memory":
        """Returns the memory of a text that kept a value for each order that stands, and the ids of the cancelled."""
        standing = parts.get("orders", {})
        orders = {
            order: Order(placed_us=1, net=None if value is None else minor_units(value, ""))
            for order, value in standing.items()
        }
        orders |= {order: Order(placed_us=1, cancelled_us=1) for order in parts.get("cancelled", ())}
        memory = cls(paged, emptied, cart=parts.get("cart"), standing=len(standing))
        memory._parsed = dict(orders)
        return memory

    def merge(self, other: "Memory") -> None:
        """Add the orders and the cart of another id of the customer, whose events are others."""
        orders = self.orders
        _add(self.orphans, other.orphans)
        _add(self.foreign, other.foreign)
        for order, entry in other.orders.items():
            if order in orders:
                _add(self.foreign, orders[order].foreign, -1)
                _add(self.foreign, entry.foreign, -1)
                orders[order].merge(entry)
                _add(self.foreign, orders[order].foreign)
            else:
                orders[order] = entry
        self.standing_before += other.standing_before
        for entry in orders.values():
            if entry.placed_us:
                _add(self.orphans, entry.orphans, -1)
                entry.orphans = {}
        in_order = sorted(orders, key=lambda order: (orders[order].placed_us, order))
        self._parsed = {order: orders[order] for order in in_order}
        self.standing = self.standing_before + sum(entry.stands for entry in orders.values())
        self.items_length = sum(len(entry.items) for entry in orders.values())
        self._forget()
        for product, quantity in other.cart.items():
            if product in self.cart or len(self.cart) < MAX_CART_LINES:
                self.cart[product] = max(quantity, self.cart.get(product, 0.0))

    def _entry(self, order: str, source: int) -> Order | None:
        """Returns the order that is taken back; None when nothing could ever say which.

        What comes before the order was placed is counted as an orphan until it is.
        """
        entry = self._order(order) if order in self._entries else None
        if entry is None or not entry.placed_us:
            _add(self.orphans, {str(source): 1})
            if order.startswith(NO_ID):
                return None
            if entry is None:
                entry = self._entries[order] = Order()
            _add(entry.orphans, {str(source): 1})
        return entry

    def _order(self, order: str) -> Order:
        entry = self._entries[order]
        if type(entry) is list:
            entry = self._entries[order] = Order(*entry)
        assert type(entry) is Order
        return entry

    def _settle(self, entry: Order, before: _Before) -> None:
        stood, length, foreign = before
        self.standing += entry.stands - stood
        self.items_length += len(entry.items) - length
        if entry.refunds_by_source:
            _add(self.foreign, foreign, -1)
            _add(self.foreign, entry.foreign)
        if len(self._entries) > MAX_ORDERS or self.items_length > MAX_ITEMS:
            self._forget()

    def _forget(self) -> None:
        """Keep within the limits: the oldest orders first."""
        while len(self._entries) > MAX_ORDERS:
            oldest = next(iter(self._entries))
            entry = self._order(oldest)
            del self._entries[oldest]
            self.standing_before += entry.stands
            self.items_length -= len(entry.items)
        for order in self._entries:
            if self.items_length <= MAX_ITEMS:
                break
            entry = self._order(order)
            self.items_length -= len(entry.items)
            entry.items = ""


NO_ID = "\x1f"
"""How the key of an order without an id begins, which is that of its event alone."""


def _add(counts: dict[str, int], more: Mapping[str, int], sign: int = 1) -> None:
    for source, events in more.items():
        counted = counts.get(source, 0) + sign * events
        if counted:
            counts[source] = counted
        else:
            counts.pop(source, None)


class RefundCounts(NamedTuple):
    """By source: what a customer's refunds do not take back."""

    orphans: dict[str, int]
    """Refunds and cancellations of orders that the customer never placed."""
    foreign: dict[str, int]
    """Refunds in another currency than that of their order."""


def refund_counts_of(text: str) -> RefundCounts:
    """Returns the refunds that the text of a journey's memory counts."""
    if not text.startswith(_COUNTING):
        return RefundCounts({}, {})
    parts = json.loads(text.partition("\n")[0])
    return RefundCounts(parts.get("orphans", {}), parts.get("foreign", {}))
