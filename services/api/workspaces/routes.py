"""The workspace of a token."""

from fastapi import APIRouter

from services.api.auth import Token
from services.api.shared.answers import instant
from services.api.shared.context import Context
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.queries import read_min_cell, read_workspace
from services.api.shared.responses import AnswerResponse
from services.api.workspaces.answers import Workspace
from services.api.workspaces.queries import read_name

router = APIRouter(tags=["models"], route_class=AnswerRoute)


@router.get("/v1/workspace", responses=problem_responses(), summary="The workspace of the token")
async def get_workspace(context: Context, token: Token) -> AnswerResponse[Workspace]:
    """Its time zone, in which days begin, its default model, and how far its numbers reach."""
    async with context.database.reading("workspace", token.workspace, consistent=True) as connection:
        state = await read_workspace(connection, token.workspace, context.topic)
        name = await read_name(connection, token.workspace)
        min_cell, _ = await read_min_cell(connection, token.workspace)
    return AnswerResponse(
        Workspace(
            name=name,
            time_zone=state.time_zone,
            default_model=state.default_model,
            min_cell=min_cell,
            settled_until=instant(state.applied_watermark_us),
            history_from=instant(state.retention_cutoff_us),
            ingest_url=context.ingest_url,
        )
    )
