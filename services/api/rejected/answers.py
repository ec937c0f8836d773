"""The answer of `/v1/rejected`. Pure."""

import base64
import codecs
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

from msgspec import Meta

from services.api.rejected.queries import RejectedCountRow, RejectedRow
from services.api.shared.answers import Answer, Instant, NextCursor
from throughline.kit.clock import rfc3339
from throughline.kit.stages import RejectionStage

Stage = Annotated[str, Meta(description="the service that rejected it: `ingest` or `stager`", examples=["ingest"])]
Code = Annotated[str, Meta(description="the reason", examples=["missing_field"])]
FieldAtFault = Annotated[str, Meta(description="the field at fault; empty when it is none", examples=["event"])]
Message = Annotated[str, Meta(examples=["a track call has to name its event"])]
PayloadEncoding = Annotated[
    Literal["utf-8", "base64"], Meta(description="`base64` for what is no text", examples=["utf-8"])
]
PayloadBytes = Annotated[int, Meta(description="length of all of it", examples=[16])]


class RejectedCount(Answer):
    """How many events of a source were rejected for a reason."""

    source: Annotated[str | None, Meta(examples=["web"])]
    stage: Annotated[
        str, Meta(description="`ingest` or `stager`; `consent`: dropped for want of consent", examples=["ingest"])
    ]
    code: Code
    name: Annotated[str, Meta(description="of a dropped event whose source counts by name; else empty", examples=[""])]
    events: Annotated[int, Meta(examples=[1200])]
    kept: Annotated[int, Meta(description="of these, kept whole when they came; for 30 days", examples=[100])]


class RejectedEvent(Answer):
    """A rejected event."""

    id: Annotated[int, Meta(examples=[4711])]
    received_at: Instant
    source: Annotated[str | None, Meta(examples=["web"])]
    stage: Stage
    code: Code
    field: FieldAtFault
    message: Message
    name: Annotated[str, Meta(description="the event's name, if it could be read", examples=["Product Viewed"])]
    message_id: Annotated[str, Meta(description="the event's message id, if it could be read", examples=["6f5e"])]
    payload: Annotated[str, Meta(description="as sent; its first 16,384 bytes", examples=['{"type":"track"}'])]
    payload_encoding: PayloadEncoding
    payload_bytes: PayloadBytes
    origin: Annotated[
        str | None, Meta(description="topic/partition/offset of a record that stager rejected", examples=[None])
    ]
    request: Annotated[
        str | None, Meta(description="method and path of the request it came in", examples=["POST /v1/batch"])
    ]
    record: Annotated[str | None, Meta(description="what `throughline rejected show` takes", examples=["0/12"])]


class RejectedEvents(Answer):
    """A page of rejected events, newest first, and how many there were."""

    TABLE: ClassVar[str] = "items"

    counts: list[RejectedCount]
    sampled: Annotated[bool, Meta(description="whether more were rejected than are kept", examples=[False])]
    items: list[RejectedEvent]
    next_cursor: NextCursor


class Payload(NamedTuple):
    """How a rejected event begins, as JSON can carry it."""

    text: str
    encoding: Literal["utf-8", "base64"]


def payload_of(row: RejectedRow) -> Payload:
    """The payload as text; in base64 when it is no UTF-8. A character that the limit cuts in two is left out."""
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        return Payload(decoder.decode(row.payload, final=row.payload_bytes == len(row.payload)), "utf-8")
    except UnicodeDecodeError:
        return Payload(base64.b64encode(row.payload).decode(), "base64")


def rejected_event(row: RejectedRow, sources: Mapping[int, str]) -> RejectedEvent:
    """One event. `sources`: names by id."""
    payload = payload_of(row)
    return RejectedEvent(
        id=row.id,
        received_at=rfc3339(row.received_us),
        source=sources.get(row.source),
        stage=row.stage,
        code=row.code,
        field=row.field,
        message=row.message,
        name=row.name,
        message_id=row.message_id,
        payload=payload.text,
        payload_encoding=payload.encoding,
        payload_bytes=row.payload_bytes,
        origin=row.origin or None,
        request=row.request or None,
        record=row.record or None,
    )


def rejected_count(row: RejectedCountRow, sources: Mapping[int, str]) -> RejectedCount:
    """One count. `sources`: names by id."""
    return RejectedCount(
        source=sources.get(row.source),
        stage=row.stage,
        code=row.code,
        name=row.name,
        events=row.events,
        kept=row.kept,
    )


def is_sampled(counts: Iterable[RejectedCountRow]) -> bool:
    """Whether more events were rejected than are kept. Dropped events do not count: none of them is ever kept."""
    return any(count.kept < count.events for count in counts if count.stage != RejectionStage.CONSENT)
