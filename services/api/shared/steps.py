"""The past in steps: which stored buckets make up a moment or a span of it. Pure.

The counts of a past moment are those of now less all that changed since: from the moment to the end of its hour by
minutes, to the end of its day by hours, and then by days. So what is read grows with how far one looks back, and only
buckets from that moment on are needed, which are kept whole.
"""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from itertools import pairwise
from re import compile as pattern
from typing import NamedTuple

from throughline.journey.durations import MINUTE_US
from throughline.journey.rollup import KEPT_US, STEPS, Step, floor
from throughline.kit.clock import to_us
from throughline.kit.errors import ServiceError

MOST_STEPS = 1500
USUAL_STEPS = 48

_LENGTH_US: dict[Step, int] = {"minute": MINUTE_US, "hour": 60 * MINUTE_US, "day": 24 * 60 * MINUTE_US}
# The length of an hour or day where clocks change is another; none is longer than this.
_LONGEST_MINUTES: dict[Step, int] = {"minute": 1, "hour": 120, "day": 49 * 60}
# A + of a zone offset that was not escaped in a query string arrives as a space.
_BARE_PLUS = pattern(r" (?=\d\d:\d\d$)")


class Buckets(NamedTuple):
    """Stored buckets of one step: those that start at `from_us` or later, and before `to_us` (None: all later ones)."""

    step: Step
    from_us: int
    to_us: int | None


class Moment(NamedTuple):
    """A past moment, floored to a stored step."""

    at_us: int
    step: Step


def parse_instant(text: str, field: str) -> int:
    """Microseconds since the epoch of an RFC 3339 instant.

    Raises:
        ServiceError: 400 `invalid_parameter`.
    """
    try:
        upper = text.upper()
        found = datetime.fromisoformat(_BARE_PLUS.sub("+", upper, count=1) if "T" in upper else upper)
        if found.tzinfo is None:
            raise ValueError
        return to_us(found)
    except (ValueError, OverflowError):
        raise ServiceError(
            400,
            "invalid_parameter",
            f"{field}: {text[:100]!r} is not an RFC 3339 instant with a zone, such as 2026-11-23T20:28:00Z",
            field=field,
        ) from None


def next_start(step: Step, at_us: int, zone: tzinfo) -> int:
    """The start of the bucket after the one that an instant lies in."""
    start = floor(step, at_us, zone)
    usual = start + _LENGTH_US[step]
    if step == "minute" or (floor(step, usual, zone) == usual and floor(step, usual - MINUTE_US, zone) == start):
        return usual
    minutes = range(1, _LONGEST_MINUTES[step])
    low, high = 0, len(minutes)
    while low < high:
        middle = (low + high) // 2
        if floor(step, start + minutes[middle] * MINUTE_US, zone) > start:
            high = middle
        else:
            low = middle + 1
    return start + (low + 1) * MINUTE_US


def ceiling(step: Step, at_us: int, zone: tzinfo) -> int:
    """The first start of a bucket at or after an instant."""
    return at_us if floor(step, at_us, zone) == at_us else next_start(step, at_us, zone)


def kept_from(step: Step, latest_watermark_us: int) -> int | None:
    """The first instant from which a step's buckets are sure to be whole; None: all are."""
    kept_us = KEPT_US.get(step)
    return None if kept_us is None else latest_watermark_us - kept_us + MINUTE_US


def floored(at_us: int, latest_watermark_us: int, zone: tzinfo) -> Moment:
    """The moment that is stored at or before an instant, by the finest step that is kept so far back."""
    for step in STEPS:
        start, kept_us = floor(step, at_us, zone), kept_from(step, latest_watermark_us)
        if kept_us is None or start >= kept_us:
            return Moment(start, step)
    raise AssertionError("days are kept for ever")


def since(moment: Moment, zone: tzinfo) -> list[Buckets]:
    """The buckets that together hold every change at or after a moment."""
    found: list[Buckets] = []
    at_us = moment.at_us
    for step, coarser in pairwise(STEPS):
        if STEPS.index(step) < STEPS.index(moment.step):
            continue
        until_us = ceiling(coarser, at_us, zone)
        if until_us > at_us:
            found.append(Buckets(step, at_us, until_us))
        at_us = until_us
    return [*found, Buckets("day", at_us, None)]


def starts(step: Step, from_us: int, to_us: int, zone: tzinfo) -> Iterator[int]:
    """The starts of a span's buckets; both ends are starts themselves."""
    at_us = from_us
    while at_us < to_us:
        yield at_us
        at_us = next_start(step, at_us, zone)
