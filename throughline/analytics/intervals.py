"""Intervals of shares and of their differences.

Wilson's score interval for a share; Newcombe's hybrid score interval for a difference (R. G. Newcombe, Statistics in
Medicine 17, 1998, method 10 of the second paper). Both stay within what is possible, also for few and for none.
"""

from math import sqrt
from typing import NamedTuple

Z95 = 1.959963984540054
"""The standard normal quantile of a two-sided interval of 95 %."""


class Interval(NamedTuple):
    """An estimate and the bounds of its interval."""

    estimate: float
    low: float
    high: float


def wilson(successes: int, trials: int, z: float = Z95) -> Interval | None:
    """Returns the share of successes with Wilson's score interval; None without a trial.

    Raises:
        ValueError: the number of successes is not between 0 and the number of trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes have to be from 0 to {trials}, not {successes}")
    if trials == 0:
        return None
    share = successes / trials
    z_squared = z * z
    centre = share + z_squared / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z_squared / (4 * trials * trials))
    scale = 1 + z_squared / trials
    # At none and at all, the bound is 0 and 1 exactly, which rounding would miss.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return Interval(share, low, high)


def newcombe(successes: int, trials: int, other_successes: int, other_trials: int, z: float = Z95) -> Interval | None:
    """Returns the first share less the other one with Newcombe's interval; None when one of them has no trial.

    A difference whose interval holds 0 is not shown by these numbers.
    """
    first, other = wilson(successes, trials, z), wilson(other_successes, other_trials, z)
    if first is None or other is None:
        return None
    difference = first.estimate - other.estimate
    below = sqrt((first.estimate - first.low) ** 2 + (other.high - other.estimate) ** 2)
    above = sqrt((first.high - first.estimate) ** 2 + (other.estimate - other.low) ** 2)
    return Interval(difference, difference - below, difference + above)
