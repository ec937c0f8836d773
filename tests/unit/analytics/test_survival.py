"""Curves of time against classic data: Freireich's remissions, and a public example of competing risks."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.visits_shop import shop_events
from throughline.analytics.survival import Bin, Cohort, age_at, grouped, incidence
from throughline.journey.durations import DAY_US
from throughline.kit.clock import to_us

RELAPSED = (6, 6, 6, 7, 10, 13, 16, 22, 23)
CENSORED = (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)
"""Weeks of remission under 6-MP (Freireich et al. 1963)."""
PLACEBO = (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)


def exact_bins(ended: Sequence[tuple[int, int]], censored: Sequence[int] = ()) -> tuple[list[int], list[Bin]]:
    """(time, cause) of those who ended -> the distinct times, and a bin for each of them."""
    times = sorted({time for time, _ in ended})
    bins = []
    for time in times:
        at_risk = sum(end >= time for end, _ in ended) + sum(end >= time for end in censored)
        bins.append(Bin(at_risk, Counter(cause for end, cause in ended if end == time)))
    return times, bins


def test_kaplan_meier_of_freireichs_remissions() -> None:
    times, bins = exact_bins([(week, 1) for week in RELAPSED], CENSORED)
    curve = incidence(bins)
    assert times == [6, 7, 10, 13, 16, 22, 23]
    assert [round(share, 4) for share in curve.survival] == [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    assert [round(error, 4) for error in curve.survival_error] == [
        0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346,
    ]  # fmt: skip
    median = next(time for time, share in zip(times, curve.survival, strict=True) if share <= 0.5)
    assert median == 23  # that of the relapsed alone is 10
    times, bins = exact_bins([(week, 1) for week in PLACEBO])
    assert next(time for time, share in zip(times, incidence(bins).survival, strict=True) if share <= 0.5) == 8


def test_competing_risks_add_up_to_one() -> None:
    causes = (1, 1, 2, 0, 1, 2, 1, 0)
    ended = [(time, cause) for time, cause in enumerate(causes, start=1) if cause]
    censored = [time for time, cause in enumerate(causes, start=1) if not cause]
    _, bins = exact_bins(ended, censored)
    curve = incidence(bins)
    last = (curve.incidence[1][-1], curve.incidence[2][-1], curve.survival[-1])
    assert last == pytest.approx((0.5625, 0.28125, 0.15625))


@pytest.mark.parametrize(("hours", "mean", "median"), [((1, 2, 2), 6_000, 7_200), ((2, 1), 5_400, None)])
def test_posthogs_times_of_conversion(hours: Sequence[int], mean: int, median: int | None) -> None:
    """Where everybody arrives, the mean is the area below the curve of those who have not yet."""
    times, bins = exact_bins([(hour * 3_600, 1) for hour in hours])
    survival = (1.0, *incidence(bins).survival)
    assert sum(share * (end - start) for share, (start, end) in zip(survival, pairwise((0, *times)), strict=False)) == (
        pytest.approx(mean)
    )
    if median is not None:
        assert next(time for time, share in zip(times, survival[1:], strict=True) if share <= 0.5) == median


def test_the_shop_of_six_customers() -> None:
    """Discovery to decision: at 0, 2 and 2 days; one lapse at 30; one seen for 10 days only."""
    _, bins = exact_bins([(0, 1), (2, 1), (2, 1), (30, 2)], [10])
    curve = incidence(bins)
    assert [round(share, 10) for share in curve.incidence[1]] == [0.2, 0.6, 0.6]
    assert round(curve.incidence[2][-1], 10) == 0.4
    assert curve.survival[-1] == 0


def test_a_cohort_counts_only_in_bins_that_have_been_seen_whole() -> None:
    edges_us = (0, 10, 20, 40)
    old = Cohort(seen_us=40, entries=10, ends={(1, 0): 2, (1, 2): 3, (9, 1): 1})
    young = Cohort(seen_us=15, entries=100, ends={(1, 0): 50, (1, 1): 7})
    today = Cohort(seen_us=-5, entries=1_000, ends={(1, 0): 900})
    assert grouped([old, young, today], edges_us) == [Bin(110, {1: 52}), Bin(8, {9: 1}), Bin(7, {1: 3})]


def test_an_age_is_read_off_the_curve_of_all() -> None:
    edges_us = (0, 10, 20, 40)
    assert age_at(0.5, (0.25, 0.5, 0.75), edges_us) == 20
    assert age_at(0.625, (0.25, 0.5, 0.75), edges_us) == 30
    assert age_at(0.1, (0.25, 0.5, 0.75), edges_us) == pytest.approx(4)
    assert age_at(0.8, (0.25, 0.5, 0.75), edges_us) is None
    assert age_at(0.5, (), edges_us) is None


cohorts = st.builds(
    lambda seen, ends, more: Cohort(seen, sum(ends.values()) + more, ends),
    st.integers(-5, 60),
    st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 3)), st.integers(1, 5), max_size=6),
    st.integers(0, 5),
)


@given(st.lists(cohorts, max_size=6))
def test_shares_add_up_to_one_in_every_bin(days: list[Cohort]) -> None:
    curve = incidence(grouped(days, (0, 10, 20, 40, 50)))
    before = dict.fromkeys(curve.incidence, 0.0)
    for number, survival in enumerate(curve.survival):
        shares = {way: values[number] for way, values in curve.incidence.items()}
        assert survival + sum(shares.values()) == pytest.approx(1)
        assert all(shares[way] >= before[way] for way in shares)
        before = shares


@given(st.lists(cohorts, max_size=6))
def test_without_censoring_the_estimate_is_the_plain_share(days: list[Cohort]) -> None:
    seen = [cohort._replace(seen_us=1_000) for cohort in days]
    curve = incidence(grouped(seen, (0, 10, 20, 40, 50)))
    entries = sum(cohort.entries for cohort in seen)
    for way, shares in curve.incidence.items():
        for number, share in enumerate(shares):
            ended = sum(
                count
                for cohort in seen
                for (end, bin_number), count in cohort.ends.items()
                if end == way and bin_number <= number
            )
            assert share == pytest.approx(ended / entries)


def test_half_of_a_shops_customers_take_longer_than_half_of_its_buyers() -> None:
    """First product view to first purchase after it, as of 30 June."""
    views: dict[str, int] = {}
    events = sorted(shop_events(), key=lambda event: (event.at_us, event.number))
    for event in events:
        if event.name == "product_view":
            views.setdefault(event.customer, event.at_us)
    bought: dict[str, int] = {}
    for event in events:
        if event.name == "purchase" and event.customer in views and event.at_us >= views[event.customer]:
            bought.setdefault(event.customer, event.at_us)
    end_us = to_us(datetime(2024, 6, 30, tzinfo=UTC))
    ended = [(at_us - views[customer], 1) for customer, at_us in bought.items()]
    times, bins = exact_bins(ended, [end_us - views[customer] for customer in views.keys() - bought.keys()])
    survival = incidence(bins).survival
    days = [time / DAY_US for time, share in zip(times, survival, strict=True) if share <= 0.5]
    assert round(days[0], 1) == 81.0
    assert round(sorted(time for time, _ in ended)[len(ended) // 2] / DAY_US, 1) == 33.2
    by_sixty = [share for time, share in zip(times, survival, strict=True) if time <= 60 * DAY_US]
    assert 1 - by_sixty[-1] == pytest.approx(0.41, abs=0.005)
    assert sum(time <= 60 * DAY_US for time, _ in ended) / len(views) == pytest.approx(0.40, abs=0.005)
