"""The typed fields of a touchpoint, read from an event's properties. Pure."""

from math import isfinite, nan
from typing import Any

import msgspec

from services.ingest.enrich.attribution import ATTRIBUTION_PROPERTIES
from services.ingest.event.ids import clean_id, is_usual_id
from services.ingest.event.verdict import MAX_TEXT, Verdict, json_type, reject, warning
from throughline.journey.touchpoint import Touchpoint

Fields = tuple[str, float | None, str, float | None, float | None, str, float | None, float | None, str, bool]
"""The fields order_id, value, currency, rating, score, product_id, quantity, total, items and test of `Touchpoint`, in
this order; "" and None mean not given."""

_Line = tuple[str, float | None, float | None]
NONE: Fields = ("", None, "", None, None, "", None, None, "", False)

_SOURCES: tuple[tuple[str, ...], ...] = (
    ("order_id", "orderId"),
    ("value", "revenue"),
    ("currency",),
    ("rating",),
    ("nps_score", "npsScore", "nps", "score"),
    ("product_id", "productId", "sku"),
    ("quantity",),
    ("total",),
    ("products", "items"),
    ("test",),
)
"""For each of `Fields`, the properties that may hold it: the first that is given counts."""

_REFUND_SUMS = ("amount", "refund_amount", "refundAmount", "refunded_amount", "refundedAmount", "amount_refunded")
"""Properties that hold the sum of a refund; of an order `amount` may be a number of pieces."""

SAFE = 2**53
"""Largest integer up to which all are exact as 64-bit floats."""

MAX_LINES = 100
"""Maximum number of lines of an order, refund or cart that are read."""

_FIRST = Touchpoint._fields.index("order_id")
_ORDER, _VALUE, _PRODUCT, _QUANTITY, _TOTAL, _ITEMS, _TEST = (
    Touchpoint._fields.index(name) - _FIRST
    for name in ("order_id", "value", "product_id", "quantity", "total", "items", "test")
)
_PRODUCT_NAMES = ("product_id", "productId", "item_id", "sku", "id", "variant_id", "name", "item_name", "title")
_TRUE = frozenset({"true", "1", "yes"})
_ID_TYPES = frozenset({str, int, float})
"""Types of decoded JSON that can be an id or a number."""
_encode = msgspec.json.Encoder().encode
_MANY = 12
"""Number of properties from which on it is faster to look first whether any of them is a field."""
_FIELD_NAMES = frozenset(name for names in _SOURCES for name in names)
_NUMBERS, _OTHERS, _ORIGIN = 100, 200, 300
_PLACES = {
    name: place + (_OTHERS if place >= _ITEMS else 0 if NONE[place] == "" else _NUMBERS)
    for place, names in enumerate(_SOURCES)
    for name in names
} | dict.fromkeys(ATTRIBUTION_PROPERTIES, _ORIGIN)
"""Property -> the place of its text in `Fields`, `_NUMBERS` more for a number, `_OTHERS` more for lines and test, or
`_ORIGIN`. One look-up tells all that, where another walk would cost 0.2 us."""


def read_fields(properties: dict[str, Any], warnings: list[Verdict]) -> tuple[Fields, bool]:
    """Returns the typed fields, and whether a property says where the event came from (`ATTRIBUTION_PROPERTIES`).

    A property of the wrong type is left out with a warning, and kept with the rest.

    Raises:
        RejectedError: a number that no 64-bit float can hold.
    """
    fields: list[Any] | None = None
    has_usual_order = False
    only: _Line | None = None
    says_origin = False
    place_of = _PLACES.get
    if len(properties) > _MANY and properties.keys().isdisjoint(_FIELD_NAMES):
        return NONE, not properties.keys().isdisjoint(ATTRIBUTION_PROPERTIES)
    for name, value in properties.items():
        place = place_of(name)
        if place is None:
            continue
        if place == _ORIGIN:
            says_origin = True
            continue
        if fields is None:
            fields = [*NONE]
        # First the usual: text where text belongs, a number where a number belongs, one name per field.
        if place < _NUMBERS:
            if type(value) is str and not fields[place]:
                if place != _ORDER:
                    if len(value) <= MAX_TEXT:
                        fields[place] = value
                        continue
                elif is_usual_id(value):
                    fields[_ORDER] = value
                    has_usual_order = True
                    continue
            fields[place] = _text(properties, _SOURCES[place], warnings)
        elif place < _OTHERS:
            place -= _NUMBERS
            if fields[place] is None:
                kind = type(value)
                if kind is float:
                    fields[place] = value
                    continue
                if kind is int and -SAFE <= value <= SAFE:
                    fields[place] = float(value)
                    continue
            fields[place] = _number(properties, _SOURCES[place], warnings)
        elif place == _OTHERS + _TEST:
            fields[_TEST] = value is True or str(value).strip().lower() in _TRUE
        elif not fields[_ITEMS] and type(value) is list:
            if len(value) == 1 and type(value[0]) is dict:
                only = _line(value[0])
                fields[_ITEMS] = _encode(((only[0], 1 if only[1] is None else only[1], only[2]),)).decode()
            else:
                fields[_ITEMS] = _lines(value)
    if fields is None:
        return NONE, says_origin
    if fields[_VALUE] is None:
        fields[_VALUE] = fields[_TOTAL]
    if fields[_ORDER] and not has_usual_order:
        fields[_ORDER] = _order_id(fields[_ORDER], warnings)
    if only is not None and not fields[_PRODUCT]:
        # An event with one product is about that one; one with several is about none of them alone.
        fields[_PRODUCT] = only[0]
        if fields[_QUANTITY] is None:
            fields[_QUANTITY] = only[1]
    return tuple(fields), says_origin


