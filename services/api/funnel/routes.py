"""Funnels, the time between phases, and trends."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.funnel.answers import (
    Funnel,
    FunnelCustomers,
    Link,
    PhaseTime,
    Trend,
    customers_answer,
    funnel_answer,
    time_answer,
    trend_answer,
    trend_day,
)
from services.api.funnel.breakdown import (
    BY_DESCRIPTION,
    By,
    ValueParameters,
    filter_of,
    largest,
    read_counts,
    require_trails_of,
    value_filter,
)
from services.api.funnel.queries import Outcome, Position, list_customers
from services.api.funnel.question import UNITS, FunnelQuestion, StepParameters, read_steps, window_name
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import SpanParameters, in_calendar, read_days
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import PageParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics import funnel as funnels
from throughline.analytics.funnel import WINDOWS_US
from throughline.journey.funnel import CYCLE
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError

router = APIRouter(tags=["funnel"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("f", Position)


class FunnelParameters(StepParameters):
    """How to divide and compare the funnel."""

    by: By | None = Field(None, description=BY_DESCRIPTION)
    compare: Literal["previous"] | None = Field(None, description="compare with as many days before")


class TrendParameters(StepParameters):
    """In which steps of time."""

    step: Literal["day", "week", "month"] = Field("day", description="weeks begin on Monday")


class TimeParameters(SpanParameters):
    """Which phase."""

    phase: str = Field(description="the phase whose stays are looked at", examples=["consideration"])
    by: By | None = Field(None, description=BY_DESCRIPTION)


class FunnelCustomersParameters(StepParameters, ValueParameters, PageParameters):
    """Which number of a funnel."""

    outcome: Outcome = Field(
        "reached",
        description="those of the last step who are counted as such; cohort: all who came to the first step, mature or "
        "immature; entered: the phase itself; within: reached within the window, of the mature",
    )


@router.get("/v1/funnel", responses=problem_responses(400, 403, 409), summary="How many go on, how soon")
async def get_funnel(
    context: Context, token: Token, parameters: Annotated[FunnelParameters, Query()]
) -> AnswerResponse[Funnel]:
    """The span says who enters, the window who converts. In each step `cohort.entered = reached + lapsed + ended +
    still`; a rate counts only entries whose window has passed. The parts of a breakdown add up to the whole."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "funnel", token.workspace, parameters.model) as (connection, live):
        days, phases, now_us = read_steps(live, parameters)
        question = FunnelQuestion(connection, live, parameters, phases, customers)
        alike = days.alike(now_us)
        by_value = await question.counts(alike, parameters.by)
        total = question.funnel(alike, now_us, [count for counts in by_value.values() for count in counts])
        compared = None
        if parameters.compare is not None:
            before = days.before(live.zone)
            counts = (await question.counts(before.alike(now_us))).get(None, [])
            compared = before, question.funnel(before.alike(now_us), now_us, counts), question.link(before)
    parts: list[tuple[str, funnels.Funnel, Link]] = []
    if parameters.by is not None:
        values = await largest(context, token.workspace, parameters.by, by_value)
        shown = [value for value, _ in values]
        for value, counts in values:
            link = question.link(days, parameters.by, value, shown)
            parts.append((value, question.funnel(alike, now_us, counts), link))
    return AnswerResponse(
        funnel_answer(
            live,
            days,
            phases,
            unit=parameters.unit,
            window=window_name(parameters.window),
            total=(total, question.link(days)),
            parts=parts,
            compared=compared,
        )
    )


