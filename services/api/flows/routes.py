"""Flows between phases, and the variants of cycles."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.flows.answers import (
    NO_KINDS,
    KindCycles,
    KindVariants,
    PhaseFlows,
    Reading,
    Variants,
    flows_answer,
    kind_cycles_answer,
    kind_variants_answer,
    variants_answer,
)
from services.api.flows.queries import (
    KindCyclePosition,
    KindOutcome,
    list_kind_cycles,
    read_kind_paths,
    read_moves,
    read_variants,
)
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import SpanParameters, read_days, require_trails
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, PageParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import LiveModel, customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics.flows import MAX_EDGES, flows
from throughline.journey.flows import MOVES, PATHS
from throughline.journey.model import Model
from throughline.kit.errors import ServiceError

MAX_PATH = 4_000
"""Maximum number of characters of a path of kinds."""
router = APIRouter(tags=["flows"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
kind_cursors = CursorCodec("k", KindCyclePosition)


class FlowParameters(SpanParameters):
    """Which moves."""

    reading: Reading = Field(
        "moves",
        description="moves: all of the span, which explain the counts; paths: those of the cycles that began in the "
        "span, which explain the funnel",
    )
    edges: int = Field(MAX_EDGES, ge=1, le=400, description="Maximum number of edges shown one by one")


class KindVariantsParameters(SpanParameters):
    """What a success is."""

    goal: str | None = Field(
        None, description="the phase by which a cycle has succeeded; without it the last one", examples=["purchase"]
    )


class KindCyclesParameters(KindVariantsParameters, PageParameters):
    """Which cycles."""

    kinds: str | None = Field(
        None,
        pattern=TEXT,
        max_length=MAX_PATH,
        description=f"through these kinds, with commas; `{NO_KINDS}`: none that is known; without it any",
        examples=["browse,order"],
    )
    other: bool = Field(False, description="only those of the variants that are not shown one by one")
    outcome: KindOutcome = Field("all", description="reached: only those that came to the goal; lapsed: that lapsed")


@router.get("/v1/flows", responses=problem_responses(400, 403, 409), summary="Moves between phases")
async def get_flows(
    context: Context, token: Token, parameters: Annotated[FlowParameters, Query()]
) -> AnswerResponse[PhaseFlows]:
    """Of every node `opening + in = closing + out`. The reading `moves` adds up to the phase counts: `closing` of a
    phase's nodes is how many customers stand there at the end."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "flows", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        reading = MOVES if parameters.reading == "moves" else PATHS
        span = (days.from_us, days.end_us)
        moves = await read_moves(connection, live.generation.id, reading, span, customers)
    return AnswerResponse(
        flows_answer(
            live, days, parameters.reading, flows(moves, parameters.edges, reading=reading), _lists(live, parameters)
        )
    )


@router.get("/v1/variants", responses=problem_responses(400, 403, 409), summary="Which phases cycles enter")
async def get_variants(
    context: Context, token: Token, parameters: Annotated[SpanParameters, Query()]
) -> AnswerResponse[Variants]:
    """The cycles that began in the span by the phases they entered and by how they ended."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "flows", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        variants = await read_variants(connection, live.generation.id, (days.from_us, days.end_us), customers)
    return AnswerResponse(variants_answer(live, days, variants, _lists(live, parameters)))


@router.get("/v1/variants/kinds", responses=problem_responses(400, 403, 409), summary="What cycles go through")
async def get_kind_variants(
    context: Context, token: Token, parameters: Annotated[KindVariantsParameters, Query()]
) -> AnswerResponse[KindVariants]:
    """The cycles that began in the span by the kinds of touchpoints that they went through, and how many of them came
    to the goal."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "kind_variants", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        model = live.model
        goal = len(model.phases) if parameters.goal is None else phase_number(model, parameters.goal, "goal")
        require_trails(live)
        paths = await read_kind_paths(connection, live.generation.id, days, customers, goal)
    return AnswerResponse(kind_variants_answer(live, days, paths, goal, _lists(live, parameters)))


@router.get("/v1/variants/kinds/cycles", responses=problem_responses(400, 403, 409), summary="Cycles behind a variant")
async def get_kind_variant_cycles(
    context: Context, token: Token, parameters: Annotated[KindCyclesParameters, Query()]
) -> AnswerResponse[KindCycles]:
    """Exactly those that /v1/variants/kinds counts for the same parameters, in a stable order."""
    after = kind_cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "kind_variants", token.workspace, parameters.model) as (connection, live):
        days, _ = read_days(live, parameters)
        model = live.model
        goal = len(model.phases) if parameters.goal is None else phase_number(model, parameters.goal, "goal")
        require_trails(live)
        rows = await list_kind_cycles(
            connection,
            live.generation.id,
            days,
            customers,
            goal,
            path=None if parameters.kinds is None else _path(model, parameters.kinds),
            is_other=parameters.other,
            outcome=parameters.outcome,
            after=after,
            count=parameters.limit + 1,
        )
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(
        kind_cycles_answer(model.name, page, None if last is None else kind_cursors.encode(last.position))
    )


def _path(model: Model, text: str) -> tuple[str, ...]:
    """The kinds of a path.

    Raises:
        ServiceError: 400 `invalid_parameter`: the model has no such kind.
    """
    if text == NO_KINDS:
        return ()
    names = text.split(",")
    kinds = {kind.name for kind in (*model.calls.values(), *model.names.values())}
    for name in names:
        if name not in kinds:
            raise ServiceError(400, "invalid_parameter", f"kinds: there is no kind {name[:100]!r}", field="kinds")
    return tuple(names)


def _lists(live: LiveModel, parameters: SpanParameters) -> ListLinks:
    return ListLinks(live.model.name, parameters.source, parameters.channel)
