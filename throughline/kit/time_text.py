"""Times as clients, exports and people write them: the one parser of ingest's dialects and of imports. Pure."""

import math
import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from throughline.kit.clock import EPOCH

FORMS = "ISO 8601, RFC 2822, or seconds, milliseconds or microseconds since 1970"
MAX_LENGTH = 80
"""Number of characters from which on no text is a time."""

_YEAR_OUT_OF_RANGE = re.compile(r"([+-]\d{5,}-|-?0000-(?!00)|\d{5,}-|-\d{4}-)")
_NUMBER = re.compile(r"[+-]?\d{1,80}(?:\.\d{0,18})?(?:[eE]\+?\d{1,2})?")
_DAY = re.compile(r"\d{8}")
_COMPACT = re.compile(r"(?:19|20)\d{12}")
_ZONE = re.compile(r"(?P<time>.*?\d)\s*(?P<offset>[+-]\d\d:?\d\d)?\s*(?:UTC|GMT|Z)", re.IGNORECASE)
"""`2025-03-01 10:00:00 UTC` (BigQuery), `2025-03-01 10:00:00 +0000 UTC` (Go), `2025-03-01t10:00:00z`."""
_SPACED_OFFSET = re.compile(r"(?P<time>\d{4}-\d\d-\d\d[T ][\d:.,]+) (?P<offset>[+-]\d\d:?\d\d)", re.IGNORECASE)
_MAIL = re.compile(
    r"(?:[a-z]{3,9},? )?\d{1,2}[ -][a-z]{3,9}[ -]\d{2,4} \d{1,2}:\d\d(?::\d\d)?(?: .{0,40})?", re.IGNORECASE
)
_SCRIPT = re.compile(
    r"[a-z]{3} (?P<time>[a-z]{3} \d{1,2} \d{4} \d\d:\d\d:\d\d) GMT(?P<offset>[+-]\d{4})(?: \(.{0,40}\))?", re.IGNORECASE
)
"""`Sat Mar 01 2025 10:00:00 GMT+0100 (CET)`, as JavaScript prints a Date."""

Unit = Literal["s", "ms", "us"]
_DIVISORS: dict[Unit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}


def parse_time(value: Any) -> datetime | None:
    """Returns a time that a client sent, with its zone if it names one; None for what is no time.

    Raises:
        OverflowError: a time outside the years 1-9999.
    """
    if isinstance(value, str):
        if value[4:5] == "-" and value[0] in "12" and len(value) <= MAX_LENGTH:
            # The usual: no number, and no year that needs a look.
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                pass
        return _of_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return of_epoch(value)


def of_epoch(number: float, unit: Unit | None = None) -> datetime | None:
    """Returns the time of a number since 1970. Without a unit its size says it: from 1e11 on milliseconds, from 1e14 on
    microseconds. None for what is no number.

    Raises:
        OverflowError: a time outside the years 1-9999.
    """
    if isinstance(number, float) and math.isnan(number):
        return None
    if unit is None:
        size = abs(number)
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us"
    divisor = _DIVISORS[unit]
    if isinstance(number, int):
        # Exact, where a float would round microseconds.
        return EPOCH + timedelta(microseconds=number * (1_000_000 // divisor))
    return EPOCH + timedelta(seconds=number / divisor)


def number_of(text: str) -> float | None:
    """Returns a number of digits as text, exact if it is whole; None for any other text."""
    if not text.isascii() or _NUMBER.fullmatch(text) is None:
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def _of_text(text: str) -> datetime | None:
    if len(text) > MAX_LENGTH or not text:
        return None
    if text[0] in "12" and text[4:5] == "-":
        return _of_iso_text(text)
    if _YEAR_OUT_OF_RANGE.match(text):
        raise OverflowError(text)
    number = None if _DAY.fullmatch(text) else number_of(text)
    if number is not None:
        if _COMPACT.fullmatch(text):
            try:
                return datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007
            except ValueError:
                pass
        return of_epoch(number)
    return _of_iso_text(text)


def _of_iso_text(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _of_other_form(text)


def _of_other_form(text: str) -> datetime | None:
    try:
        if zoned := _ZONE.fullmatch(text) or _SPACED_OFFSET.fullmatch(text):
            try:
                return datetime.fromisoformat(f"{zoned['time'].strip()}{zoned['offset'] or '+00:00'}")
            except ValueError:
                pass
        if _MAIL.fullmatch(text):
            return parsedate_to_datetime(text)
        if script := _SCRIPT.fullmatch(text):
            return datetime.strptime(f"{script['time']} {script['offset']}", "%b %d %Y %H:%M:%S %z")
    except (ValueError, TypeError, IndexError):
        pass
    return None
