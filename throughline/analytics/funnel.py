"""Funnels out of kept sums: of those who came to the first step in a span, how many went on, how soon, and who is left.

The span says who enters, the window who converts. In every step

    cohort = reached + lapsed + ended + still

where `still` are those on the way. A rate counts only entries whose window has passed for the whole day of the entry
(*mature*); the others are shown beside it (*immature*), so the last days never look like a fall.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from throughline.analytics.intervals import Interval, wilson
from throughline.analytics.survival import Cohort, Curve, age_at, grouped, incidence
from throughline.journey.durations import DAY_US, HOUR_US
from throughline.journey.funnel import CYCLE, EDGES_US, ENDED, ENTERED, ENTRY, LAPSED, NEXT, REACHED

WINDOWS_US: Mapping[str, int] = {
    "1h": HOUR_US,
    **{f"{days}d": days * DAY_US for days in (1, 3, 7, 14, 30, 60, 90, 180, 365)},
}
"""Windows by name; each begins a bin of age, so that sums by bin say exactly who was within."""

ADVANCED = 0
"""The way of ending of those who came to a step, in curves of a step."""
SHARES_AT = ("1d", "7d", "30d", "90d")
QUARTILES = (0.25, 0.5, 0.75)


class Day(NamedTuple):
    """One day of entries."""

    start_us: int
    seen_us: int
    """Time from the end of the day until now: how long all of its entries have been seen."""


class Count(NamedTuple):
    """A sum of funnel cells: of one unit, under one filter."""

    day_us: int
    phase: int
    way: int
    age: int
    entries: int


class Within(NamedTuple):
    """Those who came to a step within the window, of those who had the time to."""

    mature: int
    reached: int
    rate: Interval | None
    """None when nobody had the time."""


class Time(NamedTuple):
    """How long the way to a step takes those who begin it, whether they arrive or not. Microseconds."""

    quartiles_us: tuple[float | None, ...]
    """Ages by which a quarter, half and three quarters of all have come; None when so many never do."""
    share_at: Mapping[str, float]
    """Age -> share of all that have come by then; ages that nobody has been seen for are absent."""


class Step(NamedTuple):
    """One step after the first. The numbers are of those who came to the first step in the span."""

    phase: int
    reached: int
    """Came to the phase or beyond."""
    entered: int | None
    """Entered the very phase; None of customers."""
    lapsed: int
    """Lapsed before they came. Of customers: silent now, and never came."""
    ended: int
    """Ended by a touchpoint before they came."""
    still: int
    """On the way."""
    within: Within
    of_previous: Within
    """The same, of those who came to the step before within the window."""
    time: Time


class Funnel(NamedTuple):
    """All steps for one set of entries."""

    cohort: int
    mature: int
    immature: int
    steps: tuple[Step, ...]


def funnel(
    counts: Iterable[Count], days: Sequence[Day], phases: Sequence[int], window_us: int | None, unit: int = CYCLE
) -> Funnel:
    """Returns the funnel of the entries of some days.

    Args:
        counts: of the first phase's entries, of the unit; other days and phases are left out.
        days: the span.
        phases: the steps, ascending; the first is where the cohort enters.
        window_us: one of `WINDOWS_US`; None: without an end, every entry is mature.
        unit: CYCLE or CUSTOMER. A customer's silence is no end, as it may come back.
    """
    sums = _Sums(counts, days, phases[0])
    mature_days = [day for day in days if window_us is None or window_us <= day.seen_us]
    last_bin = len(EDGES_US) if window_us is None else EDGES_US.index(window_us)
    cohort, mature = sums.entries(days), sums.entries(mature_days)
    steps: list[Step] = []
    before = mature
    for phase in phases[1:]:
        reached = sums.ways(days, REACHED + phase)
        lapsed = sum(sums.ways(days, LAPSED + earlier) for earlier in range(phase))
        ended = sum(sums.ways(days, ENDED + earlier) for earlier in range(phase))
        in_time = sums.ways(mature_days, REACHED + phase, last_bin)
        steps.append(
            Step(
                phase,
                reached,
                sums.ways(days, ENTERED + phase) if unit == CYCLE else None,
                lapsed,
                ended,
                cohort - reached - lapsed - ended,
                Within(mature, in_time, wilson(in_time, mature)),
                Within(before, in_time, wilson(in_time, before)),
                _time(sums.curve(days, phase, unit)),
            )
        )
        before = in_time
    return Funnel(cohort, mature, cohort - mature, tuple(steps))


class Spells(NamedTuple):
    """Stays in a phase, by their age."""

    entered: int
    at_risk: Sequence[int]
    """Number of those who could end in each bin."""
    curve: Curve


def spells(counts: Iterable[Count], days: Sequence[Day], phase: int) -> Spells:
    """Returns how stays in a phase end.

    The ways of ending are the numbers of the phases entered next, LAPSED and ENDED.
    """
    sums = _Sums(counts, days, phase)
    ways = {NEXT + later: later for later in range(phase + 1, 100)} | {LAPSED + phase: LAPSED, ENDED + phase: ENDED}
    bins = grouped(sums.cohorts(days, ways), EDGES_US)
    return Spells(sums.entries(days), [at_risk for at_risk, _ in bins], incidence(bins))


class _Sums:
    """Counts of the entries into one phase, by day, way on and age."""

    def __init__(self, counts: Iterable[Count], days: Sequence[Day], phase: int) -> None:
        starts = {day.start_us for day in days}
        self._days: dict[int, dict[int, dict[int, int]]] = {start_us: {} for start_us in starts}
        for day_us, of_phase, way, age, entries in counts:
            if of_phase == phase and day_us in starts:
                ages = self._days[day_us].setdefault(way, {})
                ages[age] = ages.get(age, 0) + entries

    def entries(self, days: Sequence[Day]) -> int:
        return self.ways(days, ENTRY)

    def ways(self, days: Sequence[Day], way: int, before_bin: int = len(EDGES_US)) -> int:
        """Number of entries that went on in one way, in a bin before `before_bin`."""
        return sum(
            count for day in days for age, count in self._days[day.start_us].get(way, {}).items() if age < before_bin
        )

    def cohorts(self, days: Sequence[Day], ways: Mapping[int, int]) -> list[Cohort]:
        """The entries of each day, and how they ended, with the ways on called as in `ways`."""
        cohorts: list[Cohort] = []
        for day in days:
            sums = self._days[day.start_us]
            ends: dict[tuple[int, int], int] = {}
            for way, end in ways.items():
                for age, count in sums.get(way, {}).items():
                    ends[end, age] = ends.get((end, age), 0) + count
            cohorts.append(Cohort(day.seen_us, sum(sums.get(ENTRY, {}).values()), ends))
        return cohorts

    def curve(self, days: Sequence[Day], phase: int, unit: int) -> Sequence[float]:
        """Share of the entries that have come to a phase or beyond, after each bin of age that has been seen."""
        ways = {REACHED + phase: ADVANCED}
        for earlier in range(phase) if unit == CYCLE else ():
            ways |= {LAPSED + earlier: LAPSED, ENDED + earlier: ENDED}
        curves = incidence(grouped(self.cohorts(days, ways), EDGES_US))
        return curves.incidence.get(ADVANCED, (0.0,) * len(curves.survival))


def _time(curve: Sequence[float]) -> Time:
    quartiles = tuple(age_at(share, curve, EDGES_US) for share in QUARTILES)
    ends = {name: EDGES_US.index(WINDOWS_US[name]) - 1 for name in SHARES_AT}
    return Time(quartiles, {name: curve[number] for name, number in ends.items() if number < len(curve)})
