"""What answers to surveys, reviews and sentiments say. Pure.

The net promoter score has the adjusted Wald interval: three quarters of an answer are added to promoters and to
detractors, and three answers in all (Rocks, The American Statistician 70, 2016). A mean has Student's t interval.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Final, Literal, NamedTuple, get_args

from throughline.analytics.intervals import Z95, Interval, wilson

Measure = Literal["nps", "csat", "ces", "rating", "sentiment"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)

ENOUGH = 30
"""Number of answers below which there are too few to say."""
PRIOR_WEIGHT = 10
"""Number of answers at the mean of all that a ranking adds to each part."""
SCALES = (5, 7, 10, 100)
"""Scales of surveys that name none: the shortest that holds all answers."""

_FAVOURABLE: dict[Measure, float] = {"csat": 0.8, "ces": 5 / 7, "rating": 0.8}
_UNFAVOURABLE: dict[Measure, float] = {"csat": 0.4, "ces": 3 / 7, "rating": 0.4}
"""Shares of the scale from which on, and up to which, an answer is (un)favourable."""
_T95 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622)
"""Student's quantiles of a two-sided interval of 95 %, for 1 to 9 degrees of freedom."""
_ROUNDING = 1e-9


class Bucket(NamedTuple):
    """Answers of one whole value on one scale."""

    scale: int | None
    """As sent; None: the answers do not say."""
    value: int | None
    """Rounded; of the net promoter score rounded down. None: outside the scale."""
    answers: int
    sum: float
    squares: float


class Opinions(NamedTuple):
    """What some answers say."""

    answers: int
    out_of_range: int
    """Number of further answers, outside their scale."""
    scale: int | None
    """None: there are no answers, or they have several scales."""
    distribution: dict[int, int]
    """Value -> answers; empty where scales are mixed."""
    sum: float
    favourable: int
    """Promoters, satisfied, found it easy, four stars and more, positive."""
    unfavourable: int
    """Detractors, dissatisfied, found it hard, two stars and fewer, negative."""
    nps: Interval | None
    """In points from -100 to 100; None: another measure, or no answer."""
    mean: Interval | None
    """None: under two answers, or several scales."""

    @property
    def is_enough(self) -> bool:
        """Whether there are as many as it takes to say something."""
        return self.answers >= ENOUGH

    @property
    def favourable_share(self) -> Interval | None:
        """The share of favourable answers; None without an answer."""
        return wilson(self.favourable, self.answers)

    @property
    def unfavourable_share(self) -> Interval | None:
        """The share of unfavourable answers; None without an answer."""
        return wilson(self.unfavourable, self.answers)


def scale_of(measure: Measure, buckets: Iterable[Bucket]) -> int:
    """Returns the scale of the answers that name none: of surveys the shortest that holds them."""
    if measure == "nps":
        return 10
    if measure == "sentiment":
        return 1
    if measure == "rating":
        return 5
    largest = max((bucket.value for bucket in buckets if bucket.scale is None and bucket.value is not None), default=0)
    return next(scale for scale in SCALES if largest <= scale or scale == SCALES[-1])


def opinions(measure: Measure, buckets: Sequence[Bucket], usual_scale: int) -> Opinions:
    """Returns what answers say.

    Args:
        measure: what was asked.
        buckets: the answers.
        usual_scale: the scale of those that name none (`scale_of` of all parts together).
    """
    inside = [bucket for bucket in buckets if bucket.value is not None]
    answers = sum(bucket.answers for bucket in inside)
    scales = {_scale(bucket, usual_scale) for bucket in inside}
    is_one_scale = len(scales) == 1
    distribution: dict[int, int] = {}
    favourable = unfavourable = 0
    for bucket in inside:
        if bucket.value is None:
            continue
        if is_one_scale:
            distribution[bucket.value] = distribution.get(bucket.value, 0) + bucket.answers
        side = _side(measure, bucket.value, _scale(bucket, usual_scale))
        favourable += bucket.answers * (side > 0)
        unfavourable += bucket.answers * (side < 0)
    total, squares = sum(bucket.sum for bucket in inside), sum(bucket.squares for bucket in inside)
    return Opinions(
        answers=answers,
        out_of_range=sum(bucket.answers for bucket in buckets) - answers,
        scale=scales.pop() if is_one_scale else None,
        distribution=dict(sorted(distribution.items())),
        sum=total,
        favourable=favourable,
        unfavourable=unfavourable,
        nps=net_promoter_score(favourable, unfavourable, answers) if measure == "nps" else None,
        mean=mean(answers, total, squares) if is_one_scale else None,
    )


def net_promoter_score(promoters: int, detractors: int, answers: int) -> Interval | None:
    """Returns 100 x (promoters - detractors) / answers with the adjusted Wald interval; None without an answer."""
    if answers == 0:
        return None
    weight = answers + 3
    high, low = (promoters + 0.75) / weight, (detractors + 0.75) / weight
    centre = high - low
    spread = Z95 * sqrt((high + low - centre * centre) / weight)
    score = (promoters - detractors) / answers
    # Of a few answers that all agree, the interval would leave out the score.
    low, high = max(-1.0, min(score, centre - spread)), min(1.0, max(score, centre + spread))
    return Interval(100 * score, 100 * low, 100 * high)


def mean(number: int, total: float, squares: float) -> Interval | None:
    """Returns the mean with Student's t interval, of a number of values, their sum and the sum of their squares; None
    of fewer than two."""
    if number < 2:
        return None
    centre = total / number
    variance = max(0.0, (squares - total * centre) / (number - 1))
    spread = _t95(number - 1) * sqrt(variance / number)
    return Interval(centre, centre - spread, centre + spread)


def ranked_mean(part: Opinions, everything: Opinions) -> float | None:
    """Returns the mean of a part drawn towards that of all, so that few answers do not lead a ranking; None without."""
    if not part.answers or part.scale is None or everything.mean is None:
        return None
    return (part.sum + PRIOR_WEIGHT * everything.mean.estimate) / (part.answers + PRIOR_WEIGHT)


def _scale(bucket: Bucket, usual_scale: int) -> int:
    return usual_scale if bucket.scale is None else bucket.scale


def _side(measure: Measure, value: int, scale: int) -> int:
    """1 for a favourable answer, -1 for an unfavourable one, 0 for one in between."""
    if measure == "nps":
        return (value >= 9) - (value <= 6)
    if measure == "sentiment":
        return value
    is_favourable = value >= _FAVOURABLE[measure] * scale - _ROUNDING
    return is_favourable - (value <= _UNFAVOURABLE[measure] * scale + _ROUNDING)


def _t95(freedom: int) -> float:
    """Student's quantile; from 10 degrees of freedom on by the series of Fisher and Cornish, to five digits."""
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = Z95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