@router.get("/v1/funnel/customers", responses=problem_responses(400, 403, 409), summary="The customers behind a number")
async def get_funnel_customers(
    context: Context, token: Token, parameters: Annotated[FunnelCustomersParameters, Query()]
) -> AnswerResponse[FunnelCustomers]:
    """Exactly those whom the funnel of the same parameters counts, in a stable order. Of cycles, a customer comes once
    for each cycle."""
    after = cursors.decode(parameters.cursor)
    valued = await value_filter(context, token.workspace, parameters)
    if valued is not None and valued.opening is not None and parameters.unit != "cycle":
        raise ServiceError(400, "invalid_parameter", "by: an opening is one of cycles; ask for unit=cycle", field="by")
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "funnel_customers", token.workspace, parameters.model) as (connection, live):
        days, phases, now_us = read_steps(live, parameters)
        require_trails_of(live, None if valued is None else valued.opening)
        window_us = None if parameters.window == "none" else WINDOWS_US[parameters.window]
        rows = await list_customers(
            connection,
            live.generation.id,
            UNITS[parameters.unit],
            (phases[0], phases[-1]),
            (days.from_us, days.end_us),
            customers,
            parameters.outcome,
            window_us=window_us,
            mature_until_us=days.mature_until(now_us, window_us),
            after=after,
            count=parameters.limit + 1,
            valued=valued,
        )
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(
        customers_answer(live.model.name, page, None if last is None else cursors.encode(last.position))
    )


@router.get("/v1/funnel/trend", responses=problem_responses(400, 403, 409), summary="A rate for each day of entry")
async def get_funnel_trend(
    context: Context, token: Token, parameters: Annotated[TrendParameters, Query()]
) -> AnswerResponse[Trend]:
    """The same sums as of the funnel, one day (week, month) of entry at a time: all of them add up to the funnel."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "funnel", token.workspace, parameters.model) as (connection, live):
        days, phases, now_us = read_steps(live, parameters)
        question = FunnelQuestion(connection, live, parameters, phases, customers)
        counts = (await question.counts(days)).get(None, [])
    groups = in_calendar(days, parameters.step, live.zone)
    return AnswerResponse(
        trend_answer(
            live,
            phases,
            unit=parameters.unit,
            window=window_name(parameters.window),
            days=[
                trend_day(
                    live.model,
                    group.from_us,
                    question.funnel(group, now_us, counts),
                    question.link(group),
                    settled=question.window_us is None or question.window_us <= now_us - group.end_us,
                )
                for group in groups
            ],
        )
    )


@router.get("/v1/funnel/time", responses=problem_responses(400, 403, 409), summary="How long stays in a phase last")
async def get_funnel_time(
    context: Context, token: Token, parameters: Annotated[TimeParameters, Query()]
) -> AnswerResponse[PhaseTime]:
    """Of all who entered the phase, the shares that have gone on, lapsed, ended and stayed by each age. Nobody is
    judged before the time: an age counts only entries that have been seen so long."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "funnel", token.workspace, parameters.model) as (connection, live):
        phase = phase_number(live.model, parameters.phase, "phase")
        days, now_us = read_days(live, parameters)
        alike = days.alike(now_us)
        by_value = await read_counts(connection, live, CYCLE, phase, alike, customers, parameters.by)
    seen = alike.seen_until(now_us)
    parts = [] if parameters.by is None else await largest(context, token.workspace, parameters.by, by_value)
    total = [count for counts in by_value.values() for count in counts]
    shown = [value for value, _ in parts]
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    question = {"phase": parameters.phase, "from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}
    return AnswerResponse(
        time_answer(
            live,
            days,
            phase,
            (funnels.spells(total, seen, phase), _time_links(lists, question, {})),
            [
                (
                    value,
                    funnels.spells(counts, seen, phase),
                    _time_links(lists, question, filter_of(parameters.by, value, shown)),
                )
                for value, counts in parts
            ],
        )
    )


def _time_links(lists: ListLinks, question: Mapping[str, str], which: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The lists of stays in a phase, of a value of a dimension."""
    stays = {**question, **which}
    return {
        "entered": lists.path("/v1/abandonment/customers", {**stays, "outcome": "entered"}),
        "ages.at_risk": lists.path("/v1/abandonment/customers", {**stays, "outcome": "at_risk"}, "age={from_seconds}"),
    }
