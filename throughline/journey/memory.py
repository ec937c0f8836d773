"""What the guards remember of a customer: pages seen in the cycle, orders that stand, orders cancelled."""

import json

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Memory:
    """Mutable while folding, kept as text between batches ("" when there is nothing to remember)."""

    __slots__ = ("cancelled", "orders", "paged")

    def __init__(
        self, paged: bool = False, orders: dict[str, float | None] | None = None, cancelled: set[str] | None = None
    ) -> None:
        self.paged = paged
        self.orders: dict[str, float | None] = {} if orders is None else orders
        """Orders that stand, in the order they were placed, with their value where one was sent."""
        self.cancelled: set[str] = set() if cancelled is None else cancelled

    def place(self, order: str, value: float | None) -> None:
        """Note an order. One id is one order, whoever reports it; a cancelled one stays cancelled."""
        if order in self.cancelled:
            return
        if self.orders.get(order) is None:
            self.orders[order] = value

    def cancel(self, order: str) -> None:
        """From now on this order does not count, even if it is reported again."""
        self.orders.pop(order, None)
        self.cancelled.add(order)

    def refund(self, order: str, amount: float | None) -> None:
        """A full refund (no amount, or the order's whole value) cancels; a partial one changes nothing."""
        value = self.orders.get(order)
        if amount is None or (value is not None and amount >= value):
            self.cancel(order)

    def dump(self) -> str:
        """The text that `load` reads; equal memories give equal texts."""
        kept: dict[str, object] = {}
        if self.paged:
            kept["paged"] = True
        if self.orders:
            kept["orders"] = self.orders
        if self.cancelled:
            kept["cancelled"] = sorted(self.cancelled)
        return _encode(kept) if kept else ""

    @classmethod
    def load(cls, text: str) -> "Memory":
        """The memory that `dump` wrote."""
        if not text:
            return cls()
        kept = json.loads(text)
        return cls(kept.get("paged", False), kept.get("orders"), set(kept.get("cancelled", ())))
