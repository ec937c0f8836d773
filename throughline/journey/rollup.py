"""History in steps: the minutes of count deltas summed by minute, hour and day of the workspace's time zone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

from throughline.journey.durations import DAY_US, MINUTE_US

Step = Literal["minute", "hour", "day"]
STEPS: tuple[Step, ...] = ("minute", "hour", "day")
"""From the finest."""

KEPT_US: dict[Step, int] = {"minute": 2 * DAY_US, "hour": 90 * DAY_US}
"""How long before the watermark a step's buckets stand; days stand for ever."""
_KEPT_US = tuple(KEPT_US.values())

MARGIN_US = DAY_US
"""How much longer buckets are written and kept: a writer may know of a later watermark than a reader."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REMEMBERED = 65_536


@lru_cache(_REMEMBERED)
def bucket_of(step: Step, minute_us: int, zone: tzinfo) -> int:
    """Returns the start of the minute, hour or day (in `zone`) that the minute starting at `minute_us` belongs to."""
    if step == "minute":
        return minute_us
    instant = _EPOCH + minute_us * _MICROSECOND
    try:
        return _start(step, instant, zone)
    except OverflowError:  # on the first and the last day of the calendar a zone's time is outside of it
        return _start(step, instant, UTC)


def _start(step: Step, instant: datetime, zone: tzinfo) -> int:
    local = instant.astimezone(zone)
    start = local.replace(minute=0) if step == "hour" else local.replace(hour=0, minute=0, fold=0)
    return (start.astimezone(UTC) - _EPOCH) // _MICROSECOND


def floor(step: Step, at_us: int, zone: tzinfo) -> int:
    """Returns the start of the step that an instant lies in."""
    return bucket_of(step, at_us - at_us % MINUTE_US, zone)


class Days(dict[int, int]):
    """Instant -> start of the day that it lies in. Remembers all instants that were asked for."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone

    def __missing__(self, at_us: int) -> int:
        day_us = self[at_us] = bucket_of("day", at_us - at_us % MINUTE_US, self._zone)
        return day_us


def kept_steps(minute_us: int, watermark_us: int) -> Sequence[Step]:
    """Returns the steps in which a change of that minute is kept, as of the watermark: from the finest."""
    age_us = watermark_us - MARGIN_US - minute_us
    finest = 0
    while finest < len(_KEPT_US) and age_us > _KEPT_US[finest]:
        finest += 1
    return STEPS[finest:]
