"""Events that were refused, with the reason, so that whoever sends them sees what to mend."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated
from services.api.events.answers import payload_body
from services.api.rejected.queries import BEGINNING_US, END_US, RejectedRow, Wanted, count_rejected, list_rejected
from services.api.shared.cursors import RejectedCursor, decode_cursor, encode_cursor
from services.api.shared.responses import json_response
from services.api.shared.steps import parse_instant
from throughline.kit.clock import rfc3339
from throughline.store.rejected import CONSENT

router = APIRouter(tags=["events"])

_AT = "2026-11-23T20:28:00Z"
_TEXT = r"^[^\x00]*$"  # PostgreSQL's text holds no NUL


class RejectedFilter(BaseModel):
    """Which refused events, and which part of their list."""

    model_config = ConfigDict(extra="forbid")

    from_: str | None = Field(
        None, alias="from", description="received at this instant (RFC 3339) or later", examples=[_AT]
    )
    to: str | None = Field(None, description="received before this instant", examples=[_AT])
    source: str | None = Field(None, pattern=_TEXT, description="sent to this source", examples=["web"])
    stage: str | None = Field(
        None, pattern=_TEXT, description="refused by `ingest` or `stager`; `consent`: dropped", examples=["ingest"]
    )
    code: str | None = Field(None, pattern=_TEXT, description="refused for this reason", examples=["missing_field"])
    limit: int = Field(50, ge=1, le=200, description="how many items at most")
    cursor: str | None = Field(None, description="the next_cursor of the page before")


@router.get(
    "/v1/rejected",
    response_model=schemas.RejectedEvents,
    responses=schemas.responses(400),
    summary="Refused events",
)
async def get_rejected(
    readers: AllReaders, reader: Authenticated, which: Annotated[RejectedFilter, Query()]
) -> Response:
    """Refused events that are kept whole, newest first, and how many there were of each reason. Where more than a
    hundred came in an hour, a sample is kept (`sampled`); all are counted. Events dropped for want of consent are only
    counted, by their names where the source is set so. Counts are of whole hours (UTC)."""
    after = None if which.cursor is None else decode_cursor(RejectedCursor, which.cursor)
    wanted = Wanted(
        reader.workspace,
        BEGINNING_US if which.from_ is None else parse_instant(which.from_, "from"),
        END_US if which.to is None else parse_instant(which.to, "to"),
        await readers.source_id(reader.workspace, which.source),
        which.stage,
        which.code,
    )
    async with readers.database.reading("rejected", one_snapshot=True) as connection:
        rows = await list_rejected(connection, wanted, after, which.limit + 1)
        counts = await count_rejected(connection, wanted)
    sources = await readers.source_names(reader.workspace)
    shown = rows[: which.limit]
    return json_response(
        {
            "counts": [count._asdict() | {"source": sources.get(count.source)} for count in counts],
            "sampled": any(count.kept < count.events for count in counts if count.stage != CONSENT),
            "items": [_item(row, sources) for row in shown],
            "next_cursor": encode_cursor(RejectedCursor(shown[-1].received_us, shown[-1].id))
            if len(rows) > which.limit
            else None,
        }
    )


def _item(row: RejectedRow, sources: dict[int, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "received_at": rfc3339(row.received_us),
        "source": sources.get(row.source),
        "stage": row.stage,
        "code": row.code,
        "field": row.field,
        "message": row.message,
        "name": row.name,
        "message_id": row.message_id,
        **payload_body(row.payload, row.payload_bytes),
        "origin": row.origin or None,
        "request": row.request or None,
        "record": row.record or None,
    }
