"""Amounts of money in minor units, so that they add up to the cent, and the lines of an order."""

import json
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

MAX_LINES = 100
"""Maximum number of lines of one order, refund or cart that are looked at."""

UNKNOWN_DIGITS = 4
"""Number of decimals kept of an amount whose currency is not known: as many as any currency has."""

_USUAL_DIGITS = 2
_NO_DECIMALS = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV")
_NO_DECIMALS_OF_FRANCS = ("XAF", "XOF", "XPF")
_DIGITS = {
    **dict.fromkeys((*_NO_DECIMALS, *_NO_DECIMALS_OF_FRANCS), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
    "": UNKNOWN_DIGITS,
}
"""Number of decimals by currency (ISO 4217); all others have two."""
_SCALES = (1, 10, 100, 1_000, 10_000)
_MAX_AMOUNT = 1e13


class Line(NamedTuple):
    """One line of an order, refund or cart."""

    product: str
    quantity: float
    price: float | None
    """Of one piece; None where it is not known."""


def digits_of(currency: str) -> int:
    """Returns the number of decimals of a currency, "" for one that is not known."""
    return _DIGITS.get(currency, _USUAL_DIGITS)


def minor_units(amount: float, currency: str) -> int:
    """Returns an amount in minor units of its currency; an amount beyond 10^13 counts as that."""
    if not -_MAX_AMOUNT <= amount <= _MAX_AMOUNT:
        amount = _MAX_AMOUNT if amount > 0 else -_MAX_AMOUNT
    return round(amount * _SCALES[_DIGITS.get(currency, _USUAL_DIGITS)])


def in_currency(units: int, currency: str) -> int:
    """Returns an amount that was kept without its currency in minor units of this one."""
    places = UNKNOWN_DIGITS - digits_of(currency)
    return round(units, -places) // _SCALES[places]


@lru_cache(256)
def currency_code(text: str) -> str:
    """Returns the code of a currency, however it was written."""
    return text.strip().upper()[:8]


def lines_of(items: str) -> list[Line]:
    """Returns the lines of a touchpoint's `items`: a JSON array of [product id, quantity, price]."""
    if not items:
        return []
    try:
        parts = json.loads(items)
    except (ValueError, RecursionError):
        return []
    return [Line(*part) for part in parts[:MAX_LINES] if _is_line(part)] if isinstance(parts, list) else []


def only_line(product: str, quantity: float | None) -> str:
    """Returns, as text, the one line of an event that names a product beside its lines."""
    return json.dumps([[product, 1.0 if quantity is None else quantity, None]])


def _is_line(part: Any) -> bool:
    return (
        isinstance(part, list)
        and len(part) == len(Line._fields)
        and isinstance(part[0], str)
        and _is_number(part[1])
        and (part[2] is None or _is_number(part[2]))
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)
