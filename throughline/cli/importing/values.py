"""One cell of a file: a member of a row, a number as people write it, a time. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from throughline.cli.importing.mapping import EPOCHS, RowError
from throughline.kit.time_text import FORMS, of_epoch, order_of_date, parse_time
from throughline.kit.time_text import number_of as number_of_text

TIME_HINT = "give timestamp a column that has one"
_MONEY = re.compile(r"[\s\u00a0\u202f'’$€£¥]|[A-Z]{3}(?=\s)|(?<=\s)[A-Z]{3}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_DOTTED_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
_PACKED_NAME = re.compile(r"[\w-]+:")
_PACKED_FIELD = re.compile(r"(?<!\\)\|(?=[^|:]+:)")
_ESCAPED = re.compile(r"\\([:|;])")


def cell(row: Mapping[str, Any], column: str) -> Any:
    """The cell of a column, or the member that a path like `a.b` leads to; None without one.

    An object on the way may be a text of JSON, as warehouses print their columns.
    """
    if column in row or "." not in column:
        return row.get(column)
    value: Any = row
    while isinstance(value, Mapping) and column:
        if column in value:
            return value[column]
        name, _, column = column.partition(".")
        value = value.get(name)
        if column and isinstance(value, str):
            value = _object_in(value)
    return None if column else value


@lru_cache(maxsize=4)  # a row is asked for several members of one object
def _object_in(text: str) -> Any:
    if text.lstrip()[:1] != "{":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def packed_objects(value: Any) -> list[dict[str, Any]]:
    """The objects in one cell: a list, also as JSON, or text like `name:Rice|quantity:2;name:Tea|quantity:1`."""
    if isinstance(value, list):
        return [part for part in value if isinstance(part, dict)]
    text = str(value or "").strip()
    if text.startswith("["):
        try:
            return packed_objects(json.loads(text))
        except (ValueError, RecursionError):
            return []
    name = _PACKED_NAME.match(text)
    if name is None:
        return []
    # An object begins with the name that the first begins with: a product may be called `Tea; green`.
    parts = re.split(rf"(?<!\\);(?={re.escape(name[0])})", text)
    return [dict(_packed_field(field) for field in _PACKED_FIELD.split(part)) for part in parts]


def _packed_field(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, _ESCAPED.sub(r"\1", value)


def number_of(value: Any, column: str, field: str, decimal: str) -> float:
    """A number: 12.50, 1,234.50 and, where it can be nothing else or `decimal` is `comma`, 1.234,50.

    Raises:
        RowError: it is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = _MONEY.sub("", str(value).strip())
    has_both = "," in text and "." in text
    is_decimal_comma = text.rfind(",") > text.rfind(".") if has_both else decimal == "comma" or _is_comma(text, decimal)
    if is_decimal_comma and ("," in text or _DOTTED_THOUSANDS.fullmatch(text)):
        text = text.replace(".", "").replace(",", ".")
    if has_both and not is_decimal_comma:
        text = text.replace(",", "")
    if _NUMBER.fullmatch(text) is None:
        raise RowError(
            "wrong_type", field, f'{column} {value!r} is not a number like 12.50; decimal = "comma" reads 1.234,50'
        )
    return float(text)


def _is_comma(text: str, decimal: str) -> bool:
    return decimal != "point" and text.count(",") == 1 and (decimal == "either" or not _THOUSANDS.fullmatch(text))


def time_of(value: Any, column: str, time_format: str, zone: ZoneInfo, day_first: bool | None = None) -> str:
    """A time as ISO 8601 with its zone, by its format.

    Raises:
        RowError: it is no time, or a date of which nobody said whether the day stands first.
    """
    try:
        time = _time(value, time_format, day_first)
        if time is None:
            raise ValueError
        return (time if time.tzinfo else time.replace(tzinfo=zone)).isoformat()
    except (ValueError, TypeError, OverflowError):
        order = "" if time_format or day_first is not None else order_of_date(str(value).strip())
        if order:
            message = f"{column} {value!r}: {order}; say --dates day-first or --dates month-first"
            raise RowError("ambiguous_time", "timestamp", message) from None
        example = time_format or f"2026-01-31T12:00:00Z ({FORMS})"
        raise RowError("unreadable_time", "timestamp", f"{column} {value!r} is not a time like {example}") from None


def _time(value: Any, time_format: str, day_first: bool | None) -> datetime | None:
    if time_format in EPOCHS:
        number = number_of_text(value.strip()) if isinstance(value, str) else value
        return None if number is None or isinstance(number, bool) else of_epoch(number, EPOCHS[time_format])
    if time_format:
        return datetime.strptime(str(value).strip(), time_format)  # noqa: DTZ007
    return parse_time(value, day_first=day_first)
