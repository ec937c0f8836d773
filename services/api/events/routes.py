"""The last events and what became of them, and those that a model's vocabulary does not know."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import schemas, schemas_events
from services.api.auth import AllReaders, Authenticated
from services.api.events.queries import list_unmapped
from services.api.shared.context import RecentKey
from services.api.shared.cursors import UnmappedCursor, decode_cursor, encode_cursor
from services.api.shared.responses import Page, json_response, unless_seen
from throughline.kit.clock import rfc3339

router = APIRouter(tags=["events"])


class RecentFilter(BaseModel):
    """Which of the last events."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(None, description="sent to this source", examples=["web"])
    verdict: Literal["ok", "warning", "rejected", "dropped"] | None = Field(
        None, description="only those of which this became; of what was dropped only the count is kept"
    )
    limit: int = Field(50, ge=1, le=200, description="how many items at most")


@router.get(
    "/v1/events/recent",
    response_model=schemas_events.RecentEvents,
    responses={304: {"description": "nothing came since the If-None-Match"}, **schemas.responses(400)},
    summary="The last events",
)
async def get_recent(
    readers: AllReaders,
    reader: Authenticated,
    which: Annotated[RecentFilter, Query()],
    if_none_match: Annotated[str, Header(description="the ETag of the events you have")] = "",
) -> Response:
    """What came last and what became of it, newest first: for whoever wires up an SDK. Of each source and partition the
    last 32 events without warnings are kept, the last 32 with some, and of refused ones a sample. Ask once a second,
    with the ETag, to see them come."""
    source = await readers.source_id(reader.workspace, which.source)
    latest = await readers.recent.get(RecentKey(reader.workspace, source, which.verdict, which.limit))
    return unless_seen(latest, if_none_match)


@router.get(
    "/v1/events/unmapped",
    response_model=schemas.Unmapped,
    responses=schemas.responses(400),
    summary="Events without a meaning",
)
async def get_unmapped(readers: AllReaders, reader: Authenticated, page: Annotated[Page, Query()]) -> Response:
    """Names that the model's vocabulary does not know, most frequent first, by source. Such an event keeps a customer
    active and moves nobody. Volumes move while you page: a name may show twice or not at all."""
    after = None if page.cursor is None else decode_cursor(UnmappedCursor, page.cursor)
    async with readers.reading("unmapped", reader.workspace, page.model) as (connection, applied):
        rows = await list_unmapped(connection, applied.id, after, page.limit + 1)
    sources = await readers.source_names(reader.workspace)
    items: dict[str, dict[str, Any]] = {}
    for row in rows:
        item = items.setdefault(row.name, {"name": row.name, "events": row.events, "sources": []})
        item["first_us"] = min(row.first_us, item.get("first_us", row.first_us))
        item["last_us"] = max(row.last_us, item.get("last_us", row.last_us))
        item["sources"].append({"source": sources.get(row.source), "events": row.source_events})
    found = list(items.values())
    for item in found:
        item["first_seen"], item["last_seen"] = rfc3339(item.pop("first_us")), rfc3339(item.pop("last_us"))
    last = found[page.limit - 1] if len(found) > page.limit else None
    return json_response(
        {
            "model": applied.model.name,
            "items": found[: page.limit],
            "next_cursor": None if last is None else encode_cursor(UnmappedCursor(last["events"], last["name"])),
        }
    )
