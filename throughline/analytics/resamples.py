"""Bootstrap intervals: each row of paths counts as often as a Poisson number says, many times over, from one seed."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

RESAMPLES = 200
"""Number of times."""
_LARGE = 1_000
"""From so many on, the number is drawn from a normal distribution."""


def resampled(counts: Sequence[int], dice: random.Random) -> list[int]:
    """Returns a Poisson number for each count, with that mean."""
    places: dict[int, list[int]] = {}
    for place, count in enumerate(counts):
        places.setdefault(count, []).append(place)
    drawn = [0] * len(counts)
    for count, of_count in places.items():
        if count >= _LARGE:
            numbers = [max(0, round(dice.gauss(count, math.sqrt(count)))) for _ in of_count]
        elif count:
            cumulative = _cumulative(count)
            numbers = dice.choices(range(len(cumulative)), cum_weights=cumulative, k=len(of_count))
        else:
            continue
        for place, number in zip(of_count, numbers, strict=True):
            drawn[place] = number
    return drawn


@lru_cache(1024)
def _cumulative(mean: int) -> tuple[float, ...]:
    last = mean + 12 * math.isqrt(mean) + 12
    return tuple(accumulate(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(last)))


def intervals(
    counts: Sequence[int],
    compute: Callable[[Sequence[int]], Mapping[str, float] | None],
    *,
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> dict[str, tuple[float, float]]:
    """Returns, for each name, the bounds between which 95 % of the resamples lie.

    Args:
        counts: of each row.
        compute: the numbers by name of other counts of the rows; None: there are none of these counts.
        resamples: the number of resamples.
        seed: the same seed gives the same bounds.
    """
    dice = random.Random(seed)
    samples: dict[str, list[float]] = {}
    taken = 0
    for numbers in _computed(counts, compute, resamples, dice):
        taken += 1
        for name, number in numbers.items():
            samples.setdefault(name, []).append(number)
    bounds = {}
    for name, values in samples.items():
        ordered = sorted([*values, *[0.0] * (taken - len(values))])
        bounds[name] = (_quantile(ordered, 0.025), _quantile(ordered, 0.975))
    return bounds


def _computed(
    counts: Sequence[int],
    compute: Callable[[Sequence[int]], Mapping[str, float] | None],
    resamples: int,
    dice: random.Random,
) -> Iterator[Mapping[str, float]]:
    for _ in range(resamples):
        numbers = compute(resampled(counts, dice))
        if numbers is not None:
            yield numbers


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
