"""A customer's memory, for the guards: orders that stand, orders cancelled, what is in the cart."""

import json

_encode = json.JSONEncoder(separators=(",", ":")).encode

PAGED, EMPTIED, CHURNED = 1, 2, 4
"""Flags of a journey: the cycle has a page; its cart was emptied; its lapse came after a purchase."""


class Memory:
    """Changes while folding. In a journey the flags stand as bits, the rest as text ("" when there is nothing)."""

    __slots__ = ("cancelled", "cart", "emptied", "orders", "paged")

    def __init__(
        self,
        paged: bool = False,
        emptied: bool = False,
        orders: dict[str, float | None] | None = None,
        cancelled: set[str] | None = None,
        cart: dict[str, float] | None = None,
    ) -> None:
        self.paged = paged
        self.emptied = emptied
        self.orders: dict[str, float | None] = {} if orders is None else orders
        """Orders that stand, in the order they were placed, with their value where one was sent."""
        self.cancelled: set[str] = set() if cancelled is None else cancelled
        self.cart: dict[str, float] = {} if cart is None else cart
        """Net quantity by product id, above 0."""

    def place(self, order: str, value: float | None) -> None:
        """Place an order, which empties the cart. One id is one order, whoever reports it; a cancelled one stays so."""
        self.cart.clear()
        self.emptied = False
        if order in self.cancelled:
            return
        if self.orders.get(order) is None:
            self.orders[order] = value

    def cancel(self, order: str) -> None:
        """Cancel an order: from now on it does not count, even if it is reported again."""
        self.orders.pop(order, None)
        self.cancelled.add(order)

    def refund(self, order: str, amount: float | None) -> None:
        """Refund an order: in full (no amount, or its whole value) cancels it, in part changes nothing."""
        value = self.orders.get(order)
        if amount is None or (value is not None and amount >= value):
            self.cancel(order)

    def add(self, product: str, quantity: float | None) -> None:
        """Put a product into the cart; without a quantity, one of it."""
        amount = 1.0 if quantity is None else quantity
        if amount > 0:
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

    def dump(self) -> str:
        """Returns the text that `load` reads; equal memories give equal texts."""
        parts: dict[str, object] = {}
        if self.orders:
            parts["orders"] = self.orders
        if self.cancelled:
            parts["cancelled"] = sorted(self.cancelled)
        if self.cart:
            parts["cart"] = dict(sorted(self.cart.items()))
        return _encode(parts) if parts else ""

    @classmethod
    def load(cls, text: str, flags: int) -> "Memory":
        """Returns the memory of a journey, from its text and flags."""
        paged, emptied = bool(flags & PAGED), bool(flags & EMPTIED)
        if not text:
            return cls(paged, emptied)
        parts = json.loads(text)
        return cls(paged, emptied, parts.get("orders"), set(parts.get("cancelled", ())), parts.get("cart"))
