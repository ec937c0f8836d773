"""The last events and what became of each, and the events that a model's vocabulary does not know."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Query
from pydantic import Field

from services.api.auth import Token
from services.api.events.answers import (
    ForeignCurrencyRefunds,
    OrphanRefunds,
    RecentEvents,
    RecentState,
    Unmapped,
    VerdictStatus,
    recent_answer,
    unmapped_events,
)
from services.api.events.queries import (
    RecentRow,
    UnmappedPosition,
    count_refunds,
    list_recent,
    list_unmapped,
    read_applied_watermark,
)
from services.api.rejected.queries import RejectedFilter, RejectedRow, count_rejected, list_rejected
from services.api.shared.answers import EncodedAnswer
from services.api.shared.cache import cached
from services.api.shared.context import ApiContext, Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import Limit, ModelPageParameters, Parameters
from services.api.shared.responses import AnswerResponse, ConditionalResponse
from services.api.shared.workspace import min_cell_of, reading_model, source_id, source_names
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us

router = APIRouter(tags=["events"], route_class=AnswerRoute)
cursors = CursorCodec("u", UnmappedPosition)

RECENT_SECONDS = 0.25
"""Maximum age of the last events: the database answers each distinct question about them at most this often."""
EXCERPT_BYTES = 2_048
"""Maximum length of the payload of a rejected event among the last ones; `/v1/rejected` gives more of it."""


class RecentParameters(Parameters):
    """Which of the last events."""

    source: str | None = Field(None, description="sent to this source", examples=["web"])
    verdict: VerdictStatus | None = Field(
        None, description="only events of which this became; of what was dropped only the count is kept"
    )
    limit: Limit = 50


class RecentQuestion(NamedTuple):
    """A distinct question about the last events. `source` and `verdict`: None asks for any."""

    workspace: int
    source: int | None
    verdict: VerdictStatus | None
    limit: int


@cached(seconds=RECENT_SECONDS)
async def recent_events(context: ApiContext, question: RecentQuestion) -> EncodedAnswer[RecentEvents]:
    """The last events, and the counts of what was rejected or dropped since the hour before this one began.

    Raises:
        ServiceError: 503 `database_away`.
    """
    since_us = (now_us() // HOUR_US - 1) * HOUR_US
    workspace, source, verdict, limit = question
    events = RejectedFilter(workspace, source=source)
    accepted: list[RecentRow] = []
    rejected: list[RejectedRow] = []
    async with context.database.reading("recent", workspace, consistent=True) as connection:
        applied_watermark_us = await read_applied_watermark(connection, context.topic)
        if verdict in (None, "ok", "warning"):
            warned = None if verdict is None else verdict == "warning"
            accepted = await list_recent(connection, workspace, source, warned=warned, count=limit)
        if verdict in (None, "rejected"):
            rejected = await list_rejected(connection, events, None, limit, payload_bytes=EXCERPT_BYTES)
        counts = await count_rejected(connection, events._replace(from_us=since_us))
    sources = await source_names(context, workspace)
    return recent_answer(RecentState(accepted, rejected, counts, since_us, applied_watermark_us), sources, limit)


@router.get(
    "/v1/events/recent",
    responses={304: {"description": "nothing came since the If-None-Match"}, **problem_responses(400)},
    summary="The last events",
)
async def get_recent(
    context: Context,
    token: Token,
    parameters: Annotated[RecentParameters, Query()],
    if_none_match: Annotated[str, Header(description="the ETag of the events you have")] = "",
) -> ConditionalResponse[RecentEvents]:
    """What came last and what became of it, newest first: for whoever wires up an SDK. Of each source and partition the
    last 32 events without warnings are kept, the last 32 with some, and of rejected ones a sample. Ask once a second,
    with the ETag, to see them come."""
    source = await source_id(context, token.workspace, parameters.source)
    question = RecentQuestion(token.workspace, source, parameters.verdict, parameters.limit)
    return ConditionalResponse(await recent_events(context, question), if_none_match)


@router.get("/v1/events/unmapped", responses=problem_responses(400, 403), summary="Events without a meaning")
async def get_unmapped(
    context: Context, token: Token, parameters: Annotated[ModelPageParameters, Query()]
) -> AnswerResponse[Unmapped]:
    """Names that the model's vocabulary does not know, most frequent first, by source. Such an event keeps a customer
    active and moves nobody. Beside them, by source, refunds and cancellations of orders that their customer never
    placed, and refunds in another currency than that of their order: neither takes an order back. Volumes move while
    you page: a name may show twice or not at all."""
    after = cursors.decode(parameters.cursor)
    min_cell = await min_cell_of(context, token.workspace, parameters.model)
    async with reading_model(context, "unmapped", token.workspace, parameters.model) as (connection, live):
        rows = await list_unmapped(connection, live.generation.id, after, parameters.limit + 1, min_cell)
        orphans = await count_refunds(connection, live.generation.id, "events", min_cell)
        foreign = await count_refunds(connection, live.generation.id, "foreign_currency", min_cell)
    sources = await source_names(context, token.workspace)
    events = unmapped_events(rows, sources)
    page, last = split_page(events, parameters.limit)
    return AnswerResponse(
        Unmapped(
            model=live.generation.name,
            min_cell=min_cell,
            items=list(page),
            orphan_refunds=[OrphanRefunds(sources.get(source), events) for source, events in orphans],
            foreign_currency_refunds=[
                ForeignCurrencyRefunds(sources.get(source), events) for source, events in foreign
            ],
            next_cursor=None if last is None else cursors.encode(UnmappedPosition(last.events, last.name)),
        )
    )
