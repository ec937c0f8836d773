"""Shared links: made, listed and revoked; and what one opens."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from services.api.auth import EditToken, SharedToken, Token
from services.api.shared.context import Context
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.responses import AnswerResponse
from services.api.sharing.answers import NewShare, ShareAnswer, Shared, Shares, new_share_answer, share_answer
from services.api.sharing.questions import MAX_QUESTION, MAX_QUESTIONS, check_questions
from throughline.journey.durations import DAY_US
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.store.access.shares import (
    MAX_SHARES,
    TooManySharesError,
    create_share,
    find_share,
    list_shares,
    revoke_share,
)

router = APIRouter(tags=["shares"], route_class=AnswerRoute)

DEFAULT_DAYS, MAX_DAYS = 30, 366
VIEW = r"^#/[a-z][a-z-]{0,40}(\?[!-~]*)?$"
"""An address within the page: a view of numbers, with its parameters escaped."""
LINE = r"^[^\x00-\x1f\x7f]+$"

_Id = Annotated[int, Path(ge=1, lt=2**63)]
_NOT_FOUND = "no shared link has that id"


class ShareBody(BaseModel):
    """What to share."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        "shared link", min_length=1, max_length=100, pattern=LINE, description="for the list", examples=["Funnel"]
    )
    view: str = Field(
        max_length=2_000,
        pattern=VIEW,
        description="what follows the page's address",
        examples=["#/funnel?span=28d"],
    )
    questions: list[Annotated[str, Field(max_length=MAX_QUESTION)]] = Field(
        min_length=1,
        max_length=MAX_QUESTIONS,
        description="all that the view asks: paths of numbers with their parameters, the span as instants",
        examples=[["/v1/funnel?from=2026-11-01T00%3A00%3A00Z"]],
    )
    expires_in_days: int = Field(DEFAULT_DAYS, ge=1, le=MAX_DAYS)


@router.post(
    "/v1/shares",
    responses=problem_responses(400, conflict="the workspace has as many shared links as it may"),
    summary="Share a view",
)
async def post_share(context: Context, token: EditToken, body: ShareBody) -> AnswerResponse[NewShare]:
    """Make a link that shows one view, until it expires or is revoked, or until the token that made it is. Whoever has
    the link may ask these questions, with exactly these parameters, and no others."""
    check_questions(body.questions)
    made_us = now_us()
    entry: dict[str, object] = {"view": body.view, "days": body.expires_in_days}
    try:
        async with context.database.administering(token, "share create", entry) as connection:
            share, secret = await create_share(
                connection,
                token,
                name=body.name,
                view=body.view,
                questions=body.questions,
                now_us=made_us,
                expires_us=made_us + body.expires_in_days * DAY_US,
            )
            entry["share"] = share.id
    except TooManySharesError:
        raise ServiceError(
            409, "too_many_shares", f"the workspace has {MAX_SHARES} shared links, as many as it may; revoke one first"
        ) from None
    return AnswerResponse(new_share_answer(share, secret))


@router.get("/v1/shares", responses=problem_responses(), summary="The shared links")
async def get_shares(context: Context, token: Token) -> AnswerResponse[Shares]:
    """The links of the workspace that open something, newest first, without their tokens."""
    async with context.database.reading("shares", token.workspace) as connection:
        shares = await list_shares(connection, token.workspace, now_us=now_us())
    return AnswerResponse(Shares(items=[share_answer(share) for share in shares]))


@router.delete("/v1/shares/{share}", responses=problem_responses(400, not_found=_NOT_FOUND), summary="Revoke a link")
async def delete_share(context: Context, token: EditToken, share: _Id) -> AnswerResponse[ShareAnswer]:
    """Revoke a link: it opens nothing any more within a second or two. The answer is what it was."""
    async with context.database.administering(token, "share revoke", {"share": share}) as connection:
        revoked = await revoke_share(connection, token.workspace, share)
        if revoked is None:
            raise ServiceError(404, "unknown_share", _NOT_FOUND)
    return AnswerResponse(share_answer(revoked))


@router.get(
    "/v1/shared", responses=problem_responses(not_found="the token is of no shared link"), summary="What a link opens"
)
async def get_shared(context: Context, token: SharedToken) -> AnswerResponse[Shared]:
    """The view of the link whose token is sent, and all that it may ask."""
    async with context.database.reading("share", token.workspace) as connection:
        share = await find_share(connection, token.workspace, -token.id)
    if share is None:
        raise ServiceError(404, "not_shared", "the link was revoked")
    answer = share_answer(share)
    return AnswerResponse(
        Shared(
            name=answer.name,
            view=answer.view,
            questions=answer.questions,
            workspace=token.workspace_name,
            expires_at=answer.expires_at,
        )
    )
