"""The phase model, its live counts, and the values their filters take."""

from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated, Credentials, authenticate
from services.api.counts import names_same_state
from services.api.queries import channels
from services.api.routes.answers import json_response
from services.api.stream import CountsStream, Feeds
from throughline.journey.model import Model
from throughline.kit.errors import ServiceError

router = APIRouter(tags=["phases"])

SECOND_US = 1_000_000


class CountsFilter(BaseModel):
    """Which customers to count."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(None, description="only customers whose first touchpoint came through this source")
    # PostgreSQL's text holds no NUL.
    channel: str | None = Field(
        None, pattern=r"^[^\x00]*$", description="only customers whose first touchpoint came through this channel"
    )


Filter = Annotated[CountsFilter, Query()]


@router.get("/v1/phases", response_model=schemas.Phases, responses=schemas.responses(), summary="The phase model")
async def get_phases(reader: Authenticated) -> Response:
    """The workspace's phases in rank order, and which kinds of touchpoint lead to each."""
    model = reader.model
    kinds = _kinds_by_phase(model)
    return json_response(
        {
            "model": model.name,
            "phases": [
                {
                    "number": phase.number,
                    "name": phase.name,
                    "label": phase.label,
                    "window_seconds": phase.window_us // SECOND_US,
                    "touchpoints": sorted(kinds.get(phase.number, ())),
                }
                for phase in model.phases
            ],
        }
    )


@router.get(
    "/v1/phases/counts",
    response_model=schemas.Counts,
    responses={304: {"description": "nothing changed since the If-None-Match"}, **schemas.responses(400)},
    summary="Where all customers stand",
)
async def get_counts(
    readers: AllReaders,
    reader: Authenticated,
    which: Filter,
    if_none_match: Annotated[str, Header(description="the ETag of the counts you have")] = "",
) -> Response:
    """Live counts per phase, of one moment. `now = active + lapsed` and `entered = now + left` hold in each phase.
    The ETag names the last change of the counts, not the time of asking."""
    latest = await readers.counts.get(await readers.counts_key(reader, which.source, which.channel))
    headers = {"ETag": latest.etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if if_none_match and names_same_state(if_none_match, latest.etag):
        return Response(status_code=304, headers=headers)
    return Response(latest.body, media_type="application/json", headers=headers)


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
    which: Filter,
    last_event_id: Annotated[str, Header(description="the last id you saw: the same counts are not sent again")] = "",
) -> Response:
    """The counts whenever they change. Ends when the token is revoked or the service stops: connect again then."""
    feeds: Feeds = request.app.state.feeds
    key = await readers.counts_key(reader, which.source, which.channel)

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


@router.get("/v1/channels", response_model=schemas.Channels, responses=schemas.responses(), summary="The channels")
async def get_channels(readers: AllReaders, reader: Authenticated) -> Response:
    """What the channel filter takes: the channels that brought today's customers."""
    async with readers.database.reading("channels") as connection:
        return json_response({"channels": await channels(connection, reader.model_id)})


def _kinds_by_phase(model: Model) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    kinds: dict[str, Any] = {kind.name: kind for kind in (*model.calls.values(), *model.names.values())}
    for kind in kinds.values():
        for rule in kind.rules:
            found.setdefault(rule.phase, set()).add(kind.name)
    return found
