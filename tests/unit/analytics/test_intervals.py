"""Intervals against published examples (R. G. Newcombe 1998) and what must hold for any numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.analytics.intervals import newcombe, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert interval is not None
    assert interval.estimate == successes / trials
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("numbers", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
    ],
)
def test_newcombe(numbers: tuple[int, int, int, int], low: float, high: float) -> None:
    interval = newcombe(*numbers)
    assert interval is not None
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_without_a_trial_nothing_is_said() -> None:
    assert wilson(0, 0) is None
    assert newcombe(0, 0, 1, 2) is None
    assert newcombe(1, 2, 0, 0) is None


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3)])
def test_impossible_numbers_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes have to be from 0 to 3"):
        wilson(successes, trials)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_intervals_hold_their_estimate_and_stay_possible(hits: int, others: int, misses: int, rest: int) -> None:
    share = wilson(hits, hits + misses)
    assert share is not None
    assert 0 <= share.low <= share.estimate <= share.high <= 1
    difference = newcombe(hits, hits + misses, others, others + rest)
    assert difference is not None
    assert -1 <= difference.low <= difference.estimate <= difference.high <= 1
    turned = newcombe(others, others + rest, hits, hits + misses)
    assert turned is not None
    assert (turned.low, turned.high) == pytest.approx((-difference.high, -difference.low), abs=1e-12)
