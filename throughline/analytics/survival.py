"""How long something takes when it can end in several ways, or has not ended yet.

The estimator is Aalen and Johansen's for competing risks, grouped into bins of age; with one way to end it is one less
Kaplan and Meier's. Only those whose whole bin has been seen are at risk in it, so nobody is judged before the time.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import NamedTuple


class Bin(NamedTuple):
    """One bin of age: who could end in it, and how many did, by the way they ended."""

    at_risk: int
    ends: Mapping[int, int]


class Curve(NamedTuple):
    """The shares after each bin, in order. In every bin `survival` and all of `incidence` add up to 1."""

    survival: tuple[float, ...]
    """Share not ended."""
    incidence: Mapping[int, tuple[float, ...]]
    """Way of ending -> share that ended so (cumulative incidence)."""
    survival_error: tuple[float, ...]
    """Standard error of `survival` (Greenwood's formula)."""


class Cohort(NamedTuple):
    """Those who began on one day."""

    seen_us: int
    """How long all of them have been seen: from the end of the day until now. Not above 0: not at all."""
    entries: int
    ends: Mapping[tuple[int, int], int]
    """(way of ending, number of the bin) -> how many ended so."""


def grouped(cohorts: Sequence[Cohort], edges_us: Sequence[int]) -> list[Bin]:
    """Returns bins of age over cohorts that have been seen for different lengths of time.

    Args:
        cohorts: by day.
        edges_us: ages at which bins begin, ascending from 0. The last bin has no end, so nobody has been seen for all
            of it, and it is left out. A cohort counts in the bins that end before `seen_us`, in others it is censored.
    """
    at_risk = [0] * (len(edges_us) - 1)
    ends: list[dict[int, int]] = [{} for _ in at_risk]
    for cohort in cohorts:
        seen = bisect_right(edges_us, cohort.seen_us) - 1
        ended = [0] * len(edges_us)
        for (way, number), count in cohort.ends.items():
            ended[number] += count
            if number < seen:
                ends[number][way] = ends[number].get(way, 0) + count
        remaining = cohort.entries
        for number in range(seen):
            at_risk[number] += remaining
            remaining -= ended[number]
    return [Bin(*each) for each in zip(at_risk, ends, strict=True)]


def incidence(bins: Sequence[Bin]) -> Curve:
    """Returns the Aalen-Johansen estimate. It ends before the first bin with nobody at risk: the rest is unknown."""
    survival = 1.0
    variance_sum = 0.0
    ways = sorted({way for _, ends in bins for way in ends})
    shares = dict.fromkeys(ways, 0.0)
    survivals: list[float] = []
    errors: list[float] = []
    curves: dict[int, list[float]] = {way: [] for way in ways}
    for at_risk, ends in bins:
        if at_risk <= 0:
            break
        ended = sum(ends.values())
        for way in ways:
            shares[way] += survival * ends.get(way, 0) / at_risk
            curves[way].append(shares[way])
        # Greenwood's sum is infinite once all have ended; the share is 0 then, and so is its error.
        if at_risk > ended:
            variance_sum += ended / (at_risk * (at_risk - ended))
            survival *= 1 - ended / at_risk
        else:
            survival = 0.0
        survivals.append(survival)
        errors.append(survival * sqrt(variance_sum))
    return Curve(tuple(survivals), {way: tuple(curve) for way, curve in curves.items()}, tuple(errors))


def age_at(share: float, curve: Sequence[float], edges_us: Sequence[int]) -> float | None:
    """Returns the age in microseconds at which a cumulative share is reached; None when it never is.

    Within a bin the share is taken to rise evenly. Never the quantile of those who ended: they are the quick ones.
    """
    before = 0.0
    for number, after in enumerate(curve):
        if after >= share:
            start, end = edges_us[number], edges_us[number + 1]
            rise = after - before
            return float(start) if rise <= 0 else start + (end - start) * (share - before) / rise
        before = after
    return None
