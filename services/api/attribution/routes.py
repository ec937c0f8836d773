"""What brought the orders: credit, paths, and each order with its own."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import MAX_VALUE, MAX_VALUES
from services.api.attribution.answers import (
    AttributedOrders,
    Costs,
    OrderPaths,
    OrdersPath,
    Paths,
    PathsFields,
    ValueCredit,
    order_item,
    path_items,
    totals,
    value_rows,
)
from services.api.attribution.queries import (
    MAX_PATHS,
    Dimension,
    OrderPosition,
    PathQuestion,
    Scope,
    count_open_cycles,
    list_orders,
    read_path_rows,
    touch_table,
)
from services.api.auth import Token
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import Days, SpanParameters, of_days, read_days, require_conversions
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, PageParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.queries import CustomerFilter
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import LiveModel, customer_filter, list_links, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics.attribution import (
    MICRO,
    OTHER,
    RULES,
    SUMS_TO_MORE,
    Converting,
    Credits,
    Direct,
    Path,
    Settings,
    Touch,
    Transform,
    credit,
    prepared,
    shares_of,
)
from throughline.analytics.markov import NoNullsError, TooManyStatesError
from throughline.analytics.paths import Journeys, ModelCredit, converting, counted, markov_credit, shapley_credit
from throughline.journey.durations import DAY_US
from throughline.journey.model import Model as PhaseModel
from throughline.kit.clock import rfc3339, to_datetime
from throughline.kit.errors import ServiceError
from throughline.store.costs import read_costs

router = APIRouter(tags=["attribution"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("o", OrderPosition)

Model = Literal["markov", "shapley"]
MODELS: tuple[Model, ...] = get_args(Model)
RuleOrModel = Literal[
    "first", "last", "last_non_direct", "linear", "position", "j_shaped", "inverse_j", "time_decay", "custom",
    "participation", "unique_linear", "markov", "shapley",
]  # fmt: skip
"""One list, so that a generated client has one type of them."""
Lookback = Literal["7d", "14d", "30d", "60d", "90d"]
MAX_LISTED_PATHS = 500
MAX_COSTS = 10_000
"""Maximum number of values with a cost that one answer reads."""
_EPOCH = date(1970, 1, 1).toordinal()
MAX_HALF_LIFE_DAYS = 365
MAX_WEIGHT = 1_000_000


class TouchParameters(SpanParameters):
    """Which orders, and which touches before them."""

    goal: str = Field(
        "order",
        description="what a conversion is: `order`, a live one; the entry into a phase; or `kind:` and a kind of the "
        "model, each event of which is one. These have no value",
        examples=["decision"],
    )
    by: Dimension = Field("channel", description="the fact of each touch that has the credit")
    lookback: Lookback = Field("30d", description="how long before the order touches count")
    scope: Scope = Field(
        "customer",
        description="touches of the customer; of the cycle of the order; or only those since the customer's order "
        "before",
    )
    direct: Direct = Field(
        "keep", description="leave out direct touches if there are others, or those that nothing else follows"
    )
    transform: Transform = Field(
        "none", description="exposure: repeats in a row are one touch; first: each value where it first stood"
    )
    exposures: bool = Field(False, description="count ads shown and messages delivered, too")


class RuleParameters(TouchParameters):
    """How credit is shared."""

    half_life_days: float = Field(
        7, gt=0, le=MAX_HALF_LIFE_DAYS, description="of `time_decay`: a touch so long before has half the credit"
    )
    weights: str | None = Field(
        None,
        max_length=64,
        description="of `custom`: of the first touch, of those between together, and of the last",
        examples=["40,20,40"],
    )


class AttributionParameters(RuleParameters):
    """By which rule."""

    rule: RuleOrModel = Field("last_non_direct", description="a rule; or a model of all paths")
    compare_rules: str | None = Field(
        None, max_length=200, description="further rules and models, with commas", examples=["first,linear"]
    )
    order: int = Field(1, ge=1, le=3, description="of `markov`: how many touches a state holds")
    intervals: bool = Field(False, description="bounds of the credit of a model, by 200 resamples")
    limit: int = Field(MAX_VALUES, ge=1, le=100, description="maximum number of values told apart")


class PathsParameters(TouchParameters):
    """Which paths."""

    limit: int = Field(50, ge=1, le=MAX_LISTED_PATHS, description="maximum number of paths told apart")


class OrdersParameters(RuleParameters, PageParameters):
    """Which orders."""

    value: str | None = Field(
        None,
        pattern=TEXT,
        max_length=MAX_VALUE,
        description="only orders with a touch of this value of `by` before them; `(none)`: without a touch; `(other)`: "
        "with a touch of none of `except`",
        examples=["email"],
    )
    but: list[str] = Field([], alias="except", max_length=100, description="values that are not `(other)`")


@router.get("/v1/attribution", responses=problem_responses(400, 403, 409), summary="What brought the orders")
async def get_attribution(
    context: Context, token: Token, parameters: Annotated[AttributionParameters, Query()]
) -> AnswerResponse[AttributedOrders]:
    """The live orders of the span and their money, credited to what came before them. Under every rule and dimension
    the rows add up to the same totals. Credit describes the ways to orders; it does not say what caused them."""
    rules = _rules(parameters)
    settings = _settings(parameters)
    has_models = any(rule in MODELS for rule in rules)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "attribution", token.workspace, parameters.model) as (connection, live):
        question, days = _question(live, token.workspace, parameters, customers)
        journeys = await _read(connection, question, has_nulls=has_models, has_ages="time_decay" in rules)
        costs = await _read_costs(connection, question, days, live)
    links = await list_links(context, token.workspace, live.model.name, customers)

    def path(value: str | None, told_apart: Sequence[str]) -> str:
        others = {"except": told_apart} if value == OTHER else {}
        return links.path("/v1/attribution/orders", {**_asked(parameters, days), "value": value, **others})

    orders, rows = await asyncio.to_thread(_credited, journeys, rules, settings, parameters, path, costs)
    return AnswerResponse(
        AttributedOrders(
            **_of_paths(live, days, parameters),
            rule=parameters.rule,
            orders=sum(row.conversions for row in orders),
            totals=totals(orders, costs),
            adds_up=parameters.rule not in SUMS_TO_MORE,
            rows=rows,
            links={"orders": path(None, ())},
        )
    )


@router.get("/v1/attribution/paths", responses=problem_responses(400, 403, 409), summary="Paths before orders")
async def get_attribution_paths(
    context: Context, token: Token, parameters: Annotated[PathsParameters, Query()]
) -> AnswerResponse[Paths]:
    """The sequences of touches before orders, and how many cycles with the same one ended without an order. That of
    such a cycle is seen from its last own touchpoint. Cycles that go on are counted apart."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "attribution_paths", token.workspace, parameters.model) as (connection, live):
        question, days = _question(live, token.workspace, parameters, customers)
        journeys = await _read(connection, question, has_nulls=True, has_ages=False)
        open_cycles = await count_open_cycles(connection, question)
    counts = await asyncio.to_thread(counted, journeys, parameters.direct, parameters.transform)
    items, other = path_items(counts, parameters.limit)
    return AnswerResponse(
        Paths(
            **_of_paths(live, days, parameters),
            conversions=sum(row.conversions for row in counts),
            nulls=sum(row.nulls for row in counts),
            open_cycles=open_cycles,
            paths=items,
            other=other,
        )
    )