def with_refunded_sum(fields: Fields, properties: dict[str, Any], warnings: list[Verdict]) -> Fields:
    """Returns the typed fields of a refund of which none has a sum.

    A sum that cannot be read counts as nothing: a refund that names no sum pays the whole order back.
    """
    value = _number(properties, _REFUND_SUMS, warnings)
    if value is None:
        sums = (*_SOURCES[_VALUE], *_SOURCES[_TOTAL], *_REFUND_SUMS)
        if all(properties.get(name) in (None, "") for name in sums):
            return fields
        value = 0.0
    return (fields[0], value, *fields[2:])


def _order_id(sent: str, warnings: list[Verdict]) -> str:
    order_id = sent if is_usual_id(sent) else clean_id(sent)
    if order_id:
        return order_id
    message = f"{sent!r} is a placeholder: without an id each report of an order counts as another; add it"
    warnings.append(warning("missing_order_id", "properties.order_id", message))
    return ""


def _lines(products: list[Any]) -> str:
    """Returns the lines of an order, refund or cart: product, quantity, and the price of one where it is given."""
    lines: list[_Line] = []
    for product in products[:MAX_LINES] if len(products) > MAX_LINES else products:
        if type(product) is dict:
            product_id, quantity, price = _line(product)
            lines.append((product_id, 1 if quantity is None else quantity, price))
        elif type(product) is str and product:
            lines.append((product[:MAX_TEXT], 1, None))
    return _encode(lines).decode()


def _line(product: dict[str, Any]) -> _Line:
    """Returns a product's id, its quantity if it has one, and the price of one where it is given."""
    quantity, price = product.get("quantity"), product.get("price")
    # JSON that was decoded holds no infinite number.
    if type(quantity) is int and -SAFE <= quantity <= SAFE:
        quantity = float(quantity)
    elif quantity is not None and type(quantity) is not float:
        quantity = _plain_number(quantity)
    if price is not None and type(price) is not float:
        price = _plain_number(price)
    return _product_of(product), quantity, price


def _product_of(product: dict[str, Any]) -> str:
    value_of = product.get
    for name in _PRODUCT_NAMES:
        value = value_of(name)
        if value is None or value == "":
            continue
        if type(value) is str:
            return value.strip()[:MAX_TEXT]
        if type(value) in _ID_TYPES:
            return _text_of(value)[:MAX_TEXT]
    return ""


def _plain_number(value: Any) -> float | None:
    """Returns a number of a line; None for anything else, which is kept with the rest."""
    kind = type(value)
    if kind is int and -SAFE <= value <= SAFE:
        return float(value)
    if kind not in _ID_TYPES:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _text_of(value: str | float) -> str:
    """Returns an id as text, trimmed; a whole number has no decimals, however JSON wrote it."""
    if type(value) is str:
        return value.strip()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _text(properties: dict[str, Any], names: tuple[str, ...], warnings: list[Verdict]) -> str:
    for name in names:
        value = properties.get(name)
        if value is None or value == "":
            continue
        if type(value) in _ID_TYPES:
            text = _text_of(value)
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
        if type(value) in _ID_TYPES:
            try:
                number = float(value)
            except OverflowError:
                reject("number_out_of_range", f"properties.{name}", f"{name} is too large a number")
            except ValueError:
                number = nan
            if isfinite(number):
                return number
        _warn(warnings, name, f"{name} has to be a number, got {json_type(value)}; it was left out")
    return None


def _warn(warnings: list[Verdict], name: str, message: str) -> None:
    verdict = warning("wrong_type", f"properties.{name}", message)
    if verdict not in warnings:  # two names of one field look at the same properties
        warnings.append(verdict)
