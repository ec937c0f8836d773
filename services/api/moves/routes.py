"""The moves and the cycles behind numbers of counts, flows and variants."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.flows.answers import OUTCOMES, Outcome, Reading
from services.api.flows.places import place_named
from services.api.moves.answers import KINDS, Cycles, MoveKind, Moves, cycle_item, move_item
from services.api.moves.queries import (
    CycleFilter,
    CyclePosition,
    MoveFilter,
    MovePosition,
    count_moves,
    cycles_of,
    list_cycles,
    list_moves,
)
from services.api.shared.answers import NOT_COUNTED, counted_total, instant
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import SpanParameters, read_days
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
from services.api.shared.queries import count_in_time, plan_for_values
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.journey.model import Model
from throughline.kit.errors import ServiceError

router = APIRouter(tags=["flows"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
move_cursors = CursorCodec("v", MovePosition)
cycle_cursors = CursorCodec("y", CyclePosition)

MAX_TARGETS = 120
"""Maximum number of nodes of a list: more than moves can lead to from one, with as many phases as a model may have."""
_OUTCOMES: Mapping[str, int] = {name: number for number, name in OUTCOMES.items()}
_Names = Annotated[list[Name], Field(max_length=MAX_VALUES)]


class MovesParameters(CustomerParameters, PageParameters):
    """Which moves. What may be repeated means any of these."""

    kind: list[MoveKind] = Field([], description="of this kind; repeated: any of these", examples=[["enter"]])
    from_phase: _Names = Field([], description="out of this phase, or `unplaced`; repeated: any of these")
    to_phase: _Names = Field([], description="into this phase, or of a lapse in it; repeated: any of these")
    from_node: _Names = Field([], description="from this node of /v1/flows; repeated: any of these")
    to_node: list[Name] = Field(
        [], max_length=MAX_TARGETS, description="to this node of /v1/flows; repeated: any of these"
    )
    from_: InstantText | None = Field(None, alias="from", description="at this instant (RFC 3339) or later")
    to: InstantText | None = Field(None, description="before this instant")
    reading: Reading = Field(
        "moves", description="moves: `from` and `to` say when they were made; paths: when their cycle began"
    )


class CyclesParameters(SpanParameters, PageParameters):
    """Which cycles, by the days on which they began."""

    phases: str | None = Field(
        None,
        description="that entered these phases, with commas, and no others; without it any",
        examples=["discovery,decision"],
    )
    outcome: Outcome | None = Field(None, description="that ended in this way, or are open; without it any")
    but: list[Name] = Field(
        [],
        alias="except",
        max_length=MAX_VALUES,
        description="of none of these variants: phases with commas, a colon and the outcome",
        examples=[["discovery,decision:open"]],
    )


@router.get("/v1/moves", responses=problem_responses(400, 403), summary="The moves behind a number")
async def get_moves(
    context: Context, token: Token, parameters: Annotated[MovesParameters, Query()]
) -> AnswerResponse[Moves]:
    """Exactly those that a number of moves counts: `entered`, `left` and `returned` of a phase, an edge of flows, what
    goes into a node and out of it. A customer comes once for each move. The first page has their number."""
    after = move_cursors.decode(parameters.cursor)
    first_us, end_us = parse_optional_instant(parameters.from_, "from"), parse_optional_instant(parameters.to, "to")
    if first_us is not None and end_us is not None and first_us >= end_us:
        raise ServiceError(400, "invalid_parameter", "to: give an instant after from", field="to")
    customers = await customer_filter(context, token.workspace, parameters)
    numbers = {name: number for number, name in KINDS.items()}
    counted = NOT_COUNTED
    async with reading_model(context, "moves", token.workspace, parameters.model) as (connection, live):
        model = live.model
        moves = MoveFilter(
            live.generation.id,
            customers,
            first_us,
            end_us,
            of_cycles=parameters.reading == "paths",
            kinds=tuple(numbers[name] for name in parameters.kind),
            from_phases=tuple(
                phase_number(model, name, "from_phase", or_unplaced=True) for name in parameters.from_phase
            ),
            to_phases=tuple(phase_number(model, name, "to_phase") for name in parameters.to_phase),
            from_places=tuple(place_named(model, name, "from_node") for name in parameters.from_node),
            to_places=tuple(place_named(model, name, "to_node") for name in parameters.to_node),
        )
        await plan_for_values(connection)
        rows = await list_moves(connection, moves, after, parameters.limit + 1)
        if after is None:
            counted = counted_total(*await count_moves(connection, moves))
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(
        Moves(
            model=model.name,
            settled_until=instant(live.workspace.applied_watermark_us),
            total=counted.total,
            total_is_exact=counted.is_exact,
            items=[move_item(model, move) for move in page],
            next_cursor=None if last is None else move_cursors.encode(last.position),
        )
    )


@router.get("/v1/variants/cycles", responses=problem_responses(400, 403, 409), summary="The cycles behind a variant")
async def get_variant_cycles(
    context: Context, token: Token, parameters: Annotated[CyclesParameters, Query()]
) -> AnswerResponse[Cycles]:
    """Exactly those that /v1/variants counts. The first page has their number."""
    after = cycle_cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    total: int | None = None
    async with reading_model(context, "moves", token.workspace, parameters.model) as (connection, live):
        model = live.model
        days, _ = read_days(live, parameters)
        names = None if parameters.phases is None else parameters.phases.split(",")
        cycles = CycleFilter(
            live.generation.id,
            customers,
            days.from_us,
            days.end_us,
            None if names is None else _phases(model, names, "phases"),
            None if parameters.outcome is None else _OUTCOMES[parameters.outcome],
            tuple(_variant(model, text) for text in parameters.but),
        )
        await plan_for_values(connection)
        rows = await list_cycles(connection, cycles, after, parameters.limit + 1)
        if after is None:
            total = await count_in_time(connection, cycles_of(cycles))
    page, last = split_page(rows, parameters.limit)
    counted = counted_total(total)
    return AnswerResponse(
        Cycles(
            model=model.name,
            settled_until=instant(live.workspace.applied_watermark_us),
            total=counted.total,
            total_is_exact=counted.is_exact,
            items=[cycle_item(model, row) for row in page],
            next_cursor=None if last is None else cycle_cursors.encode(last.position),
        )
    )


def _phases(model: Model, names: Sequence[str], field: str) -> int:
    """The phases of these names, as bits."""
    return sum({1 << (phase_number(model, name.strip(), field) - 1) for name in names})


def _variant(model: Model, text: str) -> tuple[int, int]:
    """The phases and the outcome of a variant.

    Raises:
        ServiceError: 400 `invalid_parameter` or `unknown_phase`.
    """
    names, _, outcome = text.rpartition(":")
    if outcome not in _OUTCOMES:
        raise ServiceError(
            400, "invalid_parameter", f"except: give phases with commas, a colon and one of {', '.join(_OUTCOMES)}",
            field="except",
        )  # fmt: skip
    return _phases(model, names.split(","), "except"), _OUTCOMES[outcome]
