"""Bootstrap intervals: the same seed gives the same, and they hold what they are about."""

import random
from collections.abc import Sequence
from statistics import mean

import pytest

from throughline.analytics.resamples import intervals, resampled


def test_counts_are_drawn_around_themselves() -> None:
    dice = random.Random(3)
    counts = [0, 1, 5, 400, 5_000]
    drawn = [resampled(counts, dice) for _ in range(400)]
    for place, count in enumerate(counts):
        numbers = [each[place] for each in drawn]
        assert mean(numbers) == pytest.approx(count, abs=4 * (count / 400) ** 0.5)
        assert mean((number - count) ** 2 for number in numbers) == pytest.approx(count, rel=0.4)


def test_intervals_hold_the_number_and_come_again() -> None:
    counts = [30, 70]

    def share(weights: Sequence[int]) -> dict[str, float] | None:
        first, second = weights
        return {"first": first / (first + second)} if first + second else None

    bounds = intervals(counts, share)
    low, high = bounds["first"]
    assert 0.18 < low < 0.3 < high < 0.42
    assert intervals(counts, share) == bounds
    assert intervals([0, 0], share) == {}
