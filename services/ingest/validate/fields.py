"""The typed fields of a touchpoint, read from an event's properties. Pure."""

import math
from typing import Any

from services.ingest.event.verdict import MAX_TEXT, Verdict, json_type, reject, warning

Fields = tuple[str, float | None, str, float | None, float | None, str, float | None]
"""The fields order_id, value, currency, rating, score, product_id and quantity of `Touchpoint`, in this order; "" and
None mean not given."""

NONE: Fields = ("", None, "", None, None, "", None)

_SOURCES: tuple[tuple[str, ...], ...] = (
    ("order_id", "orderId"),
    ("value", "revenue", "total"),
    ("currency",),
    ("rating",),
    ("nps_score", "npsScore", "nps", "score"),
    ("product_id", "productId", "sku"),
    ("quantity",),
)
"""For each of `Fields`, the properties that may hold it: the first that is given counts."""

SAFE = 2**53
"""Largest integer up to which all are exact as 64-bit floats."""

_TEXT = frozenset({0, 2, 5})
_MANY = 12
"""Number of properties from which on it is faster to check first whether any of them is a field."""
_SLOTS = {name: slot for slot, names in enumerate(_SOURCES) for name in names}


def read_fields(properties: dict[str, Any], warnings: list[Verdict]) -> Fields:
    """Returns the typed fields. A property of the wrong type is left out with a warning, and kept with the rest.

    Raises:
        RejectedError: a number that no 64-bit float can hold.
    """
    fields: list[Any] | None = None
    slot_of = _SLOTS.get
    if len(properties) > _MANY and properties.keys().isdisjoint(_SLOTS.keys()):
        return NONE
    for name, value in properties.items():
        slot = slot_of(name)
        if slot is None:
            continue
        if fields is None:
            fields = [*NONE]
        # The usual: text where text belongs, a number where a number belongs, one name per field.
        if fields[slot] is NONE[slot]:
            kind = type(value)
            if slot in _TEXT:
                if kind is str and len(value) <= MAX_TEXT:
                    fields[slot] = value
                    continue
            elif kind is float or (kind is int and -SAFE <= value <= SAFE):
                fields[slot] = float(value)
                continue
        fields[slot] = (_text if slot in _TEXT else _number)(properties, _SOURCES[slot], warnings)
    return NONE if fields is None else tuple(fields)


def _text(properties: dict[str, Any], names: tuple[str, ...], warnings: list[Verdict]) -> str:
    for name in names:
        value = properties.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value)
            if len(text) <= MAX_TEXT:
                return text
            got = f"{len(text)} characters"
        else:
            got = json_type(value)
        _warn(warnings, name, f"{name} has to be text of up to {MAX_TEXT} characters, got {got}; it was left out")
    return ""


def _number(properties: dict[str, Any], names: tuple[str, ...], warnings: list[Verdict]) -> float | None:
    for name in names:
        value = properties.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                reject("number_out_of_range", f"properties.{name}", f"{name} is too large a number")
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                return number
        _warn(warnings, name, f"{name} has to be a number, got {json_type(value)}; it was left out")
    return None


def _warn(warnings: list[Verdict], name: str, message: str) -> None:
    verdict = warning("wrong_type", f"properties.{name}", message)
    if verdict not in warnings:  # two names of one field look at the same properties
        warnings.append(verdict)
