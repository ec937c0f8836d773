"""The days of a question to kept sums: from which to which, in the workspace's time zone."""

from bisect import bisect_right
from datetime import tzinfo
from itertools import groupby
from typing import Annotated, NamedTuple, TypedDict

import msgspec
from msgspec import Meta
from pydantic import Field

from services.api.shared.answers import Answer, HistoryFrom, Instant, ModelName, SettledUntil, instant
from services.api.shared.parameters import CustomerParameters, InstantText, parse_optional_instant
from services.api.shared.steps import ceiling, next_start, starts
from services.api.shared.workspace import LiveModel
from throughline.analytics.funnel import Day
from throughline.journey.durations import DAY_US, HOUR_US
from throughline.journey.funnel import EDGES_US
from throughline.journey.rollup import floor
from throughline.kit.clock import rfc3339, to_datetime
from throughline.kit.errors import ServiceError

DEFAULT_DAYS = 30
MAX_DAYS = 400


class SpanParameters(CustomerParameters):
    """Which customers, and which days of entry."""

    from_: InstantText | None = Field(
        None,
        alias="from",
        description="the first day is the one that holds this instant (RFC 3339); without it there are "
        f"{DEFAULT_DAYS} days",
    )
    to: InstantText | None = Field(
        None,
        description=f"days that begin before this instant; without it up to today. At most {MAX_DAYS} days",
    )


class OfDays(Answer):
    """What all answers of a model about some days have."""

    model: ModelName
    time_zone: Annotated[str, Meta(description="in which days begin", examples=["Europe/Berlin"])]
    from_: Instant = msgspec.field(name="from")
    to: Instant
    settled_until: SettledUntil
    history_from: HistoryFrom


class DaysFields(TypedDict):
    """The fields of `OfDays`."""

    model: str
    time_zone: str
    from_: str
    to: str
    settled_until: str | None
    history_from: str | None


class Days(NamedTuple):
    """Consecutive days: the start of each, and the end of the last."""

    starts: tuple[int, ...]
    end_us: int

    @property
    def from_us(self) -> int:
        """The start of the first day."""
        return self.starts[0] if self.starts else self.end_us

    def seen_until(self, now_us: int) -> list[Day]:
        """Returns the days with how long all of each has been seen at an instant."""
        ends = (*self.starts[1:], self.end_us)
        return [Day(start_us, now_us - end_us) for start_us, end_us in zip(self.starts, ends, strict=True)]

    def mature_until(self, now_us: int, window_us: int | None) -> int:
        """Returns the end of the last day whose entries have all been seen for a window; None: without an end."""
        ends = (*self.starts[1:], self.end_us)
        if window_us is None:
            return self.end_us
        return max((end_us for end_us in ends if window_us <= now_us - end_us), default=self.from_us)

    def alike(self, now_us: int) -> "Days":
        """Returns the days in groups that answers need not tell apart: all of a group have been seen for the same bins
        of age. However long the span, there are few."""
        seen = [bisect_right(EDGES_US, day.seen_us) for day in self.seen_until(now_us)]
        first = [number for number in range(len(seen)) if number == 0 or seen[number] != seen[number - 1]]
        return Days(tuple(self.starts[number] for number in first), self.end_us)

    def by_maturity(self, now_us: int, window_us: int | None) -> "Days":
        """Returns the days in two groups at most: those that `mature_until` ends, and the others."""
        starts = sorted({self.from_us, self.mature_until(now_us, window_us)} - {self.end_us})
        return Days(tuple(starts), self.end_us)

    def before(self, zone: tzinfo) -> "Days":
        """Returns as many days that end where these begin."""
        start_us = self.from_us
        for _ in self.starts:
            start_us = floor("day", start_us - 1, zone)
        return Days(tuple(starts("day", start_us, self.from_us, zone)), self.from_us)


