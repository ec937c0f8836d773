"""What customers say."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.asked.queries import MAX_VALUE
from services.api.auth import Token
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import Days, SpanParameters, read_days
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, PageParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import LiveModel, customer_filter, reading_model
from services.api.voice.answers import (
    BOUNDS,
    LinksOf,
    OpinionList,
    Reach,
    ReachedList,
    Voice,
    list_answer,
    reach_answer,
    reached_answer,
    voice_answer,
)
from services.api.voice.queries import (
    Dimension,
    OpinionPosition,
    OpinionQuestion,
    ReachedPosition,
    ReachQuestion,
    What,
    count_placed,
    list_opinions,
    list_reached,
    read_opinions,
    read_reach,
    read_review_counts,
)
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics.opinions import Measure
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError

router = APIRouter(tags=["voice"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("a", OpinionPosition)
reach_cursors = CursorCodec("h", ReachedPosition)


class MeasureParameters(SpanParameters):
    """Which answers."""

    measure: Measure = Field("nps", description="what was asked: `rating` of reviews; `sentiment` as sources send it")
    each: bool = Field(
        False,
        description="count every answer; without it of one customer's answers to a survey within 90 days, and of its "
        "reviews of a product, the last one",
    )


class VoiceParameters(MeasureParameters):
    """How to divide the answers."""

    by: Dimension | None = Field(None, description="phase: where the customer stood before it answered")


class OpinionParameters(MeasureParameters, PageParameters):
    """Which number of voices."""

    by: Dimension | None = Field(None, description="with `value`: only answers with it")
    value: str | None = Field(
        None, pattern=TEXT, max_length=MAX_VALUE, description="of the dimension in `by`", examples=["email"]
    )
    least: int | None = Field(None, ge=-1, le=100, description="the least value, rounded as in distributions")
    most: int | None = Field(None, ge=-1, le=100, description="the greatest value")


class ReachParameters(SpanParameters):
    """How to divide what was shown and said."""

    by: Dimension | None = Field(None, description="phase: where the customer stood before it")


class ReachedParameters(ReachParameters, PageParameters):
    """Which row of the reach."""

    what: What = Field("shares", description="what was shown or said")
    value: str | None = Field(
        None, pattern=TEXT, max_length=MAX_VALUE, description="of the dimension in `by`", examples=["email"]
    )


@router.get("/v1/voice", responses=problem_responses(400, 403, 409), summary="What customers answer")
async def get_voice(
    context: Context, token: Token, parameters: Annotated[VoiceParameters, Query()]
) -> AnswerResponse[Voice]:
    """Answers to surveys and reviews in the span: scores with intervals, by where the customer stood, by channel or
    by product. `enough` is false under 30 answers: they are too few to say."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "voice", token.workspace, parameters.model) as (connection, live):
        days, now_us = read_days(live, parameters)
        question = OpinionQuestion(
            token.workspace, live.generation.id, live.model, parameters.measure, days, customers, parameters.each
        )
        parts = await read_opinions(connection, question, parameters.by)
        reviews = None
        if parameters.measure == "rating" and live.generation.has_conversions:
            reviews = await read_review_counts(connection, question, now_us)
    links = _links(live, days, parameters)
    return AnswerResponse(voice_answer(live, days, parameters.measure, parameters.by, parts, links, reviews))


@router.get("/v1/voice/answers", responses=problem_responses(400, 403, 409), summary="Answers behind a number")
async def get_voice_answers(
    context: Context, token: Token, parameters: Annotated[OpinionParameters, Query()]
) -> AnswerResponse[OpinionList]:
    """Exactly those that voices count for the same parameters, by time."""
    after = cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "voice_answers", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        question = OpinionQuestion(
            token.workspace, live.generation.id, live.model, parameters.measure, days, customers, parameters.each
        )
        rows = await list_opinions(
            connection,
            question,
            parameters.by,
            _value(live, parameters),
            (parameters.least, parameters.most),
            after=after,
            count=parameters.limit + 1,
        )
    page, last = split_page(rows, parameters.limit)
    next_cursor = None if last is None else cursors.encode(last.position)
    return AnswerResponse(list_answer(live, parameters.measure, page, next_cursor))


@router.get("/v1/voice/reach", responses=problem_responses(400, 403, 409), summary="What was shown and told")
async def get_reach(
    context: Context, token: Token, parameters: Annotated[ReachParameters, Query()]
) -> AnswerResponse[Reach]:
    """Ads and messages shown to customers, and what they shared, how often, and how many of them. Rows overlap, so they
    have no sum."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "reach", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        question = ReachQuestion(token.workspace, live.generation.id, live.model, days, customers, parameters.by)
        rows = await read_reach(connection, question)
        placed = await count_placed(connection, live.generation.id, customers)
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    of_days = {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}

    def links(what: str, value: str | None) -> dict[str, str]:
        of_row = of_days | {"what": what} | ({} if value is None else {"by": str(parameters.by), "value": value})
        return {"customers": lists.path("/v1/voice/reach/customers", of_row)}

    return AnswerResponse(reach_answer(live, days, parameters.by, rows, placed, links))


@router.get("/v1/voice/reach/customers", responses=problem_responses(400, 403, 409), summary="Customers of a row")
async def get_reach_customers(
    context: Context, token: Token, parameters: Annotated[ReachedParameters, Query()]
) -> AnswerResponse[ReachedList]:
    """Exactly those whom the reach counts for the same parameters, in a stable order, each once."""
    after = reach_cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "reach_customers", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        question = ReachQuestion(token.workspace, live.generation.id, live.model, days, customers, parameters.by)
        rows = await list_reached(
            connection,
            question,
            parameters.what,
            _value(live, parameters),
            after=after,
            count=parameters.limit + 1,
        )
    page, last = split_page(rows, parameters.limit)
    next_cursor = None if last is None else reach_cursors.encode(last.position)
    return AnswerResponse(reached_answer(live, parameters.what, page, next_cursor))


def _value(live: LiveModel, parameters: "OpinionParameters | ReachedParameters") -> str | None:
    """The value of the dimension, as statements have it.

    Raises:
        ServiceError: 400 `invalid_parameter`: it stands without a dimension, or is no phase.
    """
    value = parameters.value
    if (parameters.by is None) != (value is None):
        raise ServiceError(400, "invalid_parameter", "value: by and value go together", field="value")
    if parameters.by == "phase" and value is not None:
        return str(phase_number(live.model, value, "value", or_unplaced=True))
    return value


def _links(live: LiveModel, days: Days, parameters: VoiceParameters) -> LinksOf:
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    question = {"measure": parameters.measure, "from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}
    bounds = BOUNDS.get(parameters.measure)

    def links(value: str | None) -> dict[str, str]:
        of_part = question | ({"each": "true"} if parameters.each else {})
        if value is not None and parameters.by is not None:
            of_part |= {"by": parameters.by, "value": value}
        paths = {"answers": lists.path("/v1/voice/answers", of_part)}
        if bounds is not None:
            paths["unfavourable"] = lists.path("/v1/voice/answers", {**of_part, "most": str(bounds[0])})
            paths["favourable"] = lists.path("/v1/voice/answers", {**of_part, "least": str(bounds[1])})
        return paths

    return links
