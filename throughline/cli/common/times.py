"""Spans and instants as people write them in options."""

import re
from datetime import UTC, datetime

from throughline.cli.common.output import fail
from throughline.cli.common.status import Status
from throughline.kit.clock import to_us

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def parse_span_us(text: str) -> int:
    """Microseconds of a span such as 90s, 30m, 24h or 7d.

    Raises:
        ValueError: the text is no span.
    """
    span = _SPAN.fullmatch(text)
    if span is None:
        raise ValueError(f"{text!r} is not a span of time; write it like 90s, 30m, 24h or 7d")
    return int(span[1]) * _UNIT_US[span[2]]


def parse_instant_us(text: str, now_us: int) -> int:
    """The instant of a span before now, or of an ISO 8601 time (UTC unless it names a zone).

    Raises:
        ValueError: the text is neither.
    """
    if _SPAN.fullmatch(text):
        return now_us - parse_span_us(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a span such as 90s, 30m, 2h or 7d nor an ISO 8601 time") from None
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def instant_option_us(option: str, text: str | None, now_us: int) -> int | None:
    """`parse_instant_us` of an option; None when it is left out. Ends the command when it is wrong."""
    try:
        return None if text is None else parse_instant_us(text, now_us)
    except ValueError as error:
        fail(f"{option}: {error}", Status.WRONG_USE)
