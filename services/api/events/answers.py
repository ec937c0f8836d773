"""Answers about single events: `/v1/events/recent` and `/v1/events/unmapped`. Pure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from services.api.events.explanations import WARNINGS
from services.api.events.queries import RecentRow, UnmappedRow
from services.api.rejected.answers import (
    Code,
    FieldAtFault,
    Message,
    PayloadBytes,
    PayloadEncoding,
    RejectedCount,
    Stage,
    is_sampled,
    payload_of,
    rejected_count,
)
from services.api.rejected.queries import RejectedCountRow, RejectedRow
from services.api.shared.answers import (
    Answer,
    EncodedAnswer,
    Instant,
    MinCell,
    ModelName,
    NextCursor,
    instant,
    weak_etag,
)
from throughline.kit.clock import rfc3339
from throughline.kit.stages import RejectionStage
from throughline.models.hints import hint

VerdictStatus = Literal["ok", "warning", "rejected", "dropped"]


# --- the last events --------------------------------------------------------------------------------------------------


class Warning(Answer):
    """Something about an event that was mended or left out."""

    code: Annotated[str, Meta(examples=["illegal_id"])]
    explanation: Annotated[
        str | None,
        Meta(description="for people; null: this version does not know the code", examples=[None]),
    ]


class Refusal(Answer):
    """Why an event was rejected, and how it begins."""

    stage: Stage
    code: Code
    field: FieldAtFault
    message: Message
    payload: Annotated[str, Meta(description="as sent; its first 2,048 bytes", examples=['{"type":"track"}'])]
    payload_encoding: PayloadEncoding
    payload_bytes: PayloadBytes


class RecentEvent(Answer):
    """One of the last events; long names are cut. What is not known of a rejected event is null."""

    id: Annotated[str, Meta(description="differs between events", examples=["1-3-4711"])]
    received_at: Instant
    occurred_at: Instant | None
    source: Annotated[str | None, Meta(examples=["web"])]
    verdict: VerdictStatus
    call: Annotated[str | None, Meta(examples=["track"])]
    name: Annotated[str, Meta(examples=["Order Completed"])]
    actor: Annotated[str | None, Meta(description="the id it came under", examples=["user-1"])]
    message_id: Annotated[str, Meta(examples=["ajs-next-1790000000000-6f0c"])]
    channel: Annotated[str | None, Meta(examples=["email"])]
    bot: Annotated[bool | None, Meta(description="kept out of every journey", examples=[False])]
    warnings: list[Warning]
    refused: Annotated[Refusal | None, Meta(description="null: it was accepted")]


class RecentEvents(Answer):
    """The last events, newest first, and how many were rejected or dropped in the last hour or two."""

    TABLE: ClassVar[str] = "items"

    as_of: Annotated[
        Instant | None,
        Meta(description="everything received before this instant is in; null: nothing has been staged yet"),
    ]
    items: list[RecentEvent]
    counts: Annotated[list[RejectedCount], Meta(description="rejected or dropped since counts_since")]
    counts_since: Annotated[Instant, Meta(description="the start of the hour before this one")]
    sampled: Annotated[bool, Meta(description="whether more were rejected since then than are kept", examples=[False])]


class RecentState(NamedTuple):
    """The last events of a workspace, all read from one state of the database."""

    accepted: Sequence[RecentRow]
    rejected: Sequence[RejectedRow]
    counts: Sequence[RejectedCountRow]
    """What was rejected or dropped since `counts_since_us`."""
    counts_since_us: int
    applied_watermark_us: int | None


def recent_answer(recent: RecentState, sources: Mapping[int, str], limit: int) -> EncodedAnswer[RecentEvents]:
    """The newest `limit` events, newest first. Their ETag names the events and the counts. `sources`: names by id."""
    events = [(row.received_us, _accepted(row, sources)) for row in recent.accepted]
    events += [(row.received_us, _rejected(row, sources)) for row in recent.rejected]
    events.sort(key=lambda event: -event[0])  # stable: events of one instant keep their order
    as_of = instant(recent.applied_watermark_us)
    answer = RecentEvents(
        as_of=as_of,
        items=[event for _, event in events[:limit]],
        counts=[rejected_count(count, sources) for count in recent.counts],
        counts_since=rfc3339(recent.counts_since_us),
        sampled=is_sampled(recent.counts),
    )
    etag = weak_etag((answer.items, answer.counts, answer.counts_since, answer.sampled))
    return EncodedAnswer(msgspec.json.encode(answer), etag, as_of)


def explained(codes: str, name: str = "") -> list[Warning]:
    """Warnings of an event of this name with their meaning, from codes with commas between. A newer ingest may know
    more codes."""
    meant = hint(name) if "unknown_name" in codes else None
    hints = {"unknown_name": f"Did you mean {meant!r}? "} if meant else {}
    return [Warning(code, _explanation(code, hints.get(code, ""))) for code in codes.split(",") if code]


def _explanation(code: str, before: str) -> str | None:
    meaning = WARNINGS.get(code)
    return None if meaning is None else before + meaning


def _accepted(row: RecentRow, sources: Mapping[int, str]) -> RecentEvent:
    return RecentEvent(
        id=f"{row.source}-{row.shard}-{row.slot}-{row.number}",
        received_at=rfc3339(row.received_us),
        occurred_at=rfc3339(row.occurred_us),
        source=sources.get(row.source),
        verdict="warning" if row.warnings else "ok",
        call=row.call,
        name=row.name,
        actor=row.actor,
        message_id=row.message_id,
        channel=row.channel,
        bot=row.bot,
        warnings=explained(row.warnings, row.name),
        refused=None,
    )


def _rejected(row: RejectedRow, sources: Mapping[int, str]) -> RecentEvent:
    payload = payload_of(row)
    return RecentEvent(
        id=f"r{row.id}",
        received_at=rfc3339(row.received_us),
        occurred_at=None,
        source=sources.get(row.source),
        verdict="dropped" if row.stage == RejectionStage.CONSENT else "rejected",
        call=None,
        name=row.name,
        actor=None,
        message_id=row.message_id,
        channel=None,
        bot=None,
        warnings=[],
        refused=Refusal(
            stage=row.stage,
            code=row.code,
            field=row.field,
            message=row.message,
            payload=payload.text,
            payload_encoding=payload.encoding,
            payload_bytes=row.payload_bytes,
        ),
    )


# --- unmapped events --------------------------------------------------------------------------------------------------


class UnmappedSource(Answer):
    """How many events of a name came from one source."""

    source: Annotated[str | None, Meta(examples=["web"])]
    events: Annotated[int, Meta(examples=[1200])]


class UnmappedEvent(Answer):
    """An event name that the model's vocabulary does not know."""

    name: Annotated[str, Meta(examples=["Quiz Finished"])]
    did_you_mean: Annotated[
        str | None, Meta(description="the shipped name that it is like; null: like none", examples=[None])
    ]
    events: Annotated[int, Meta(examples=[1200])]
    sources: list[UnmappedSource]
    first_seen: Instant
    last_seen: Instant


