"""One customer's journey, by any of the customer's ids."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.journeys.answers import CustomerRecord, Journey, journey_answer
from services.api.journeys.queries import (
    TouchpointPosition,
    customer_of,
    ids_of,
    journey_of,
    touchpoints_of,
    transitions_of,
)
from services.api.journeys.touchpoints import Touchpoints, touchpoint_answer
from services.api.shared.context import ApiContext, Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import ModelPageParameters
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import reading_model, source_names
from throughline.kit.errors import ServiceError
from throughline.store.digest import id_digest

router = APIRouter(tags=["customers"], route_class=AnswerRoute)
cursors = CursorCodec("t", TouchpointPosition)

_PROBLEMS = problem_responses(400, not_found="no such customer in this workspace")


class JourneyParameters(ModelPageParameters):
    """Whose journey, and which page of its touchpoints."""

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
    context: Context, token: Token, customer: str, parameters: Annotated[ModelPageParameters, Query()]
) -> AnswerResponse[Journey]:
    """Where the customer stands and why: every transition with its cause, and the touchpoints of all its ids, newest
    first. Any id that is linked to the customer will do."""
    return AnswerResponse(await _journey(context, token.workspace, customer, parameters))


async def _journey(context: ApiContext, workspace: int, id: str, parameters: ModelPageParameters) -> Journey:
    after = cursors.decode(parameters.cursor)
    async with reading_model(context, "journey", workspace, parameters.model) as (connection, live):
        generation = live.generation.id
        digest = await customer_of(connection, workspace, id_digest(workspace, id))
        stored = await journey_of(connection, generation, digest)
        if stored is None:
            raise ServiceError(404, "unknown_customer", "no touchpoint of this customer has arrived in this workspace")
        name, journey = stored
        id_rows = await ids_of(connection, workspace, digest)
        transitions = await transitions_of(connection, generation, digest)
        actors = {digest: name, **{row.id: row.name for row in id_rows}}
        rows = await touchpoints_of(connection, actors, after, parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    sources = await source_names(context, workspace)
    return journey_answer(
        live.model,
        CustomerRecord(name, digest, journey, transitions, id_rows),
        Touchpoints(
            items=[touchpoint_answer(row, sources) for row in page],
            next_cursor=None if last is None else cursors.encode(last.position),
        ),
        applied_watermark_us=live.workspace.applied_watermark_us,
        retention_cutoff_us=live.workspace.retention_cutoff_us,
    )
