"""Who brought whom: codes, their owners, and the forest of customers that they make. Pure.

A code belongs to the customer who claimed it first. A customer is brought by the first code that it came with before
its first order. Its own code brings nobody, and of a ring the last edge is cut.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from math import exp, log, sqrt
from typing import NamedTuple

from throughline.analytics.intervals import Z95, Interval
from throughline.analytics.survival import Cohort, Curve, age_at, grouped, incidence
from throughline.journey.funnel import EDGES_US


class Arrival(NamedTuple):
    """The first code with which a customer came."""

    at_us: int
    customer: bytes
    code: str


class Referral(NamedTuple):
    """That one customer brought another one."""

    at_us: int
    customer: bytes
    advocate: bytes
    code: str


class Network(NamedTuple):
    """All referrals, in order, and the arrivals that are none."""

    referrals: list[Referral]
    unclaimed: list[Arrival]
    """Came with a code that nobody has claimed."""
    self_referred: list[Arrival]
    """Came with a code of their own."""
    rings: list[Arrival]
    """Were brought by somebody whom they had brought, or whom those had."""


def network(owners: Mapping[str, bytes], arrivals: Iterable[Arrival]) -> Network:
    """Returns who brought whom.

    Args:
        owners: code -> the customer who claimed it first.
        arrivals: one of each customer, in any order.
    """
    result = Network([], [], [], [])
    top: dict[bytes, bytes] = {}
    for arrival in sorted(arrivals):
        advocate = owners.get(arrival.code)
        if advocate is None:
            result.unclaimed.append(arrival)
        elif advocate == arrival.customer:
            result.self_referred.append(arrival)
        elif _first_advocate(top, advocate) == arrival.customer:
            result.rings.append(arrival)
        else:
            top[arrival.customer] = advocate
            result.referrals.append(Referral(arrival.at_us, arrival.customer, advocate, arrival.code))
    return result


def _first_advocate(top: dict[bytes, bytes], customer: bytes) -> bytes:
    """The customer from whom a chain of referrals starts; paths are halved on the way, so that chains stay short."""
    while (advocate := top.get(customer)) is not None:
        further = top.get(advocate)
        if further is None:
            return advocate
        top[customer] = further
        customer = further
    return customer


class Quartiles(NamedTuple):
    """Ages in microseconds that a quarter, half and three quarters of all have come to; None: so many never do."""

    p25: float | None
    p50: float | None
    p75: float | None


Spells = Mapping[tuple[int, int | None], int]
"""(number of the bin until which somebody has been seen, number of the bin in which it ended; None: not yet) -> how
many."""


def bins_of(spells: Iterable[tuple[int, int | None]], now_us: int) -> dict[tuple[int, int | None], int]:
    """Returns spells by bins of age: of each when it began, and when it ended."""
    counts: dict[tuple[int, int | None], int] = {}
    for started_us, ended_us in spells:
        seen = _bin(now_us - started_us)
        key = (seen, None if ended_us is None else _bin(ended_us - started_us))
        counts[key] = counts.get(key, 0) + 1
    return counts


def _bin(age_us: int) -> int:
    return bisect_right(EDGES_US, max(0, age_us)) - 1


def _curve(spells: Spells) -> Curve:
    cohorts: dict[int, Cohort] = {}
    for (seen, ended), number in spells.items():
        before = cohorts.get(seen, Cohort(EDGES_US[seen], 0, {}))
        ends = dict(before.ends)
        if ended is not None:
            ends[1, ended] = ends.get((1, ended), 0) + number
        cohorts[seen] = before._replace(entries=before.entries + number, ends=ends)
    return incidence(grouped([*cohorts.values()], EDGES_US))


class Compared(NamedTuple):
    """The shares of two groups that have ended within a time, however long each of them has been seen."""

    within_us: int
    """The time, or as much of it as both groups have been seen."""
    first: Interval
    other: Interval
    difference: Interval


def compared(first: Spells, other: Spells, window_us: int | None) -> Compared | None:
    """Returns what Kaplan and Meier say of two groups; None: one of them has not been seen for a bin of age.

    Intervals are of 95 %, by Greenwood's variance of the logarithm's logarithm; of the difference Newcombe's of these.
    """
    curves = _curve(first), _curve(other)
    last = len(EDGES_US) - 1 if window_us is None else EDGES_US.index(window_us)
    bins = min(last, *(len(curve.survival) for curve in curves))
    if not bins:
        return None
    one, two = (_share(curve, bins - 1) for curve in curves)
    difference = one.estimate - two.estimate
    below = sqrt((one.estimate - one.low) ** 2 + (two.high - two.estimate) ** 2)
    above = sqrt((one.high - one.estimate) ** 2 + (two.estimate - two.low) ** 2)
    return Compared(EDGES_US[bins], one, two, Interval(difference, difference - below, difference + above))


def _share(curve: Curve, at: int) -> Interval:
    survival, error = curve.survival[at], curve.survival_error[at]
    if not 0 < survival < 1:
        return Interval(1 - survival, 1 - survival, 1 - survival)
    spread = exp(Z95 * error / (survival * log(survival)))
    return Interval(1 - survival, 1 - survival**spread, 1 - survival ** (1 / spread))


def cycle_time(spells: Iterable[tuple[int, int | None]], now_us: int) -> Quartiles:
    """Returns how long it takes from a share to the order that it led to, of all who came, not only of buyers.

    Args:
        spells: of each customer, when the code was shared, and when it ordered first; None: it has not yet.
        now_us: until when all is known.
    """
    curve = _curve(bins_of(spells, now_us)).incidence.get(1, ())
    return Quartiles(*(age_at(share, curve, EDGES_US) for share in (0.25, 0.5, 0.75)))
