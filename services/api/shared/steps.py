"""The past in steps: which stored buckets make up a past moment, or a span of the past. Pure.

The counts of a past moment are the live counts less all that changed since: by minutes up to the end of the moment's
hour, by hours up to the end of its day, and then by days. The further back the moment, the coarser are most of the
buckets that are read, and each bucket from the moment on is one that is still stored whole.
"""

from collections.abc import Iterator
from datetime import tzinfo
from itertools import pairwise
from typing import NamedTuple

from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US
from throughline.journey.rollup import KEPT_US, STEPS, Step, floor

MAX_STEPS = 1500
"""Maximum number of steps in one history."""
MAX_PHASE_STEPS = 15_000
"""Maximum number of phases in all steps of one history together: a model may have 50 phases."""
DEFAULT_STEPS = 48
"""Number of steps in a history without `from`."""

_LENGTH_US: dict[Step, int] = {"minute": MINUTE_US, "hour": HOUR_US, "day": DAY_US}
# An hour or day in which clocks change has another length; none is longer than this.
_LONGEST_MINUTES: dict[Step, int] = {"minute": 1, "hour": 120, "day": 49 * 60}


class Buckets(NamedTuple):
    """Stored buckets of one step that start at `from_us` or later, and before `to_us` (None: without an end)."""

    step: Step
    from_us: int
    to_us: int | None


class Moment(NamedTuple):
    """A past moment, floored to a stored step."""

    at_us: int
    step: Step


def next_start(step: Step, at_us: int, zone: tzinfo) -> int:
    """The start of the bucket after the one that holds an instant."""
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
    """The first instant from which a step's buckets are certainly whole; None: all of them are."""
    kept_us = KEPT_US.get(step)
    return None if kept_us is None else latest_watermark_us - kept_us + MINUTE_US


def floored(at_us: int, latest_watermark_us: int, zone: tzinfo) -> Moment:
    """The last stored moment at or before an instant, by the finest step that is kept so far back."""
    for step in STEPS:
        start, kept_us = floor(step, at_us, zone), kept_from(step, latest_watermark_us)
        if kept_us is None or start >= kept_us:
            return Moment(start, step)
    raise AssertionError("days are kept for ever")


def since(moment: Moment, zone: tzinfo) -> list[Buckets]:
    """The buckets that together hold every change at or after a moment, each change once."""
    buckets: list[Buckets] = []
    at_us = moment.at_us
    for step, coarser in pairwise(STEPS):
        if STEPS.index(step) < STEPS.index(moment.step):
            continue
        until_us = ceiling(coarser, at_us, zone)
        if until_us > at_us:
            buckets.append(Buckets(step, at_us, until_us))
        at_us = until_us
    return [*buckets, Buckets("day", at_us, None)]


def starts(step: Step, from_us: int, to_us: int, zone: tzinfo) -> Iterator[int]:
    """The starts of the buckets from `from_us` on and before `to_us`; both ends are starts themselves."""
    at_us = from_us
    while at_us < to_us:
        yield at_us
        at_us = next_start(step, at_us, zone)
