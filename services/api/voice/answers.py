"""The answers of voices. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from services.api.funnel.answers import Share, share
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.links import Links
from services.api.shared.phase_names import phase_name
from services.api.shared.workspace import LiveModel
from services.api.voice.queries import Dimension, Opinion, OpinionPart, Reached, ReachRow, ReviewCounts
from throughline.analytics.intervals import Interval, wilson
from throughline.analytics.opinions import ENOUGH, Measure, Opinions, opinions, ranked_mean, scale_of
from throughline.kit.clock import rfc3339

LinksOf = Callable[[str | None], dict[str, str]]
"""Returns the links of a part, given its value; None: of the whole."""
BOUNDS: dict[Measure, tuple[int, int]] = {"nps": (6, 9), "rating": (2, 4), "sentiment": (-1, 1)}
"""Up to which value an answer is unfavourable, and from which on favourable, where that depends on no scale."""


class Score(Answer):
    """A figure with its interval of 95 %."""

    value: Annotated[float, Meta(examples=[17.5])]
    low: Annotated[float, Meta(examples=[14.1])]
    high: Annotated[float, Meta(examples=[20.8])]


class OpinionCount(Answer):
    """Answers, and what they say."""

    answers: Annotated[int, Meta(description="without those that the customer replaced", examples=[1000])]
    enough: Annotated[bool, Meta(description=f"false: fewer than {ENOUGH} answers are too few to say")]
    answered: Annotated[int, Meta(description="with those that were replaced", examples=[1010])]
    requests: Annotated[int, Meta(description="requests for an answer; 0: nobody tells", examples=[4200])]
    answer_rate: Annotated[Share | None, Meta(description="answered of asked; null: fewer were asked than answered")]
    out_of_range: Annotated[int, Meta(description="answers outside their scale, which count nowhere", examples=[0])]
    scale: Annotated[int | None, Meta(description="null: several scales, of which there is no mean", examples=[10])]
    distribution: Annotated[dict[str, int], Meta(description="value -> answers", examples=[{"9": 120, "10": 130}])]
    favourable: Annotated[
        int,
        Meta(description="nps: 9 and 10; csat: 80 % of the scale and more; ces: 5 of 7; rating: 4 stars; positive"),
    ]
    favourable_share: Share | None
    unfavourable: Annotated[
        int, Meta(description="nps: 0 to 6; csat: up to 40 % of the scale; ces: 3 of 7; rating: 2 stars; negative")
    ]
    unfavourable_share: Share | None
    nps: Annotated[Score | None, Meta(description="100 x (promoters - detractors) / answers, adjusted Wald")]
    mean: Annotated[Score | None, Meta(description="Student's t")]
    ranked_mean: Annotated[
        float | None,
        Meta(description="the mean with ten answers at the mean of all: for rankings only", examples=[4.31]),
    ]
    links: Links


class VoicePart(Answer):
    """The answers with one value of the dimension."""

    value: Annotated[str, Meta(description="`(other)`: all further values together", examples=["email"])]
    count: OpinionCount


class ReviewsOfOrders(Answer):
    """Reviews against the live orders of the span."""

    reviews: Annotated[int, Meta(description="with stars or without", examples=[82])]
    orders: Annotated[int, Meta(examples=[410])]
    per_order: Annotated[float | None, Meta(description="reviews for each order; null: there are no orders")]
    buyers: Annotated[int, Meta(description="customers whose first order of the span is 30 days ago", examples=[310])]
    reviewers: Annotated[int, Meta(description="of these, wrote a review within 30 days", examples=[64])]
    rate: Share | None


class Voice(OfDays):
    """What customers answered; the parts add up to the total."""

    TABLE: ClassVar[str] = "breakdown"

    measure: Annotated[Measure, Meta(examples=["nps"])]
    by: Annotated[Dimension | None, Meta(description="phase: where the customer stood before it answered")]
    total: OpinionCount
    of_orders: Annotated[
        ReviewsOfOrders | None,
        Meta(description="of `rating` only, and null where the model was restaged before orders were kept"),
    ]
    breakdown: list[VoicePart]

    def table_items(self) -> list[VoicePart]:
        """The whole, whose value is empty, and its parts."""
        return [VoicePart("", self.total), *self.breakdown]


class OpinionItem(Answer):
    """One answer of a customer."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    at: Instant
    message_id: Annotated[str, Meta(examples=["m-1"])]
    value: Annotated[float, Meta(examples=[9])]
    channel: Annotated[str | None, Meta(examples=["email"])]
    product: Annotated[str | None, Meta(examples=["p1"])]