@router.get("/v1/attribution/orders", responses=problem_responses(400, 403, 409), summary="Orders with their paths")
async def get_attribution_orders(
    context: Context, token: Token, parameters: Annotated[OrdersParameters, Query()]
) -> AnswerResponse[OrderPaths]:
    """Exactly the orders that attribution counts for the same parameters, by time, each with the touches before it and
    what every rule credits to each of them."""
    after = cursors.decode(parameters.cursor)
    settings = _settings(parameters)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "attribution_orders", token.workspace, parameters.model) as (connection, live):
        question, _ = _question(live, token.workspace, parameters, customers)
        rows = await list_orders(
            connection,
            question,
            parameters.value,
            after,
            parameters.limit + 1,
            but=parameters.but,
        )
    page, last = split_page(rows, parameters.limit)
    items = []
    for row in page:
        path = tuple(Touch(touch.value, touch.channel == "direct", touch.age_us) for touch in row.touches)
        items.append(order_item(row, _shares(path, settings, parameters), is_order=parameters.goal == "order"))
    return AnswerResponse(OrderPaths(live.model.name, items, None if last is None else cursors.encode(last.position)))


def _question(
    live: LiveModel, workspace: int, parameters: TouchParameters, customers: CustomerFilter
) -> tuple[PathQuestion, Days]:
    """The question to the store, and its days.

    Raises:
        ServiceError: 400 `invalid_parameter`; 409 `restage_needed`.
    """
    days, _ = read_days(live, parameters)
    require_conversions(live)
    question = PathQuestion(
        workspace,
        live.generation.id,
        days,
        customers,
        touch_table(live.model),
        parameters.by,
        int(parameters.lookback[:-1]) * DAY_US,
        parameters.scope,
        parameters.exposures,
        _goal(live.model, parameters.goal),
    )
    return question, days


