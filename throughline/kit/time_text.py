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

_CLOCK = (
    r"(?:,? (?:at )? *|T)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,6})?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d))?"
)
_CALENDAR = re.compile(
    rf"(?P<first>\d{{1,4}})(?P<mark>[/.-])(?P<middle>\d{{1,2}})(?P=mark)(?P<last>\d{{4}}|\d{{1,2}})(?:{_CLOCK})?",
    re.IGNORECASE,
)
"""`2025/3/1 10:00`, `01.03.2025`, `3/1/25 10:00:00 PM`."""
_MONTH_FIRST = re.compile(
    rf"(?:[a-z]{{3,9}},? )?(?P<month>[a-z]{{3,9}})\.? (?P<day>\d{{1,2}}),? (?P<year>\d{{4}})(?:{_CLOCK})?",
    re.IGNORECASE,
)
"""`Mar 1, 2025 10:00 am`."""
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

Unit = Literal["s", "ms", "us"]
_DIVISORS: dict[Unit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}


def parse_time(value: Any, *, day_first: bool | None = None) -> datetime | None:
    """Returns a time that a client sent, with its zone if it names one; None for what is no time.

    Of 03/04/2025 nobody can tell the month: it is a time only if `day_first` says which number is the day.

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
        return _of_text(value.strip(), day_first)
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


def order_of_date(text: str) -> str:
    """Returns what can be said of a date whose day and month may stand in either order; "" for any other text."""
    date = _CALENDAR.fullmatch(text)
    if date is None or date["mark"] == "." or len(date["first"]) > 2:
        return ""
    first, middle = int(date["first"]), int(date["middle"])
    if first <= 12 and middle <= 12:
        return "nobody can tell which number is the day"
    return f"the {'first' if first > 12 else 'second'} number can only be the day, of other dates nobody can tell"


def _of_text(text: str, day_first: bool | None) -> datetime | None:
    if len(text) > MAX_LENGTH or not text:
        return None
    if text[0] in "12" and text[4:5] == "-":
        return _of_iso_text(text, day_first)
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
    return _of_iso_text(text, day_first)


def _of_iso_text(text: str, day_first: bool | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _of_other_form(text, day_first)


def _of_other_form(text: str, day_first: bool | None) -> datetime | None:
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
        if calendar := _CALENDAR.fullmatch(text):
            return _of_calendar(calendar, day_first)
        if named := _MONTH_FIRST.fullmatch(text):
            return _of_named_month(named)
    except (ValueError, TypeError, IndexError):
        pass
    return None


def _of_calendar(date: re.Match[str], day_first: bool | None) -> datetime | None:
    first, middle, last = date["first"], date["middle"], date["last"]
    if len(first) == 4:
        return _at_clock(date, int(first), int(middle), int(last)) if len(last) <= 2 else None
    if len(first) == 3 or len(last) == 1:
        return None
    if date["mark"] == "." and len(last) == 4:
        day_first = True  # nobody writes a month first before points
    if day_first is None:
        return None
    year = int(last) + (0 if len(last) == 4 else 2000 if int(last) < 70 else 1900)
    day, month = (first, middle) if day_first else (middle, first)
    return _at_clock(date, year, int(month), int(day))


def _of_named_month(date: re.Match[str]) -> datetime | None:
    name = date["month"].lower()
    month = next((number for number, full in enumerate(_MONTHS, start=1) if name in (full, full[:3])), None)
    return None if month is None else _at_clock(date, int(date["year"]), month, int(date["day"]))


def _at_clock(date: re.Match[str], year: int, month: int, day: int) -> datetime:
    """The time of a day that stands after its date, its beginning without one.

    Raises:
        ValueError: there is no such time.
    """
    if date["hour"] is None:
        return datetime(year, month, day)  # noqa: DTZ001
    hour = int(date["hour"])
    if date["half"] is not None:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if date["half"].lower() == "p" else 0)
    microsecond = round(float(date["fraction"] or 0) * 1_000_000)
    time = datetime(year, month, day, hour, int(date["minute"]), int(date["second"] or 0), microsecond)  # noqa: DTZ001
    zone = date["zone"]
    if zone is None:
        return time
    return datetime.fromisoformat(f"{time.isoformat()}{'+00:00' if zone.isalpha() else zone}")
