"""The typed fields a touchpoint has, taken from an event's properties. Pure."""

import math
from typing import Any, NamedTuple

from services.ingest.verdict import MAX_TEXT, Verdict, json_type, refuse, warning

_TEXTS = {
    "order_id": ("order_id", "orderId"),
    "currency": ("currency",),
    "product_id": ("product_id", "productId", "sku"),
}
_NUMBERS = {
    "value": ("value", "revenue", "total"),
    "rating": ("rating",),
    "score": ("nps_score", "npsScore", "nps", "score"),
    "quantity": ("quantity",),
}
NAMES = frozenset(name for names in (*_TEXTS.values(), *_NUMBERS.values()) for name in names)
"""Every property that feeds a typed field; an event without any of them is not looked at further."""


class Fields(NamedTuple):
    """As in `Touchpoint`: "" and None mean not given."""

    order_id: str = ""
    value: float | None = None
    currency: str = ""
    rating: float | None = None
    score: float | None = None
    product_id: str = ""
    quantity: float | None = None


NONE = Fields()


def read_fields(properties: dict[str, Any], notes: list[Verdict]) -> Fields:
    """The typed fields; a property of the wrong type is left out of them with a warning (it stays among the rest).

    Of several names for one field the first that is given counts: `value` before `revenue` before `total`.

    Raises:
        RefusedError: a number that no 64-bit float can hold.
    """
    if NAMES.isdisjoint(properties):
        return NONE
    get = properties.get
    return Fields(
        _text(properties, _TEXTS["order_id"], notes),
        _number(properties, _NUMBERS["value"], notes),
        _text(properties, _TEXTS["currency"], notes) if get("currency") is not None else "",
        _number(properties, _NUMBERS["rating"], notes) if get("rating") is not None else None,
        _number(properties, _NUMBERS["score"], notes),
        _text(properties, _TEXTS["product_id"], notes),
        _number(properties, _NUMBERS["quantity"], notes) if get("quantity") is not None else None,
    )


def _text(properties: dict[str, Any], names: tuple[str, ...], notes: list[Verdict]) -> str:
    for name in names:
        value = properties.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            if len(value) <= MAX_TEXT:
                return value
            found = f"{len(value)} characters"
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        else:
            found = json_type(value)
        notes.append(
            warning("wrong_type", f"properties.{name}", f"{name} has to be text of up to {MAX_TEXT}, got {found}")
        )
    return ""


def _number(properties: dict[str, Any], names: tuple[str, ...], notes: list[Verdict]) -> float | None:
    for name in names:
        value = properties.get(name)
        if value is None or value == "":
            continue
        try:
            if type(value) is float or (isinstance(value, int | str) and not isinstance(value, bool)):
                number = float(value)
                if math.isfinite(number):
                    return number
        except OverflowError:
            refuse("number_out_of_range", f"properties.{name}", f"{name} is too large a number")
        except ValueError:
            pass
        notes.append(
            warning("wrong_type", f"properties.{name}", f"{name} has to be a number, got {json_type(value)}; left out")
        )
    return None