def _goal(model: PhaseModel, name: str) -> int | str | None:
    """The goal of a question.

    Raises:
        ServiceError: 400 `unknown_phase`, `invalid_parameter`: there is none of this name.
    """
    if name == "order":
        return None
    kind = name.removeprefix("kind:")
    if kind == name:
        return phase_number(model, name, "goal")
    kinds = {each.name for each in (*model.calls.values(), *model.names.values())}
    if kind not in kinds:
        message = f"goal: {kind[:100]!r} is none of {', '.join(sorted(kinds))}"
        raise ServiceError(400, "invalid_parameter", message, field="goal")
    return kind


async def _read(
    connection: AsyncConnection, question: PathQuestion, *, has_nulls: bool, has_ages: bool
) -> list[Journeys]:
    """The paths of the question.

    Raises:
        ServiceError: 400 `invalid_parameter`: there are too many.
    """
    rows = await read_path_rows(connection, question, has_nulls=has_nulls, has_ages=has_ages)
    if len(rows) > MAX_PATHS:
        raise ServiceError(
            400,
            "invalid_parameter",
            f"from: there are more than {MAX_PATHS:,} different paths in this span; ask for fewer days, by channel, or "
            "with a shorter lookback",
            field="from",
        )
    return [
        Journeys(
            tuple(map(Touch, row.values, row.are_direct, row.ages_us or [0] * len(row.values))),
            row.currency,
            row.number,
            row.gross,
            row.net,
        )
        for row in rows
    ]


def _credited(
    journeys: Sequence[Journeys],
    rules: Sequence[RuleOrModel],
    settings: Settings,
    parameters: AttributionParameters,
    path: OrdersPath,
    costs: Costs,
) -> tuple[list[Converting], list[ValueCredit]]:
    """The orders by path, and the rows.

    Raises:
        ServiceError: 400 `invalid_parameter`: a model says nothing about these paths.
    """
    orders = converting(journeys)
    credits: dict[str, Credits] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for place, rule in enumerate(rules):
        if rule in RULES:
            credits[rule] = credit(orders, rule, settings, parameters.direct, parameters.transform)
            continue
        model = _of_model(journeys, rule, parameters, with_bounds=parameters.intervals and place == 0)
        credits[rule] = model.credits(orders)
        if place == 0:
            bounds = model.bounds
    return orders, value_rows(orders, credits, parameters.limit, bounds, path, costs)


def _of_model(
    journeys: Sequence[Journeys], rule: RuleOrModel, parameters: AttributionParameters, *, with_bounds: bool
) -> ModelCredit:
    counts = counted(journeys, parameters.direct, parameters.transform)
    if rule == "shapley":
        return shapley_credit(counts, with_bounds=with_bounds)
    try:
        return markov_credit(counts, parameters.order, with_bounds=with_bounds)
    except NoNullsError:
        raise ServiceError(
            400,
            "invalid_parameter",
            "order: no cycle of this span ended without an order, and a chain of order 1 says nothing then; "
            "ask for more days, or for order 2",
            field="order",
        ) from None
    except TooManyStatesError:
        raise ServiceError(
            400, "invalid_parameter", "order: these paths have too many states; ask for a lower order", field="order"
        ) from None