class OpinionList(Answer):
    """A page of the answers behind a number."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    measure: Annotated[Measure, Meta(examples=["nps"])]
    items: list[OpinionItem]
    next_cursor: NextCursor


class ReachItem(Answer):
    """How often something was shown or said. The customers of a row are distinct; those of two rows overlap."""

    what: Annotated[str, Meta(description="ads and messages were shown to the customer", examples=["shares"])]
    value: Annotated[str | None, Meta(description="of the dimension; null without one", examples=["email"])]
    events: Annotated[int, Meta(examples=[120])]
    customers: Annotated[int, Meta(examples=[80])]
    per_100_customers: Annotated[
        float | None,
        Meta(description="events per hundred customers that stand in the phase (else in any); null: none does"),
    ]
    frequency: Annotated[
        dict[str, int],
        Meta(description="events of one customer -> customers", examples=[{"1": 60, "2": 10, "3": 5, "4-9": 4}]),
    ]
    audience: Annotated[float, Meta(description="sum of `reach` of mentions, as sent", examples=[0])]
    links: Links


class Reach(OfDays):
    """What was shown to customers, and what they told others."""

    TABLE: ClassVar[str] = "items"

    by: Annotated[Dimension | None, Meta(description="phase: where the customer stood before it")]
    items: list[ReachItem]


class ReachedItem(Answer):
    """A customer to whom something was shown, or who said it."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    first_at: Instant
    events: Annotated[int, Meta(examples=[3])]


class ReachedList(Answer):
    """A page of the customers of a row."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    what: Annotated[str, Meta(examples=["shares"])]
    items: list[ReachedItem]
    next_cursor: NextCursor


def voice_answer(
    live: LiveModel,
    days: Days,
    measure: Measure,
    by: Dimension | None,
    parts: Sequence[OpinionPart],
    links: LinksOf,
    reviews: ReviewCounts | None,
) -> Voice:
    """The whole and the parts. `reviews`: of `rating`."""
    buckets = [bucket for part in parts for bucket in part.buckets]
    usual_scale = scale_of(measure, buckets)
    everything = opinions(measure, buckets, usual_scale)
    total = _count(
        everything,
        everything,
        sum(part.answered for part in parts),
        sum(part.requests for part in parts),
        links(None),
    )
    breakdown: list[VoicePart] = []
    for part in parts if by is not None else ():
        of_part = opinions(measure, part.buckets, usual_scale)
        value = phase_name(live.model, int(part.value)) if by == "phase" else part.value
        breakdown.append(VoicePart(value, _count(of_part, everything, part.answered, part.requests, links(value))))
    return Voice(
        **of_days(live, days),
        measure=measure,
        by=by,
        total=total,
        of_orders=None if reviews is None else _of_orders(reviews),
        breakdown=breakdown,
    )


def _of_orders(counts: ReviewCounts) -> ReviewsOfOrders:
    return ReviewsOfOrders(
        reviews=counts.reviews,
        orders=counts.orders,
        per_order=counts.reviews / counts.orders if counts.orders else None,
        buyers=counts.buyers,
        reviewers=counts.reviewers,
        rate=share(wilson(counts.reviewers, counts.buyers)),
    )


def list_answer(live: LiveModel, measure: Measure, page: Sequence[Opinion], next_cursor: str | None) -> OpinionList:
    """One page."""
    return OpinionList(
        model=live.model.name,
        measure=measure,
        items=[
            OpinionItem(
                opinion.id,
                rfc3339(opinion.occurred_us),
                opinion.message_id,
                opinion.value,
                opinion.channel or None,
                opinion.product_id or None,
            )
            for opinion in page
        ],
        next_cursor=next_cursor,
    )


def reach_answer(
    live: LiveModel,
    days: Days,
    by: Dimension | None,
    rows: Sequence[ReachRow],
    placed: Mapping[int, int],
    links: Callable[[str, str | None], dict[str, str]],
) -> Reach:
    """All rows.

    Args:
        live: the model.
        days: of the events.
        by: the dimension of the rows.
        rows: see `read_reach`.
        placed: how many customers stand in each phase, by its number.
        links: returns those of a row, given what and the value.
    """
    items: list[ReachItem] = []
    for row in rows:
        value = None if by is None else phase_name(live.model, int(row.value)) if by == "phase" else row.value
        standing = placed.get(int(row.value), 0) if by == "phase" else sum(placed.values())
        items.append(
            ReachItem(
                what=row.what,
                value=value,
                events=row.events,
                customers=row.customers,
                per_100_customers=100 * row.events / standing if standing else None,
                frequency=dict(zip(("1", "2", "3", "4-9", "10+"), row.frequency, strict=True)),
                audience=row.audience,
                links=links(row.what, value),
            )
        )
    return Reach(**of_days(live, days), by=by, items=items)


def reached_answer(live: LiveModel, what: str, page: Sequence[Reached], next_cursor: str | None) -> ReachedList:
    """One page."""
    items = [ReachedItem(each.id, rfc3339(each.first_us), each.events) for each in page]
    return ReachedList(live.model.name, what, items, next_cursor)


def _count(part: Opinions, everything: Opinions, answered: int, requests: int, links: dict[str, str]) -> OpinionCount:
    return OpinionCount(
        answers=part.answers,
        enough=part.is_enough,
        answered=answered,
        requests=requests,
        answer_rate=share(wilson(answered, requests)) if answered <= requests else None,
        out_of_range=part.out_of_range,
        scale=part.scale,
        distribution={str(value): number for value, number in part.distribution.items()},
        favourable=part.favourable,
        favourable_share=share(part.favourable_share),
        unfavourable=part.unfavourable,
        unfavourable_share=share(part.unfavourable_share),
        nps=_score(part.nps),
        mean=_score(part.mean),
        ranked_mean=ranked_mean(part, everything),
        links=links,
    )


def _score(interval: Interval | None) -> Score | None:
    return None if interval is None else Score(*interval)
