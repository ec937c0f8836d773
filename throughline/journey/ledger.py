"""One order of a customer as a small ledger: what was charged, what was paid back, and whether the order stands.

An order stands when it was placed and is neither cancelled nor refunded in full. Refunds add up whatever their order
and sign, never across currencies, and those before the sale wait for it (docs/decisions/0017).
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from throughline.journey.money import MAX_LINES, currency_code, in_currency, lines_of, minor_units

MAX_CURRENCIES = 8
"""Maximum number of currencies of the refunds of one order; refunds in further ones are not added up."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
_quote = json.encoder.encode_basestring_ascii
_NONE: Mapping[str, int] = MappingProxyType({})


class Report(NamedTuple):
    """What an event says of an order: sums as sent, None for those not given."""

    total: float | None
    value: float | None
    currency: str
    items: str
    """Its lines, as text."""


class Order:
    """One order. Amounts are in minor units of the order's currency, with four decimals where it is not known."""

    __slots__ = (
        "cancelled_us",
        "currency",
        "edited",
        "gross",
        "items",
        "net",
        "orphans",
        "paid_us",
        "placed_us",
        "refunded_whole",
        "refunds",
        "refunds_by_source",
        "returned",
    )

    def __init__(
        self,
        placed_us: int = 0,
        paid_us: int = 0,
        cancelled_us: int = 0,
        gross: int | None = None,
        net: int | None = None,
        currency: str = "",
        items: str = "",
        edited: int = 0,
        refunded_whole: int = 0,
        refunds: dict[str, list[int]] | None = None,
        returned: dict[str, list[float]] | None = None,
        orphans: dict[str, int] | None = None,
        refunds_by_source: dict[str, dict[str, int]] | None = None,
    ) -> None:
        self.placed_us = placed_us
        """When it was first placed; 0 for never."""
        self.paid_us = paid_us
        """When it was last paid explicitly; 0 for never."""
        self.cancelled_us = cancelled_us
        """When it was cancelled; 0 if it was not, or stands again."""
        self.gross = gross
        self.net = net
        self.currency = currency
        self.edited = edited
        """1 when an edit said what it costs."""
        self.refunded_whole = refunded_whole
        """1 when a refund named neither a sum nor lines: the whole order."""
        self.refunds: dict[str, list[int]] = {} if refunds is None else refunds
        """By currency, "" for none: the sum to compare with `gross`, and the one to compare with `net`."""
        self.items = items
        """Its lines, as text: they are only read for a refund that names lines."""
        self.returned: dict[str, list[float]] = {} if returned is None else returned
        """By product, of refunds that name lines and no sum: quantity, and how much of it had no price."""
        self.orphans: dict[str, int] = {} if orphans is None else orphans
        """By source: refunds and cancellations that came before the order was placed."""
        self.refunds_by_source: dict[str, dict[str, int]] = {} if refunds_by_source is None else refunds_by_source
        """By currency that is given, and source: how many refunds of a sum."""

    @property
    def stands(self) -> bool:
        """Whether the order counts: placed, not cancelled, not refunded in full."""
        if not self.placed_us or self.cancelled_us:
            return False
        return not (self.refunds or self.returned or self.refunded_whole) or not self.is_refunded

    @property
    def is_refunded(self) -> bool:
        """Whether the refunds so far are all of the order."""
        if self.refunded_whole:
            return True
        if not self.refunds and not self.returned:
            return False
        if self.returned and self._are_all_lines_returned():
            return True
        charged, which = (self.net, 1) if self.gross is None else (self.gross, 0)
        if charged is None:
            return False
        currencies = [self.currency] if self.currency else [name for name in self.refunds if name] or [""]
        return any(self._paid_back(currency, which) >= self._charged(charged, currency) for currency in currencies)

    @property
    def amounts(self) -> tuple[int, int]:
        """What was charged, and that less the refunds in the order's currency, never less than nothing."""
        charged, which = (self.net, 1) if self.gross is None else (self.gross, 0)
        if charged is None or charged <= 0 or not (self.refunds or self.returned):
            return charged or 0, charged or 0
        return charged, max(0, charged - self._paid_back(self.currency, which))

    @property
    def foreign(self) -> Mapping[str, int]:
        """By source: refunds in another currency than that of the order, once it is placed and has one."""
        if not self.refunds_by_source or not self.placed_us or not self.currency:
            return _NONE
        counted: dict[str, int] = {}
        for currency, sources in self.refunds_by_source.items():
            if currency != self.currency:
                for source, events in sources.items():
                    counted[source] = counted.get(source, 0) + events
        return counted

    def place(self, at_us: int, report: Report, *, is_payment: bool) -> bool:
        """Take a report of the order, or its payment. Returns whether this placed it."""
        is_first = not self.placed_us
        if is_first:
            self.placed_us = at_us or 1
            self.cancelled_us = 0
            self._state(report)
            self.items = report.items or self.items
        else:
            if is_payment:
                self.cancelled_us = 0
            self._fill(report)
        if is_payment:
            self.paid_us = at_us or 1
        return is_first

    def edit(self, report: Report) -> None:
        """Take the new value of an edited order."""
        if self._state(report):
            self.edited = 1
        self.items = report.items or self.items

    def refund(self, report: Report, source: str) -> None:
        """Pay back a sum, or the price of some lines, or without either the whole order."""
        currency = currency_code(report.currency)
        if report.total is not None or report.value is not None:
            gross = report.value if report.total is None else report.total
            net = report.total if report.value is None else report.value
            assert gross is not None
            assert net is not None
            self._pay_back(currency, minor_units(abs(gross), currency), minor_units(abs(net), currency))
            self._count_refunds(currency, source, 1)
            return
        lines = lines_of(report.items)
        if not lines:
            self.refunded_whole = 1
        for line in lines:
            if line.product not in self.returned and len(self.returned) >= MAX_LINES:
                continue
            quantity = abs(line.quantity)
            quantities = self.returned.setdefault(line.product, [0, 0])
            quantities[0] += quantity
            if line.price is None:
                quantities[1] += quantity
            else:
                units = minor_units(abs(line.price) * quantity, currency)
                self._pay_back(currency, units, units)
        if any(line.price is not None for line in lines):
            self._count_refunds(currency, source, 1)

    def merge(self, other: "Order") -> None:
        """Add what another ledger of the same order says, whose events are others; the first report counts."""
        placed = [at_us for at_us in (self.placed_us, other.placed_us) if at_us]
        self.placed_us = min(placed, default=0)
        self.paid_us = max(self.paid_us, other.paid_us)
        self.cancelled_us = max(self.cancelled_us, other.cancelled_us)
        if self.placed_us > self.cancelled_us or self.paid_us > self.cancelled_us:
            self.cancelled_us = 0
        says_nothing = self.gross is None and self.net is None
        if (says_nothing or self.edited < other.edited) and (other.gross is not None or other.net is not None):
            self.gross, self.net, self.currency = other.gross, other.net, other.currency
        self.edited |= other.edited
        self.refunded_whole |= other.refunded_whole
        for currency, (gross, net) in other.refunds.items():
            self._pay_back(currency, gross, net)
        for currency, sources in other.refunds_by_source.items():
            for source, events in sources.items():
                self._count_refunds(currency, source, events)
        self.items = self.items or other.items
        for product, (quantity, unpriced) in other.returned.items():
            quantities = self.returned.setdefault(product, [0, 0])
            quantities[0] += quantity
            quantities[1] += unpriced
        for source, events in other.orphans.items():
            self.orphans[source] = self.orphans.get(source, 0) + events

    def dump(self) -> list[Any]:
        """Returns the arguments that make this order again; equal orders give equal ones."""
        fields: list[Any] = [self.placed_us, self.paid_us, self.cancelled_us, self.gross, self.net, self.currency]
        has_more = self.has_more
        if has_more or self.items or self.refunds or self.refunded_whole or self.edited:
            refunds = dict(sorted(self.refunds.items())) if self.refunds else None
            fields += [self.items, self.edited, self.refunded_whole, refunds]
        if has_more:
            fields += [dict(sorted(self.returned.items())), dict(sorted(self.orphans.items()))]
        if self.refunds_by_source:
            by_source = sorted(self.refunds_by_source.items())
            fields.append({currency: dict(sorted(sources.items())) for currency, sources in by_source})
        return fields

    def text(self) -> str:
        """Returns `dump` as JSON."""
        if self.has_more or self.items or self.refunds or self.refunded_whole or self.edited:
            return _encode(self.dump())
        # Most orders, without an encoder, which takes three times as long.
        gross = "null" if self.gross is None else self.gross
        net = "null" if self.net is None else self.net
        return f"[{self.placed_us},{self.paid_us},{self.cancelled_us},{gross},{net},{_quote(self.currency)}]"

    @property
    def has_more(self) -> bool:
        """Whether there is more to say than sums, lines and refunds of sums."""
        return bool(self.returned or self.orphans or self.refunds_by_source)

    def _state(self, report: Report) -> bool:
        """Take what an event says was charged. Returns whether it says so."""
        if report.total is None and report.value is None:
            return False
        currency = currency_code(report.currency) or self.currency
        self.currency = currency
        self.gross = None if report.total is None else minor_units(report.total, currency)
        self.net = None if report.value is None else minor_units(report.value, currency)
        return True

    def _fill(self, report: Report) -> None:
        """Take what the first report left out. A report of an order that does not stand never makes it stand again."""
        if self.gross is None and self.net is None:
            self._state(report)
        elif self.stands and not self.edited and currency_code(report.currency) in ("", self.currency):
            if self.gross is None and report.total is not None:
                self.gross = minor_units(report.total, self.currency)
            if self.net is None and report.value is not None:
                self.net = minor_units(report.value, self.currency)
        self.items = self.items or report.items

    def _pay_back(self, currency: str, gross: int, net: int) -> None:
        if currency not in self.refunds and len(self.refunds) >= MAX_CURRENCIES:
            return
        sums = self.refunds.setdefault(currency, [0, 0])
        sums[0] += gross
        sums[1] += net

    def _count_refunds(self, currency: str, source: str, events: int) -> None:
        if currency and currency in self.refunds:
            sources = self.refunds_by_source.setdefault(currency, {})
            sources[source] = sources.get(source, 0) + events

    def _paid_back(self, currency: str, which: int) -> int:
        """Returns the sum of the refunds in a currency, and of those without one."""
        unpriced = 0
        for product, (_, quantity) in self.returned.items():
            price = _lines(self.items).get(product, (0, None))[1]
            if price is not None:
                unpriced += minor_units(abs(price) * quantity, currency)
        nothing = (0, 0)
        paid_back = in_currency(self.refunds.get("", nothing)[which], currency) + unpriced
        return paid_back + self.refunds.get(currency, nothing)[which] if currency else paid_back

    def _charged(self, charged: int, currency: str) -> int:
        return charged if self.currency else in_currency(charged, currency)

    def _are_all_lines_returned(self) -> bool:
        lines = _lines(self.items)
        return bool(lines) and all(
            product in self.returned and self.returned[product][0] >= quantity
            for product, (quantity, _) in lines.items()
        )


@lru_cache(64)
def _lines(items: str) -> dict[str, tuple[float, float | None]]:
    """Returns the quantity of each product, and its first price that is known."""
    summed: dict[str, tuple[float, float | None]] = {}
    for product, quantity, price in lines_of(items):
        quantity_before, price_before = summed.get(product, (0, None))
        summed[product] = (quantity_before + quantity, price if price_before is None else price_before)
    return summed
