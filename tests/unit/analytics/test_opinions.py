"""What answers say: published examples, and a naive computation of the same."""

from math import sqrt
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.analytics.intervals import Z95
from throughline.analytics.opinions import (
    ENOUGH,
    Bucket,
    mean,
    net_promoter_score,
    opinions,
    ranked_mean,
    scale_of,
)


def bucket(value: int | None, answers: int = 1, scale: int | None = None) -> Bucket:
    total = 0 if value is None else value * answers
    return Bucket(scale, value, answers, total, 0 if value is None else value * value * answers)


def test_the_net_promoter_score_of_a_thousand_answers() -> None:
    score = net_promoter_score(250, 75, 1000)
    assert score is not None
    assert [round(figure, 2) for figure in score] == [17.5, 14.09, 20.81]
    # Without the three answers more, the interval is Wald's.
    spread = 100 * Z95 * sqrt((0.325 - 0.175**2) / 1000)
    assert (round(17.5 - spread, 2), round(17.5 + spread, 2)) == (14.14, 20.86)


def test_the_net_promoter_score_of_a_hundred_answers() -> None:
    score = net_promoter_score(50, 20, 100)
    assert score is not None
    assert score.estimate == 30
    spread = 100 * Z95 * sqrt((0.7 - 0.3**2) / 100)
    assert (round(30 - spread, 1), round(30 + spread, 1)) == (14.7, 45.3)
    assert score.low < 30 - spread + 1
    assert score.high < 30 + spread


def test_a_score_stays_within_what_is_possible() -> None:
    for answers in ((1, 0, 1), (0, 1, 1), (3, 0, 3)):
        score = net_promoter_score(*answers)
        assert score is not None
        assert -100 <= score.low <= score.estimate <= score.high <= 100
    assert net_promoter_score(0, 0, 0) is None


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (9, 2.262), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_a_mean_has_students_interval(freedom: int, quantile: float) -> None:
    values = [float(number % 5) for number in range(freedom + 1)]
    answer = mean(len(values), sum(values), sum(value * value for value in values))
    assert answer is not None
    assert answer.estimate == pytest.approx(fmean(values))
    assert answer.high - answer.estimate == pytest.approx(quantile * stdev(values) / sqrt(len(values)), rel=3e-4)
    assert mean(1, 3, 9) is None


def test_satisfied_is_four_fifths_of_the_scale() -> None:
    buckets = [bucket(value, 10) for value in range(1, 6)]
    assert scale_of("csat", buckets) == 5
    answers = opinions("csat", buckets, 5)
    assert (answers.favourable, answers.unfavourable, answers.answers) == (20, 20, 50)
    assert answers.distribution == dict.fromkeys(range(1, 6), 10)
    assert answers.is_enough
    assert scale_of("csat", [bucket(7)]) == 7
    assert scale_of("ces", [bucket(80)]) == 100
    easy = opinions("ces", [bucket(value) for value in range(1, 8)], 7)
    assert (easy.favourable, easy.unfavourable) == (3, 3)


def test_a_mixed_scale_has_no_mean() -> None:
    answers = opinions("csat", [bucket(4, 3, 5), bucket(9, 2, 10)], 10)
    assert (answers.scale, answers.mean, answers.distribution) == (None, None, {})
    assert answers.favourable == 5


def test_answers_outside_their_scale_count_nowhere() -> None:
    answers = opinions("nps", [bucket(10), bucket(None, 4)], 10)
    assert (answers.answers, answers.out_of_range) == (1, 4)
    assert not answers.is_enough


def test_few_answers_do_not_lead_a_ranking() -> None:
    everything = opinions("rating", [bucket(5, 1), bucket(4, 500), bucket(3, 100)], 5)
    few, many = opinions("rating", [bucket(5, 1)], 5), opinions("rating", [bucket(4, 500)], 5)
    low, high = ranked_mean(few, everything), ranked_mean(many, everything)
    assert low is not None
    assert high is not None
    assert 3.8 < high < 4
    assert low < 4.0
    assert ranked_mean(opinions("rating", [], 5), everything) is None


@given(st.lists(st.integers(0, 10), max_size=60))
def test_promoters_passives_and_detractors_are_all_answers(values: list[int]) -> None:
    answers = opinions("nps", [bucket(value) for value in values], 10)
    promoters, detractors = sum(value >= 9 for value in values), sum(value <= 6 for value in values)
    assert (answers.answers, answers.favourable, answers.unfavourable) == (len(values), promoters, detractors)
    assert sum(answers.distribution.values()) == len(values)
    assert answers.is_enough == (len(values) >= ENOUGH)
    if values:
        assert answers.nps is not None
        assert answers.nps.estimate == pytest.approx(100 * (promoters - detractors) / len(values))
        assert answers.nps.low <= answers.nps.high
