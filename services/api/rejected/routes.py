"""Rejected events with their reasons, so that whoever sends them sees what to mend."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.rejected.answers import RejectedEvents, is_sampled, rejected_count, rejected_event
from services.api.rejected.queries import (
    BEGINNING_US,
    END_US,
    RejectedFilter,
    RejectedPosition,
    count_rejected,
    list_rejected,
)
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, InstantText, PageParameters, parse_instant
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import source_id, source_names

router = APIRouter(tags=["events"], route_class=AnswerRoute)
cursors = CursorCodec("r", RejectedPosition)


class RejectedParameters(PageParameters):
    """Which rejected events, and which page of their list."""

    from_: InstantText | None = Field(
        None,
        alias="from",
        description="received at this instant (RFC 3339) or later",
    )
    to: InstantText | None = Field(
        None,
        description="received before this instant",
    )
    source: str | None = Field(None, pattern=TEXT, description="sent to this source", examples=["web"])
    stage: str | None = Field(
        None, pattern=TEXT, description="rejected by `ingest` or `stager`; `consent`: dropped", examples=["ingest"]
    )
    code: str | None = Field(None, pattern=TEXT, description="rejected for this reason", examples=["missing_field"])


@router.get("/v1/rejected", responses=problem_responses(400), summary="Rejected events")
async def get_rejected(
    context: Context, token: Token, parameters: Annotated[RejectedParameters, Query()]
) -> AnswerResponse[RejectedEvents]:
    """Rejected events that are kept whole, newest first, and how many there were of each reason. Where more than a
    hundred came in an hour, a sample is kept (`sampled`); all are counted. Events dropped for want of consent are only
    counted, by their names where the source is set so. Counts are of whole hours (UTC)."""
    after = cursors.decode(parameters.cursor)
    events = RejectedFilter(
        token.workspace,
        BEGINNING_US if parameters.from_ is None else parse_instant(parameters.from_, "from"),
        END_US if parameters.to is None else parse_instant(parameters.to, "to"),
        await source_id(context, token.workspace, parameters.source),
        parameters.stage,
        parameters.code,
    )
    async with context.database.reading("rejected", token.workspace, consistent=True) as connection:
        rows = await list_rejected(connection, events, after, parameters.limit + 1)
        counts = await count_rejected(connection, events)
    page, last = split_page(rows, parameters.limit)
    sources = await source_names(context, token.workspace)
    return AnswerResponse(
        RejectedEvents(
            counts=[rejected_count(count, sources) for count in counts],
            sampled=is_sampled(counts),
            items=[rejected_event(row, sources) for row in page],
            next_cursor=None if last is None else cursors.encode(last.position),
        )
    )
