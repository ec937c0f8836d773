"""A customer's memory, for the guards: its orders, and what is in the cart."""

import json
from collections.abc import Iterable, Iterator

from throughline.journey.ledger import Order, Report
from throughline.journey.money import Line, minor_units

_encode = json.JSONEncoder(separators=(",", ":")).encode

PAGED, EMPTIED, CHURNED = 1, 2, 4
"""Flags of a journey: the cycle has a page; its cart was emptied; its lapse came after a purchase."""

MAX_ORDERS = 1_000
"""Maximum number of orders remembered one by one: of older ones, how many stand."""
MAX_ORDER_LINES = 2_000
"""Maximum number of lines of all orders: the oldest orders' lines are forgotten first."""
MAX_CART_LINES = 500
"""Maximum number of products in a cart; further ones are not remembered."""

_ORPHANS = '{"orphans":'
"""How a text begins that counts orphans."""


class Memory:
    """Changes while folding. In a journey the flags stand as bits, the rest as text ("" when there is nothing)."""

    __slots__ = ("_lines", "cart", "emptied", "orders", "orphans", "paged", "standing", "standing_before")

    def __init__(
        self,
        paged: bool = False,
        emptied: bool = False,
        orders: dict[str, Order] | None = None,
        cart: dict[str, float] | None = None,
        standing_before: int = 0,
        orphans: dict[str, int] | None = None,
    ) -> None:
        self.paged = paged
        self.emptied = emptied
        self.orders: dict[str, Order] = {} if orders is None else orders
        """Orders by id: those placed stand in the order of their placing."""
        self.cart: dict[str, float] = {} if cart is None else cart
        """Net quantity by product id, above 0."""
        self.standing_before = standing_before
        """Number of standing orders older than all of `orders`."""
        self.orphans: dict[str, int] = {} if orphans is None else orphans
        """By source: refunds and cancellations of orders that the customer never placed."""
        self.standing = standing_before + sum(order.stands for order in self.orders.values())
        """Number of orders that stand."""
        self._lines = sum(len(order.lines) for order in self.orders.values())

    def stands(self, order: str) -> bool:
        """Whether an order stands."""
        return order in self.orders and self.orders[order].stands

    def is_repeat(self, order: str) -> bool:
        """Whether an order stands and was placed after another that stands."""
        if not self.stands(order):
            return False
        if self.standing_before:
            return True
        return next(key for key, entry in self.orders.items() if entry.stands) != order

    def place(self, order: str, at_us: int, report: Report, *, is_payment: bool = False) -> None:
        """Place an order, which empties the cart, or pay it. One id is one order, whoever reports it."""
        entry = self.orders.get(order)
        stood = entry is not None and entry.stands
        if entry is None or not entry.placed_us:
            # The order of placing, not that of refunds that wait for it.
            self.orders.pop(order, None)
            entry = self.orders[order] = entry or Order()
            for source, events in entry.orphans.items():
                self._count_orphans(source, -events)
            entry.orphans = {}
            self.cart.clear()
            self.emptied = False
        lines = len(entry.lines)
        entry.place(at_us, report, is_payment=is_payment)
        self._settle(entry, stood, lines)

    def cancel(self, order: str, at_us: int, source: int) -> None:
        """Cancel an order: it does not count from now on, unless it is paid later."""
        entry = self._entry(order, source)
        if entry is not None:
            stood = entry.stands
            entry.cancelled_us = at_us or 1
            self._settle(entry, stood, len(entry.lines))

    def refund(self, order: str, report: Report, source: int) -> None:
        """Refund an order, in part or in full."""
        entry = self._entry(order, source)
        if entry is not None:
            stood = entry.stands
            entry.refund(report)
            self._settle(entry, stood, len(entry.lines))

    def edit(self, order: str, report: Report) -> None:
        """Give an order its new value."""
        if order.startswith(NO_ID):
            return
        entry = self.orders.get(order)
        if entry is None:
            entry = self.orders[order] = Order()
        stood, lines = entry.stands, len(entry.lines)
        entry.edit(report)
        self._settle(entry, stood, lines)

    def add(self, product: str, quantity: float | None) -> None:
        """Put a product into the cart; without a quantity, one of it."""
        amount = 1.0 if quantity is None else quantity
        if amount > 0 and (product in self.cart or len(self.cart) < MAX_CART_LINES):
            self.cart[product] = self.cart.get(product, 0.0) + amount
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
        parts: dict[str, object] = {}
        if self.orphans:
            parts["orphans"] = dict(sorted(self.orphans.items()))
        if self.standing_before:
            parts["standing_before"] = self.standing_before
        if self.orders:
            parts["ledger"] = {order: entry.dump() for order, entry in self.orders.items()}
        if self.cart:
            parts["cart"] = dict(sorted(self.cart.items()))
        return _encode(parts) if parts else ""

    @classmethod
    def load(cls, text: str, flags: int) -> "Memory":
        """Returns the memory of a journey, from its text and flags; also from a text of before there were ledgers."""
        paged, emptied = bool(flags & PAGED), bool(flags & EMPTIED)
        if not text:
            return cls(paged, emptied)
        parts = json.loads(text)
        orders = {order: Order(*fields) for order, fields in parts.get("ledger", {}).items()}
        orders |= _of_before(parts.get("orders", {}), parts.get("cancelled", ()))
        return cls(paged, emptied, orders, parts.get("cart"), parts.get("standing_before", 0), parts.get("orphans"))

    def merge(self, other: "Memory") -> None:
        """Add the orders and the cart of another id of the customer, whose events are others."""
        for order, entry in other.orders.items():
            if order in self.orders:
                self.orders[order].merge(entry)
            else:
                self.orders[order] = entry
        self.standing_before += other.standing_before
        for source, events in other.orphans.items():
            self._count_orphans(source, events)
        for entry in self.orders.values():
            if entry.placed_us:
                for source, events in entry.orphans.items():
                    self._count_orphans(source, -events)
                entry.orphans = {}
        placed = sorted(
            ((order, entry) for order, entry in self.orders.items() if entry.placed_us),
            key=lambda item: (item[1].placed_us, item[0]),
        )
        waiting = sorted((order, entry) for order, entry in self.orders.items() if not entry.placed_us)
        self.orders = dict([*waiting, *placed])
        self.standing = self.standing_before + sum(entry.stands for entry in self.orders.values())
        self._lines = sum(len(entry.lines) for entry in self.orders.values())
        self._forget()
        for product, quantity in other.cart.items():
            if product in self.cart or len(self.cart) < MAX_CART_LINES:
                self.cart[product] = max(quantity, self.cart.get(product, 0.0))

    def _entry(self, order: str, source: int) -> Order | None:
        """Returns the order that is taken back; None when nothing could ever say which.

        What comes before the order was placed is counted as an orphan until it is.
        """
        entry = self.orders.get(order)
        if entry is None or not entry.placed_us:
            self._count_orphans(str(source), 1)
            if order.startswith(NO_ID):
                return None
            if entry is None:
                entry = self.orders[order] = Order()
            entry.orphans[str(source)] = entry.orphans.get(str(source), 0) + 1
        return entry

    def _count_orphans(self, source: str, events: int) -> None:
        counted = self.orphans.get(source, 0) + events
        if counted:
            self.orphans[source] = counted
        else:
            self.orphans.pop(source, None)

    def _settle(self, entry: Order, stood: bool, lines: int) -> None:
        self.standing += entry.stands - stood
        self._lines += len(entry.lines) - lines
        self._forget()

    def _forget(self) -> None:
        """Keep within the limits: the oldest orders first."""
        while len(self.orders) > MAX_ORDERS:
            entry = self.orders.pop(next(iter(self.orders)))
            self.standing_before += entry.stands
            self._lines -= len(entry.lines)
        if self._lines > MAX_ORDER_LINES:
            for entry in self.orders.values():
                self._lines -= len(entry.lines)
                entry.lines = {}
                if self._lines <= MAX_ORDER_LINES:
                    break


NO_ID = "\x1f"
"""How the key of an order without an id begins, which is that of its event alone."""


def orphans_of(text: str) -> dict[str, int]:
    """Returns, by source, how many refunds and cancellations of a journey's memory belong to no order of it."""
    orphans: dict[str, int] = json.loads(text)["orphans"] if text.startswith(_ORPHANS) else {}
    return orphans


def _of_before(standing: dict[str, float | None], cancelled: Iterable[str]) -> Iterator[tuple[str, Order]]:
    """Returns the orders of a text that kept a value for each order that stands, and the ids of those that do not."""
    for order, value in standing.items():
        yield order, Order(placed_us=1, net=None if value is None else minor_units(value, ""))
    for order in cancelled:
        yield order, Order(placed_us=1, cancelled_us=1)
