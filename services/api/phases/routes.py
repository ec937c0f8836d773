"""The live counts of a phase model, those of a past moment, and the values their filters take."""

from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated, Credentials, authenticate
from services.api.live.feeds import CountsStream, Feeds
from services.api.shared.context import PastKey
from services.api.shared.queries import channels
from services.api.shared.responses import OfModel, json_response, unless_seen
from services.api.shared.steps import parse_instant
from throughline.journey.durations import MINUTE_US
from throughline.kit.errors import ServiceError

router = APIRouter(tags=["phases"])


class CountsFilter(OfModel):
    """Which customers to count."""

    source: str | None = Field(None, description="only customers whose first touchpoint came through this source")
    # PostgreSQL's text holds no NUL.
    channel: str | None = Field(
        None, pattern=r"^[^\x00]*$", description="only customers whose first touchpoint came through this channel"
    )


class MomentFilter(CountsFilter):
    """Which customers to count, and when."""

    as_of: str | None = Field(
        None,
        description="a past instant (RFC 3339), floored to the minute within two days, to the hour within 90 days, "
        "else to the day of the workspace's time zone; the answer's as_of says to which",
        examples=["2026-11-23T20:28:00Z"],
    )


@router.get(
    "/v1/phases/counts",
    response_model=schemas.Counts,
    responses={304: {"description": "nothing changed since the If-None-Match"}, **schemas.responses(400)},
    summary="Where all customers stand, or stood",
)
async def get_counts(
    readers: AllReaders,
    reader: Authenticated,
    which: Annotated[MomentFilter, Query()],
    if_none_match: Annotated[str, Header(description="the ETag of the counts you have")] = "",
) -> Response:
    """Counts per phase, of one moment. `now = active + lapsed` and `entered = now + left` hold in each phase.
    The ETag names the last change of the counts, not the time of asking."""
    at_us = None if which.as_of is None else parse_instant(which.as_of, "as_of")
    key = await readers.counts_key(reader.workspace, which.model, which.source, which.channel)
    if at_us is None:
        latest = await readers.counts.get(key)
    else:
        latest = await readers.past.get(PastKey(key, at_us - at_us % MINUTE_US))
    return unless_seen(latest, if_none_match)


@router.get(
    "/v1/phases/counts/stream",
    responses={
        200: {
            "description": "Server-sent events `counts`: `data` as in /v1/phases/counts, `id` its ETag. The first at "
            "once, then one per change, at most four a second; a comment `as_of ...` after 15 s without.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: counts\nid: W/"6c0f"\ndata: {"model":"seven_phase",...}\n\n',
                }
            },
        },
        **schemas.responses(400),
    },
    summary="Follow the counts",
)
async def stream_counts(
    request: Request,
    readers: AllReaders,
    credentials: Credentials,
    reader: Authenticated,
    which: Annotated[CountsFilter, Query()],
    last_event_id: Annotated[str, Header(description="the last id you saw: the same counts are not sent again")] = "",
) -> Response:
    """The counts whenever they change. Ends when the token is revoked or the service stops: connect again then."""
    feeds: Feeds = request.app.state.feeds
    key = await readers.counts_key(reader.workspace, which.model, which.source, which.channel)

    async def still_allowed() -> bool:
        try:
            await authenticate(readers, credentials)
        except ServiceError as error:
            return error.status != 401
        return True

    async with AsyncExitStack() as stack:
        feed = await stack.enter_async_context(feeds.subscribe(key))
        return CountsStream(feeds, feed, stack.pop_all(), seen=last_event_id, still_allowed=still_allowed)


@router.get("/v1/sources", response_model=schemas.Sources, responses=schemas.responses(), summary="The sources")
async def get_sources(readers: AllReaders, reader: Authenticated) -> Response:
    """What the source filter takes."""
    found = await readers.sources.get(reader.workspace)
    return json_response({"sources": [{"name": s.name, "enabled": s.enabled} for s in found]})


@router.get("/v1/channels", response_model=schemas.Channels, responses=schemas.responses(400), summary="The channels")
async def get_channels(readers: AllReaders, reader: Authenticated, which: Annotated[OfModel, Query()]) -> Response:
    """What the channel filter takes: the channels that brought today's customers."""
    async with readers.reading("channels", reader.workspace, which.model) as (connection, applied):
        return json_response({"channels": await channels(connection, applied.id)})
