"""Ids with links that were not made."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.auth import Token
from services.api.identity.answers import IdentitySuspects, suspect_answer
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import PageParameters
from services.api.shared.responses import AnswerResponse
from throughline.store.identity_suspects import SuspectPosition, list_suspects

router = APIRouter(tags=["customers"], route_class=AnswerRoute)
cursors = CursorCodec("n", SuspectPosition)


@router.get("/v1/identity/suspects", responses=problem_responses(400), summary="Ids that belong to nobody alone")
async def get_suspects(
    context: Context, token: Token, parameters: Annotated[PageParameters, Query()]
) -> AnswerResponse[IdentitySuspects]:
    """Ids with links that were not made, because a customer or an id would have had too many; newest first.
    A user id for everybody does this, or a device that many share."""
    after = cursors.decode(parameters.cursor)
    async with context.database.reading("suspects", token.workspace) as connection:
        rows = await list_suspects(connection, token.workspace, after, parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    position = None if last is None else SuspectPosition(last.last_us, last.id)
    return AnswerResponse(
        IdentitySuspects(
            items=[suspect_answer(row) for row in page],
            next_cursor=None if position is None else cursors.encode(position),
        )
    )
