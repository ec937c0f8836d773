"""One customer's journey, by any of the customer's ids."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.journeys.answers import (
    CustomerRecord,
    IdPage,
    Journey,
    TransitionPage,
    cycle_size,
    journey_answer,
)
from services.api.journeys.queries import (
    IdPosition,
    TouchpointPosition,
    TransitionPosition,
    customer_of,
    ids_of,
    is_recomputed,
    journey_of,
    position_of,
    read_transitions,
    touchpoints_of,
    transitions_from,
)
from services.api.journeys.touchpoints import Touchpoints, touchpoint_answer
from services.api.shared.context import ApiContext, Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import ModelPageParameters
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import reading_model, source_names
from throughline.journey.state import Transition
from throughline.kit.errors import ServiceError
from throughline.store.digest import id_digest

router = APIRouter(tags=["customers"], route_class=AnswerRoute)
touchpoint_cursors = CursorCodec("t", TouchpointPosition)
transition_cursors = CursorCodec("m", TransitionPosition, parameter="transitions_cursor")
id_cursors = CursorCodec("i", IdPosition, parameter="ids_cursor")

_PROBLEMS = problem_responses(400, not_found="no such customer in this workspace")


class JourneyPageParameters(ModelPageParameters):
    """Which pages of a journey's lists: each list has a cursor of its own."""

    cursor: str | None = Field(None, description="`touchpoints.next_cursor` of the page before")
    transitions_cursor: str | None = Field(None, description="`transitions.next_cursor` of the page before")
    ids_cursor: str | None = Field(None, description="`ids.next_cursor` of the page before")


class JourneyParameters(JourneyPageParameters):
    """Whose journey, and which pages of its lists."""

    customer: str = Field(
        min_length=1, description="the customer's id, or any id linked to it: any string", examples=["user-1"]
    )


@router.get("/v1/journey", responses=_PROBLEMS, summary="A customer's journey, for any id")
async def get_journey(
    context: Context, token: Token, parameters: Annotated[JourneyParameters, Query()]
) -> AnswerResponse[Journey]:
    """As /v1/customers/{id}/journey, for ids that a path cannot carry: an id can be any string."""
    return AnswerResponse(await _journey(context, token.workspace, parameters.customer, parameters))


@router.get("/v1/customers/{customer:path}/journey", responses=_PROBLEMS, summary="A customer's journey")
async def get_customer_journey(
    context: Context, token: Token, customer: str, parameters: Annotated[JourneyPageParameters, Query()]
) -> AnswerResponse[Journey]:
    """Where the customer stands and why: its transitions with their causes, and the touchpoints of all its ids, both
    newest first and in pages. Any id that is linked to the customer will do."""
    return AnswerResponse(await _journey(context, token.workspace, customer, parameters))


async def _journey(context: ApiContext, workspace: int, id: str, parameters: JourneyPageParameters) -> Journey:
    limit = parameters.limit
    touchpoints_after = touchpoint_cursors.decode(parameters.cursor)
    transitions_after = transition_cursors.decode(parameters.transitions_cursor)
    ids_after = id_cursors.decode(parameters.ids_cursor)
    async with reading_model(context, "journey", workspace, parameters.model) as (connection, live):
        generation = live.generation.id
        digest = await customer_of(connection, workspace, id_digest(workspace, id))
        stored = await journey_of(connection, generation, digest)
        recomputing = await is_recomputed(connection, generation, digest)
        if stored is None and recomputing:
            raise ServiceError(
                404, "not_computed_yet", "this customer's journey is long and being computed; ask again in a while"
            )
        if stored is None:
            raise ServiceError(404, "unknown_customer", "no touchpoint of this customer has arrived in this workspace")
        name, journey = stored
        id_rows = await ids_of(connection, workspace, digest)
        of_cycle = cycle_size(live.model)
        transitions = await read_transitions(connection, generation, digest, limit + of_cycle, before=transitions_after)
        newest, newer = transitions, list[Transition]()
        if transitions_after is not None:
            newest = await read_transitions(connection, generation, digest, of_cycle)
            newer = await transitions_from(connection, generation, digest, transitions_after, 2)
        actors = {digest: name, **{row.id: row.name for row in id_rows}}
        touchpoints = await touchpoints_of(connection, actors, touchpoints_after, limit)
    linked = sorted(
        (row for row in id_rows if row.owner is not None and row.id != digest), key=lambda row: row.position
    )
    ids, last_id = split_page([row for row in linked if ids_after is None or row.position > ids_after], limit)
    moves, last_move = split_page(transitions, limit)
    sources = await source_names(context, workspace)
    return journey_answer(
        live.model,
        CustomerRecord(name, journey, newest),
        ids=IdPage(ids, len(linked), actors, None if last_id is None else id_cursors.encode(last_id.position)),
        transitions=TransitionPage(moves, newer, transitions[limit:]),
        transitions_cursor=None if last_move is None else transition_cursors.encode(position_of(last_move)),
        touchpoints=Touchpoints(
            items=[touchpoint_answer(row, sources) for row in touchpoints.rows],
            next_cursor=None if touchpoints.last is None else touchpoint_cursors.encode(touchpoints.last),
        ),
        applied_watermark_us=live.workspace.applied_watermark_us,
        retention_cutoff_us=live.workspace.retention_cutoff_us,
        recomputing=recomputing,
    )
