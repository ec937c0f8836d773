"""Times as clients write them, and the instant at which an event happened. Pure; microseconds since the epoch, UTC.

A client's clock is corrected by the rule of Segment's spec, `receivedAt - (sentAt - originalTimestamp)`, but only when
`sentAt` is more than `SKEW_US` before the time of receipt (less is the time of transit) or after it (a fast clock).
"""

from datetime import datetime
from typing import Any, NoReturn

from services.ingest.event.verdict import reject
from throughline.kit.clock import MAX_US, MIN_US, to_us
from throughline.kit.time_text import parse_time

EARLIEST_US = 946_684_800_000_000
"""2000-01-01T00:00:00Z. A time before it is a zero, an Excel serial or a wrong unit: nobody meant it."""
SKEW_US = 30_000_000
"""Maximum difference between a client's clock and ours that is no fault of the clock."""


def correct(client_us: int, sent_us: int | None, received_us: int) -> tuple[int, bool]:
    """Returns the instant at which an event happened, and whether the client's clock says that it lies in the future:
    then the instant is `received_us`.

    Raises:
        RejectedError: the corrected instant lies before the year 1.
    """
    if sent_us is not None and not 0 <= received_us - sent_us <= SKEW_US:
        waited_us = sent_us - client_us
        if waited_us < 0:
            return received_us, waited_us < -SKEW_US
        occurred_us = received_us - waited_us
        if occurred_us < MIN_US:
            reject("time_out_of_range", "timestamp", "the corrected time lies before the year 1; check sentAt")
        return occurred_us, False
    if client_us > received_us:
        return received_us, client_us - received_us > SKEW_US
    return client_us, False


def instant(value: datetime, field: str) -> int:
    """Returns a decoded time in microseconds; a time without a zone is UTC.

    Raises:
        RejectedError: in UTC, it lies outside the years 1-9999.
    """
    us = to_us(value)
    if not MIN_US <= us <= MAX_US:
        reject_out_of_range(field)
    return us


def parse(value: Any, field: str) -> datetime | None:
    """Returns a time as clients send it (`parse_time`); None for what is no time.

    Raises:
        RejectedError: a time outside the years 1-9999.
    """
    try:
        return parse_time(value)
    except OverflowError:
        reject_out_of_range(field)


def reject_out_of_range(field: str) -> NoReturn:
    """Reject an event for a time outside the years 1-9999.

    Raises:
        RejectedError: always.
    """
    reject("time_out_of_range", field, f"{field} lies outside the years 1-9999")
