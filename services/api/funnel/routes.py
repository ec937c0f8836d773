"""Funnels, the time between phases, and trends."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import MAX_VALUE, Opening
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
from services.api.funnel.breakdown import BY_DESCRIPTION, By, filter_of, largest, read_counts
from services.api.funnel.queries import Outcome, Position, list_customers
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import Days, SpanParameters, read_days
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, PageParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.queries import CustomerFilter
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import LiveModel, customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics import funnel as funnels
from throughline.analytics.funnel import WINDOWS_US, Count
from throughline.journey.funnel import CUSTOMER, CYCLE
from throughline.kit.clock import rfc3339, to_datetime
from throughline.kit.errors import ServiceError
from throughline.store.admission import OTHER

router = APIRouter(tags=["funnel"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("f", Position)

Unit = Literal["cycle", "customer"]
UNITS: Mapping[Unit, int] = {"cycle": CYCLE, "customer": CUSTOMER}
Window = Literal["1h", "1d", "3d", "7d", "14d", "30d", "60d", "90d", "180d", "365d", "none"]


class StepParameters(SpanParameters):
    """Which steps."""

    steps: str | None = Field(
        None,
        description="two or more phases in ascending order, with commas; without it all phases",
        examples=["discovery,decision,purchase"],
    )
    unit: Unit = Field(
        "cycle",
        description="cycle: each journey cycle counts once, and a lapse ends it; customer: each customer counts once, "
        "on the day it first ever stood at the first step or beyond",
    )
    window: Window = Field("30d", description="the time from the entry within which a step has to be reached")


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


class FunnelCustomersParameters(StepParameters, PageParameters):
    """Which number of a funnel."""

    outcome: Outcome = Field(
        "reached",
        description="those of the last step who are counted as such; cohort: all who came to the first step; within: "
        "reached within the window, of the mature",
    )
    by: Opening | None = Field(None, description="with `value`: only cycles whose opening has it")
    value: str | None = Field(
        None, pattern=TEXT, max_length=MAX_VALUE, description="of the dimension in `by`", examples=["mobile"]
    )


@router.get("/v1/funnel", responses=problem_responses(400, 403, 409), summary="How many go on, how soon")
async def get_funnel(
    context: Context, token: Token, parameters: Annotated[FunnelParameters, Query()]
) -> AnswerResponse[Funnel]:
    """The span says who enters, the window who converts. In each step `cohort.entered = reached + lapsed + ended +
    still`; a rate counts only entries whose window has passed. The parts of a breakdown add up to the whole."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "funnel", token.workspace, parameters.model) as (connection, live):
        days, phases, now_us = _question(live, parameters)
        question = _Question(connection, live, parameters, phases, customers)
        by_value = await question.counts(days, parameters.by)
        total = question.funnel(days, now_us, [count for counts in by_value.values() for count in counts])
        compared = None
        if parameters.compare is not None:
            before = days.before(live.zone)
            counts = (await question.counts(before)).get(None, [])
            compared = before, question.funnel(before, now_us, counts), question.link(before)
    parts: list[tuple[str, funnels.Funnel, Link]] = []
    if parameters.by is not None:
        for value, counts in await largest(context, token.workspace, parameters.by, by_value):
            parts.append((value, question.funnel(days, now_us, counts), question.link(days, parameters.by, value)))
    return AnswerResponse(
        funnel_answer(
            live,
            days,
            phases,
            unit=parameters.unit,
            window=_window_name(parameters.window),
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
    if (parameters.by is None) != (parameters.value is None) or (parameters.by and parameters.unit != "cycle"):
        raise ServiceError(
            400, "invalid_parameter", "value: by and value go together, and with unit=cycle", field="value"
        )
    opening = None if parameters.by is None or parameters.value is None else (parameters.by, parameters.value)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "funnel_customers", token.workspace, parameters.model) as (connection, live):
        days, phases, now_us = _question(live, parameters)
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
            opening=opening,
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
        days, phases, now_us = _question(live, parameters)
        question = _Question(connection, live, parameters, phases, customers)
        counts = (await question.counts(days)).get(None, [])
    groups = _grouped(days, parameters.step, live)
    return AnswerResponse(
        trend_answer(
            live,
            phases,
            unit=parameters.unit,
            window=_window_name(parameters.window),
            days=[
                trend_day(
                    group.from_us,
                    question.funnel(group, now_us, counts),
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
        by_value = await read_counts(connection, live.generation.id, CYCLE, phase, days, customers, parameters.by)
    seen = days.seen_until(now_us)
    parts = [] if parameters.by is None else await largest(context, token.workspace, parameters.by, by_value)
    total = [count for counts in by_value.values() for count in counts]
    return AnswerResponse(
        time_answer(
            live,
            days,
            phase,
            funnels.spells(total, seen, phase),
            [(value, funnels.spells(counts, seen, phase)) for value, counts in parts],
        )
    )


class _Question:
    """One funnel question: how its sums are read and computed."""

    def __init__(
        self,
        connection: AsyncConnection,
        live: LiveModel,
        parameters: StepParameters,
        phases: Sequence[int],
        customers: CustomerFilter,
    ) -> None:
        self._connection = connection
        self._generation = live.generation.id
        self._model = live.model
        self._parameters = parameters
        self._unit = UNITS[parameters.unit]
        self.window_us = None if parameters.window == "none" else WINDOWS_US[parameters.window]
        self._phases = phases
        self._customers = customers

    async def counts(self, days: Days, by: By | None = None) -> Mapping[int | str | None, list[Count]]:
        """The sums of the entries into the first step, by value of a dimension; without one, all under None."""
        return await read_counts(
            self._connection, self._generation, self._unit, self._phases[0], days, self._customers, by
        )

    def funnel(self, days: Days, now_us: int, counts: Sequence[Count]) -> funnels.Funnel:
        return funnels.funnel(counts, days.seen_until(now_us), self._phases, self.window_us, self._unit)

    def link(self, days: Days, by: By | None = None, value: str = "") -> Link:
        """What makes the paths of the lists of customers of these days, with one value of a dimension."""
        asked_for = self._parameters
        question = {"model": self._model.name, "unit": asked_for.unit, "window": asked_for.window}
        question |= {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us), "outcome": "reached"}
        filters = {"source": asked_for.source, "channel": asked_for.channel} | filter_of(by, value)
        first = self._model.phases[self._phases[0] - 1].name

        def path(phase: str) -> str | None:
            if by is not None and value == OTHER:
                return None
            return f"/v1/funnel/customers?{urlencode({'steps': f'{first},{phase}'} | question | filters, doseq=True)}"

        return path


def _question(live: LiveModel, parameters: StepParameters) -> tuple[Days, list[int], int]:
    """The days, the numbers of the phases and the watermark of a question.

    Raises:
        ServiceError: 400: a parameter is wrong; 409 `restage_needed`.
    """
    model = live.model
    if parameters.steps is None:
        phases = [phase.number for phase in model.phases]
    else:
        phases = [phase_number(model, name.strip(), "steps") for name in parameters.steps.split(",")]
        if len(phases) < 2 or phases != sorted(set(phases)):
            raise ServiceError(
                400,
                "invalid_parameter",
                f"steps: two or more phases of {model.name} in ascending order, such as "
                f"{model.phases[0].name},{model.phases[-1].name}",
                field="steps",
            )
    days, now_us = read_days(live, parameters)
    return days, phases, now_us


def _window_name(window: Window) -> str | None:
    return None if window == "none" else window


def _grouped(days: Days, step: str, live: LiveModel) -> list[Days]:
    """The days in groups of a day, a week or a month of the workspace's calendar; the first and last may be cut."""
    ends = (*days.starts[1:], days.end_us)
    groups: list[Days] = []
    for _, group in groupby(zip(days.starts, ends, strict=True), key=lambda day: _calendar(day[0], step, live)):
        pairs = list(group)
        groups.append(Days(tuple(start_us for start_us, _ in pairs), pairs[-1][1]))
    return groups


def _calendar(day_us: int, step: str, live: LiveModel) -> tuple[int, ...]:
    local = to_datetime(day_us).astimezone(live.zone)
    if step == "week":
        return local.isocalendar()[:2]
    return (local.year, local.month) if step == "month" else (local.year, local.month, local.day)
