"""Times as clients write them, and the instant at which an event happened. Pure; microseconds since the epoch, UTC.

A client's clock is corrected by the rule of Segment's spec, `receivedAt - (sentAt - originalTimestamp)`, but only when
`sentAt` and the time of receipt differ by more than `SKEW_US`: less is the time of transit.
"""

import math
import re
from datetime import datetime, timedelta
from typing import Any, NoReturn

from services.ingest.event.verdict import reject
from throughline.kit.clock import EPOCH, MAX_US, MIN_US, to_us

SKEW_US = 30_000_000
"""Maximum difference between a client's clock and ours that is no fault of the clock."""

_YEAR_OUT_OF_RANGE = re.compile(r"\s*([+-]\d{5,}-|-?0000-|\d{5,}-|-\d{4}-)")


def correct(client_us: int, sent_us: int | None, received_us: int) -> tuple[int, bool]:
    """Returns the instant at which an event happened, and whether the client's clock says that it lies in the future:
    then the instant is `received_us`.

    Raises:
        RejectedError: the corrected instant lies before the year 1.
    """
    if sent_us is not None and not -SKEW_US <= received_us - sent_us <= SKEW_US:
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
    """Returns a time as clients send it: ISO 8601 text, or a number of seconds since the epoch (from 1e11 on, of
    milliseconds). None for what is no time.

    Raises:
        RejectedError: a time outside the years 1-9999.
    """
    if isinstance(value, str):
        text = value.strip()
        if _YEAR_OUT_OF_RANGE.match(text):
            reject_out_of_range(field)
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = value / 1000 if abs(value) >= 1e11 else value
        return None if math.isnan(seconds) else EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        reject_out_of_range(field)


def reject_out_of_range(field: str) -> NoReturn:
    """Reject an event for a time outside the years 1-9999.

    Raises:
        RejectedError: always.
    """
    reject("time_out_of_range", field, f"{field} lies outside the years 1-9999")
