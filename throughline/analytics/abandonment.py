"""How many of those who came to a phase lapsed there, against a baseline. Pure sums of funnel cells.

In every row entered = advanced + lapsed + ended + still. A rate counts only entries whose window has passed for the
whole day of the entry, as of funnels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from throughline.analytics.funnel import WINDOWS_US, Count, Day
from throughline.analytics.intervals import Interval, newcombe, wilson
from throughline.journey.funnel import EDGES_US, ENDED, ENTRY, LAPSED, NEXT


class Stays(NamedTuple):
    """Stays in a phase, by how they ended."""

    entered: int
    advanced: Mapping[int, int]
    """Phase entered next -> how many."""
    lapsed: int
    ended: int
    """Ended by a touchpoint."""
    mature: int
    """Entries whose window has passed for their whole day."""
    lapsed_within: int
    """Of the mature, those who lapsed within the window."""

    @property
    def still(self) -> int:
        """Number of those who are there."""
        return self.entered - sum(self.advanced.values()) - self.lapsed - self.ended

    @property
    def rate(self) -> Interval | None:
        """Share of the mature that lapsed within the window; None without a mature entry."""
        return wilson(self.lapsed_within, self.mature)


class Against(NamedTuple):
    """A rate against a baseline."""

    mature: int
    lapsed_within: int
    difference: Interval | None
    """The rate less that of the baseline; None: one of the two has none."""

    @property
    def rate(self) -> Interval | None:
        """The baseline's rate."""
        return wilson(self.lapsed_within, self.mature)

    @property
    def is_shown(self) -> bool:
        """Whether the numbers show a difference: its interval does not hold 0."""
        return self.difference is not None and not self.difference.low <= 0 <= self.difference.high


def window_of(phase_window_us: int) -> str | None:
    """Returns the name of the shortest window in which one can lapse and also go on; None: longer than all of them."""
    return next((name for name, us in WINDOWS_US.items() if us > phase_window_us), None)


def bins_of(window_us: int | None) -> Sequence[int]:
    """Returns the bins of age that begin what `stays` tells apart: within the window, and later."""
    return (0,) if window_us is None else (0, EDGES_US.index(window_us))


def ways_of(phase: int, phases: int) -> Sequence[int]:
    """Returns the ways on that `stays` counts, of stays in a phase of a model with so many."""
    return (ENTRY, *range(NEXT + 1, NEXT + phases + 1), LAPSED + phase, ENDED + phase)


def stays(counts: Iterable[Count], days: Sequence[Day], phase: int, window_us: int | None) -> Stays:
    """Returns the stays in a phase that began in some days.

    Args:
        counts: of cycles; those of other days and phases are left out.
        days: the span.
        phase: where the stays are.
        window_us: one of `WINDOWS_US`; None: without an end, every entry is mature.
    """
    is_mature = {day.start_us: window_us is None or window_us <= day.seen_us for day in days}
    last_bin = len(EDGES_US) if window_us is None else EDGES_US.index(window_us)
    entered = lapsed = ended = mature = lapsed_within = 0
    advanced: dict[int, int] = {}
    for day_us, of_phase, way, age, entries in counts:
        if of_phase != phase or day_us not in is_mature:
            continue
        if way == ENTRY:
            entered += entries
            mature += entries * is_mature[day_us]
        elif way == LAPSED + phase:
            lapsed += entries
            lapsed_within += entries * (is_mature[day_us] and age < last_bin)
        elif way == ENDED + phase:
            ended += entries
        elif NEXT < way < LAPSED:
            advanced[way - NEXT] = advanced.get(way - NEXT, 0) + entries
    return Stays(entered, dict(sorted(advanced.items())), lapsed, ended, mature, lapsed_within)


def against(part: Stays, mature: int, lapsed_within: int) -> Against:
    """Returns how a part differs from a baseline of mature entries and how many of these lapsed in time."""
    return Against(mature, lapsed_within, newcombe(part.lapsed_within, part.mature, lapsed_within, mature))


def against_others(part: Stays, total: Stays) -> Against:
    """Returns how a part differs from all others of the total."""
    return against(part, total.mature - part.mature, total.lapsed_within - part.lapsed_within)
