"""Differences within strata, against published numbers and against the sums written out."""

import random
from math import sqrt

import pytest

from throughline.analytics.strata import Stratum, difference_in_strata, shown

BERKELEY = [
    Stratum(825, 512, 108, 89),
    Stratum(560, 353, 25, 17),
    Stratum(325, 120, 593, 202),
    Stratum(417, 138, 375, 131),
    Stratum(191, 53, 393, 94),
    Stratum(373, 22, 341, 24),
]
"""Admissions to Berkeley, 1973, by department: men and women who applied and were admitted (R's UCBAdmissions)."""


def test_within_departments_berkeley_shows_no_difference() -> None:
    result = difference_in_strata(BERKELEY)
    assert result.interval is not None
    assert result.interval.low < 0 < result.interval.high
    # R: mantelhaen.test(UCBAdmissions, correct = FALSE): X-squared 1.5246, p 0.2169.
    assert result.p == pytest.approx(0.2169, abs=5e-4)
    # All departments together, men seem to be preferred by 14 points.
    together = [Stratum(*(sum(department[n] for department in BERKELEY) for n in range(4)))]
    whole = difference_in_strata(together)
    assert whole.interval is not None
    assert whole.interval.estimate == pytest.approx(0.1416, abs=1e-4)
    assert whole.interval.low > 0.11


def test_one_stratum_is_the_plain_difference() -> None:
    result = difference_in_strata([Stratum(80, 48, 80, 56)])
    assert result.interval is not None
    assert result.interval.estimate == pytest.approx(-0.1)
    error = sqrt(0.6 * 0.4 / 80 + 0.7 * 0.3 / 80)
    assert result.interval.high - result.interval.estimate == pytest.approx(1.959964 * error, abs=1e-6)


def test_small_strata_are_dropped_and_counted() -> None:
    strata = [Stratum(2, 2, 2, 0), Stratum(0, 0, 0, 0), Stratum(10, 5, 10, 5), Stratum(0, 0, 9, 3)]
    result = difference_in_strata(strata)
    assert (result.used, result.dropped) == (2, 1)
    assert result.interval is not None
    assert result.interval.estimate == 0
    assert difference_in_strata([Stratum(0, 0, 9, 3)]).interval is None
    assert difference_in_strata([]).p is None


def test_strata_in_which_nobody_differs_have_no_chance() -> None:
    assert difference_in_strata([Stratum(10, 10, 10, 10)]).p is None


def test_the_interval_covers_the_difference_nineteen_times_in_twenty() -> None:
    dice = random.Random(7)
    covered = 0
    for _ in range(1_000):
        strata = []
        for base in [0.2, 0.4, 0.6] * 10:
            hits = sum(dice.random() < base - 0.15 for _ in range(4))
            strata.append(Stratum(4, hits, 8, sum(dice.random() < base for _ in range(8))))
        interval = difference_in_strata(strata).interval
        assert interval is not None
        covered += interval.low <= -0.15 <= interval.high
    assert 930 <= covered <= 970


def test_of_many_differences_few_false_ones_are_shown() -> None:
    # Benjamini and Hochberg 1995, their example: the first four of fifteen.
    chances = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
        0.7590, 1.0,
    ]  # fmt: skip
    assert shown(chances) == [True] * 4 + [False] * 11
    assert shown([None, 0.04]) == [False, True]
    assert shown([]) == []
