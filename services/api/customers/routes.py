"""Customers as a list."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.customers.answers import Customers, customer_answer
from services.api.customers.queries import (
    EVER,
    Activity,
    CustomerPosition,
    CustomerRow,
    CustomersQuestion,
    LapseName,
    Order,
    Sort,
    Span,
    Standing,
    count_customers,
    list_customers,
    list_past_customers,
)
from services.api.history.queries import read_past_counts
from services.api.shared.answers import counted_total, instant
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import require_trails
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import (
    MAX_VALUES,
    CustomerParameters,
    InstantText,
    Name,
    PageParameters,
    parse_optional_instant,
)
from services.api.shared.phase_names import phase_number
from services.api.shared.queries import plan_for_values
from services.api.shared.responses import AnswerResponse
from services.api.shared.steps import Moment, floored, since
from services.api.shared.sums import ZERO
from services.api.shared.workspace import LiveModel, customer_filter, reading_model, source_names
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.journey.durations import DAY_US
from throughline.kit.errors import ServiceError

router = APIRouter(tags=["customers"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])

MAX_ORDERS = 2**31 - 1
"""Maximum number of orders: what its column holds."""
Direction = Literal["asc", "desc"]
_CURSORS = {
    Order(sort, descending): CursorCodec(f"c{sort}{int(descending)}", CustomerPosition)
    for sort in ("id", "last_seen", "entered")
    for descending in (False, True)
}
_Orders = Annotated[int, Field(ge=0, lt=MAX_ORDERS)]


class CustomersParameters(CustomerParameters, PageParameters):
    """Which customers, in which order."""

    phase: list[Name] = Field(
        [],
        max_length=MAX_VALUES,
        description="a phase's name, or `unplaced`; repeated: any of these; without it all customers in a phase",
        examples=[["purchase"]],
    )
    activity: Activity | None = Field(None, description="active, or silent for longer than the phase's window")
    lapse: LapseName | None = Field(None, description="lapsed without a purchase that stands, or after one")
    cycle: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,5}\+?$",
        description="in this cycle; with a +, in this or a later one",
        examples=["2+"],
    )
    entered_from: InstantText | None = Field(
        None,
        description="entered the phase at this instant (RFC 3339) or later",
    )
    entered_to: InstantText | None = Field(
        None,
        description="entered it before this instant",
    )
    seen_from: InstantText | None = Field(
        None,
        description="last seen at this instant or later",
    )
    seen_to: InstantText | None = Field(
        None,
        description="last seen before this instant",
    )
    min_orders: _Orders | None = Field(None, description="with so many orders that stand, or more", examples=[1])
    max_orders: _Orders | None = Field(None, description="with so many orders that stand, or fewer", examples=[0])
    lapsing_within_days: int | None = Field(
        None, ge=1, le=3_660, description="active, and lapse within so many days unless they do something", examples=[7]
    )
    campaign: list[Name] = Field(
        [],
        max_length=MAX_VALUES,
        description="the opening of the present cycle names this campaign, or `(none)`; repeated: any of these",
        examples=[["spring"]],
    )
    as_of: InstantText | None = Field(
        None,
        description="as they stood at a past instant, floored as for /v1/phases/counts: by phase, activity, lapse, "
        "cycle, source and channel, in a stable order",
    )
    sort: Sort = Field(
        "id",
        description="by the id's digest, a stable order but not that of the alphabet; by when they were last seen; by "
        "when they entered the phase",
    )
    order: Direction | None = Field(None, description="without it by instants from the latest on")


@router.get("/v1/customers", responses=problem_responses(400, 403, 409), summary="Customers as a list")
async def get_customers(
    context: Context, token: Token, parameters: Annotated[CustomersParameters, Query()]
) -> AnswerResponse[Customers]:
    """Exactly those that a number counts, in a stable order. The first page has their number. One who changes meanwhile
    may show twice or never."""
    order = Order(parameters.sort, parameters.sort != "id" if parameters.order is None else parameters.order == "desc")
    cursors = _CURSORS[order]
    after = cursors.decode(parameters.cursor)
    spans = _Spans(parameters)
    customers = await customer_filter(context, token.workspace, parameters)
    total: int | None = None
    async with reading_model(context, "customers", token.workspace, parameters.model) as (connection, live):
        model, now_us = live.model, live.workspace.applied_watermark_us or 0
        if parameters.campaign:
            require_trails(live)
        phases = [phase_number(model, name, "phase", or_unplaced=True) for name in parameters.phase]
        within_days = parameters.lapsing_within_days
        question = CustomersQuestion(
            live.generation.id,
            Standing(customers, tuple(sorted(set(phases))), parameters.activity, parameters.lapse),
            _cycles(parameters.cycle),
            spans.entered,
            spans.seen,
            spans.orders,
            None if within_days is None else now_us + within_days * DAY_US,
            tuple(sorted(set(parameters.campaign))),
        )
        moment = _moment(live, spans.as_of_us, question, order)
        await plan_for_values(connection)
        rows: list[CustomerRow]
        if moment is not None:
            rows = await list_past_customers(connection, question, moment.at_us, after, parameters.limit + 1)
            if after is None and question.is_of_kept_counts:
                later = since(moment, live.zone)
                past = await read_past_counts(connection, live.generation.id, context.topic, customers, later=later)
                standing = question.standing
                of_phases = standing.phases or [phase.number for phase in model.phases]
                total = sum(standing.number_of(past.closing.get(phase, ZERO)) for phase in of_phases)
        else:
            rows = await list_customers(connection, model, question, order, after, parameters.limit + 1)
            if after is None:
                total = await count_customers(connection, model, question)
    page, last = split_page(rows, parameters.limit)
    sources = await source_names(context, token.workspace)
    counted = counted_total(total, is_kept=question.is_of_kept_counts)
    return AnswerResponse(
        Customers(
            model=model.name,
            as_of=None if moment is None else instant(moment.at_us),
            settled_until=instant(live.workspace.applied_watermark_us),
            total=counted.total,
            total_is_exact=counted.is_exact,
            items=[customer_answer(model, row, sources, is_past=moment is not None) for row in page],
            next_cursor=None if last is None else cursors.encode(last.position(order.sort)),
        )
    )


class _Spans:
    """What a request says from which to which.

    Raises:
        ServiceError: 400 `invalid_parameter`: an instant is none, or a span is empty.
    """

    def __init__(self, parameters: CustomersParameters) -> None:
        self.entered = _span(parameters.entered_from, parameters.entered_to, "entered")
        self.seen = _span(parameters.seen_from, parameters.seen_to, "seen")
        least, most = parameters.min_orders, parameters.max_orders
        if least is not None and most is not None and least > most:
            raise ServiceError(400, "invalid_parameter", "max_orders: give no less than min_orders", field="max_orders")
        self.orders = Span(least, None if most is None else most + 1)
        self.as_of_us = parse_optional_instant(parameters.as_of, "as_of")


def _cycles(text: str | None) -> Span:
    if text is None:
        return EVER
    cycle = int(text.removesuffix("+"))
    return Span(cycle, None if text.endswith("+") else cycle + 1)


def _span(first: str | None, end: str | None, name: str) -> Span:
    first_us, end_us = parse_optional_instant(first, f"{name}_from"), parse_optional_instant(end, f"{name}_to")
    if first_us is not None and end_us is not None and first_us >= end_us:
        field = f"{name}_to"
        raise ServiceError(400, "invalid_parameter", f"{field}: give an instant after {name}_from", field=field)
    return Span(first_us, end_us)


def _moment(live: LiveModel, at_us: int | None, question: CustomersQuestion, order: Order) -> Moment | None:
    """The stored moment that a past instant is floored to, as for the counts; None: the question is about now.

    Raises:
        ServiceError: 400 `invalid_parameter`: the question cannot be asked of the past.
    """
    if at_us is None:
        return None
    if order != Order("id", descending=False) or not question._replace(cycles=EVER).is_of_kept_counts:
        raise ServiceError(
            400,
            "invalid_parameter",
            "as_of: the past is listed by phase, activity, lapse, cycle, source and channel, in a stable order; leave "
            "the other parameters out",
            field="as_of",
        )
    return floored(at_us, live.workspace.latest_watermark_us, live.zone)