def of_days(live: LiveModel, days: Days) -> DaysFields:
    """Returns what an answer has of its model and days."""
    return {
        "model": live.model.name,
        "time_zone": live.workspace.time_zone,
        "from_": rfc3339(days.from_us),
        "to": rfc3339(days.end_us),
        "settled_until": instant(live.workspace.applied_watermark_us),
        "history_from": instant(live.workspace.retention_cutoff_us),
    }


def find_days(from_us: int | None, to_us: int | None, *, now_us: int, zone: tzinfo) -> Days:
    """Returns the days that hold a span.

    Args:
        from_us: the first day holds it; None: `DEFAULT_DAYS` days before the end.
        to_us: days that begin before it; None: up to and with the day of `now_us`.
        now_us: the applied watermark.
        zone: in which days begin.

    Raises:
        ServiceError: 400 `invalid_parameter`: the span is empty, or longer than `MAX_DAYS` days.
    """
    end_us = next_start("day", now_us, zone) if to_us is None else ceiling("day", to_us, zone)
    if from_us is None:
        start_us = end_us
        for _ in range(DEFAULT_DAYS):
            start_us = floor("day", start_us - 1, zone)
    else:
        start_us = floor("day", from_us, zone)
    if start_us >= end_us:
        raise ServiceError(
            400, "invalid_parameter", f"from: {rfc3339(start_us)} is not before to, {rfc3339(end_us)}", field="from"
        )
    if end_us - start_us > MAX_DAYS * DAY_US + HOUR_US:
        raise ServiceError(400, "invalid_parameter", f"from: a span has at most {MAX_DAYS} days", field="from")
    return Days(tuple(starts("day", start_us, end_us, zone)), end_us)


def read_days(live: LiveModel, parameters: SpanParameters) -> tuple[Days, int]:
    """Returns the days of a question, and the applied watermark.

    Raises:
        ServiceError: 400 `invalid_parameter`; 409 `restage_needed`.
    """
    if not live.generation.has_funnels:
        raise ServiceError(
            409,
            "restage_needed",
            f"the journeys of {live.generation.name} are older than funnels: "
            f"throughline restage --model {live.generation.name}",
        )
    now_us = live.workspace.applied_watermark_us or 0
    from_us = parse_optional_instant(parameters.from_, "from")
    to_us = parse_optional_instant(parameters.to, "to")
    return find_days(from_us, to_us, now_us=now_us, zone=live.zone), now_us


def require_conversions(live: LiveModel) -> None:
    """See that orders and their money are kept of a generation.

    Raises:
        ServiceError: 409 `restage_needed`.
    """
    if not live.generation.has_conversions:
        raise ServiceError(
            409,
            "restage_needed",
            f"the journeys of {live.generation.name} are older than attribution: "
            f"throughline restage --model {live.generation.name}",
        )


def require_trails(live: LiveModel) -> None:
    """See that transitions of a generation say what came before them.

    Raises:
        ServiceError: 409 `restage_needed`.
    """
    if not live.generation.has_trails:
        raise ServiceError(
            409,
            "restage_needed",
            f"the journeys of {live.generation.name} are older than what is kept of visits and kinds: "
            f"throughline restage --model {live.generation.name}",
        )


def in_calendar(days: Days, step: str, zone: tzinfo) -> list[Days]:
    """Returns the days in groups of a day, a week or a month of the calendar; the first and last may be cut."""
    ends = (*days.starts[1:], days.end_us)
    groups: list[Days] = []
    for _, group in groupby(zip(days.starts, ends, strict=True), key=lambda day: _calendar(day[0], step, zone)):
        pairs = list(group)
        groups.append(Days(tuple(start_us for start_us, _ in pairs), pairs[-1][1]))
    return groups


def _calendar(day_us: int, step: str, zone: tzinfo) -> tuple[int, ...]:
    local = to_datetime(day_us).astimezone(zone)
    if step == "week":
        return local.isocalendar()[:2]
    return (local.year, local.month) if step == "month" else (local.year, local.month, local.day)
