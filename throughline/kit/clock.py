"""The wall clock, read nowhere else, and instants: microseconds since the Unix epoch, UTC."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

MIN_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""0001-01-01T00:00:00Z in microseconds since the epoch."""
MAX_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""9999-12-31T23:59:59.999999Z in microseconds since the epoch."""


def now_us() -> int:
    """The present instant."""
    return time.time_ns() // 1000


def to_datetime(us: int) -> datetime:
    """The UTC instant of `us` microseconds since the epoch; exact over years 1-9999.

    Raises:
        OverflowError: the instant is outside those years.
    """
    return EPOCH + timedelta(microseconds=us)


def to_us(instant: datetime) -> int:
    """The instant in microseconds since the epoch, exact; one without a zone is in UTC."""
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    delta = instant - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def rfc3339(us: int) -> str:
    """The instant in RFC 3339, UTC: `2026-11-23T20:28:33.000001Z`, without the fraction when it is 0."""
    text = to_datetime(us).replace(tzinfo=None).isoformat()
    return text + "Z"