async def _read_costs(connection: AsyncConnection, question: PathQuestion, days: Days, live: LiveModel) -> Costs:
    """What was spent on the days of the calendar.

    Raises:
        ServiceError: 400 `invalid_parameter`: there are too many values.
    """
    first, last = (to_datetime(us).astimezone(live.zone).date().toordinal() for us in (days.starts[0], days.starts[-1]))
    calendar = (first - _EPOCH, last - _EPOCH)
    costs = await read_costs(connection, question.workspace, question.by, calendar, MAX_COSTS + 1)
    if len(costs) > MAX_COSTS:
        raise ServiceError(
            400,
            "invalid_parameter",
            f"from: more than {MAX_COSTS:,} values have a cost in this span; ask for fewer days",
            field="from",
        )
    return costs


def _rules(parameters: AttributionParameters) -> list[RuleOrModel]:
    """The rule of the question, and those to compare with it.

    Raises:
        ServiceError: 400 `invalid_parameter`: there is no such rule.
    """
    rules: list[RuleOrModel] = [parameters.rule]
    every: dict[str, RuleOrModel] = {name: name for name in (*RULES, *MODELS)}
    for name in (parameters.compare_rules or "").split(","):
        if not name.strip():
            continue
        rule = every.get(name.strip())
        if rule is None:
            raise ServiceError(
                400,
                "invalid_parameter",
                f"compare_rules: there is no rule {name.strip()[:100]!r}; there are: {', '.join(every)}",
                field="compare_rules",
            )
        if rule not in rules:
            rules.append(rule)
    return rules


def _settings(parameters: RuleParameters) -> Settings:
    """What the rules take.

    Raises:
        ServiceError: 400 `invalid_parameter`: the weights are not three numbers.
    """
    half_life_us = max(1, round(parameters.half_life_days * DAY_US))
    if parameters.weights is None:
        return Settings(half_life_us)
    try:
        first, middle, last = (round(float(part) * MICRO) for part in parameters.weights.split(","))
        if min(first, middle, last) < 0 or not 0 < first + middle + last <= MAX_WEIGHT * MICRO:
            raise ValueError
    except (ValueError, OverflowError):
        raise ServiceError(
            400,
            "invalid_parameter",
            f"weights: {parameters.weights[:100]!r} is not three numbers from 0, not all 0, such as 40,20,40",
            field="weights",
        ) from None
    return Settings(half_life_us, (first, middle, last))


def _of_paths(live: LiveModel, days: Days, parameters: TouchParameters) -> PathsFields:
    return {
        **of_days(live, days),
        "goal": parameters.goal,
        "by": parameters.by,
        "lookback": parameters.lookback,
        "scope": parameters.scope,
        "direct": parameters.direct,
        "transform": parameters.transform,
    }


def _asked(parameters: AttributionParameters, days: Days) -> dict[str, str]:
    """The parameters of a list of orders that hold the same touches."""
    return {
        "from": rfc3339(days.from_us),
        "to": rfc3339(days.end_us),
        "goal": parameters.goal,
        "by": parameters.by,
        "lookback": parameters.lookback,
        "scope": parameters.scope,
        **({"exposures": "true"} if parameters.exposures else {}),
    }


def _shares(path: Path, settings: Settings, parameters: TouchParameters) -> dict[str, list[int]]:
    """Rule -> credit of each touch of a path; those that are left out have none."""
    numbered = tuple(touch._replace(age_us=place) for place, touch in enumerate(path))
    places = [touch.age_us for touch in prepared(numbered, parameters.direct, parameters.transform)]
    counted_touches = tuple(path[place] for place in places)
    result: dict[str, list[int]] = {}
    for rule in RULES:
        of_rule = result[rule] = [0] * len(path)
        for place, share in zip(places, shares_of(counted_touches, rule, settings), strict=True):
            of_rule[place] = share
    return result