class OrphanRefunds(Answer):
    """How many refunds and cancellations of one source take back an order that their customer never placed."""

    source: Annotated[str | None, Meta(examples=["back office"])]
    events: Annotated[int, Meta(examples=[12])]


class ForeignCurrencyRefunds(Answer):
    """How many refunds of one source are in another currency than the order that they name."""

    source: Annotated[str | None, Meta(examples=["back office"])]
    events: Annotated[int, Meta(examples=[3])]


class Unmapped(Answer):
    """A page of names, most frequent first."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    min_cell: MinCell
    items: list[UnmappedEvent]
    orphan_refunds: Annotated[
        list[OrphanRefunds],
        Meta(description="sources whose refunds or cancellations belong to no order of the customer they name"),
    ]
    foreign_currency_refunds: Annotated[
        list[ForeignCurrencyRefunds],
        Meta(description="sources whose refunds are in another currency than their order: these prove no full refund"),
    ]
    next_cursor: NextCursor


def unmapped_events(rows: Sequence[UnmappedRow], sources: Mapping[int, str]) -> list[UnmappedEvent]:
    """Names with their sources, in the order of the rows, which has the rows of a name together."""
    return [_unmapped_event(name, list(group), sources) for name, group in groupby(rows, key=lambda row: row.name)]


def _unmapped_event(name: str, rows: Sequence[UnmappedRow], sources: Mapping[int, str]) -> UnmappedEvent:
    return UnmappedEvent(
        name=name,
        did_you_mean=hint(name),
        events=rows[0].events,
        sources=[UnmappedSource(sources.get(row.source), row.source_events) for row in rows],
        first_seen=rfc3339(min(row.first_us for row in rows)),
        last_seen=rfc3339(max(row.last_us for row in rows)),
    )
