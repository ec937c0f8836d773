"""Statements over the last events of sources, and over events whose names no vocabulary knows."""

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta
from sqlalchemy import BigInteger, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import applied_watermark, rounded
from throughline.store.schema.access import sources
from throughline.store.schema.counts import orphan_refunds, unmapped
from throughline.store.schema.operations import recent_events

# --- the last events --------------------------------------------------------------------------------------------------


class RecentRow(NamedTuple):
    """One event that was accepted; `warnings` are codes with commas between."""

    source: int
    shard: int
    slot: int
    number: int
    received_us: int
    occurred_us: int
    actor: str
    message_id: str
    call: str
    name: str
    channel: str
    bot: bool
    warnings: str


async def list_recent(
    connection: AsyncConnection, workspace: int, source: int | None, *, warned: bool | None, count: int
) -> list[RecentRow]:
    """Up to `count` accepted events, newest first.

    Args:
        workspace: whose events they are.
        source: only events that were sent to it; None: to any.
        warned: only events with warnings (True) or without any (False); None: both.
        count: maximum number of events.
    """
    c = recent_events.c
    query = select(*(c[name] for name in RecentRow._fields)).where(c.workspace == workspace)
    if source is None:
        query = query.where(c.source.in_(select(sources.c.id).where(sources.c.workspace == workspace)))
    else:
        query = query.where(c.source == source)
    if warned is not None:
        query = query.where(c.warnings != "" if warned else c.warnings == "")
    order = (c.received_us.desc(), c.occurred_us.desc(), c.source, c.shard, c.number.desc())
    return [RecentRow._make(row) for row in await connection.execute(query.order_by(*order).limit(count))]


async def read_applied_watermark(connection: AsyncConnection, topic: str) -> int | None:
    """Applied watermark of the topic; None before anything was staged."""
    watermark_us: int | None = await connection.scalar(select(applied_watermark(topic)))
    return watermark_us


MAX_REFUND_SOURCES = 200
"""Maximum number of sources in an answer about refunds of no order."""

# --- unmapped events --------------------------------------------------------------------------------------------------


class UnmappedPosition(NamedTuple):
    """The place of an event name in a list, most frequent first."""

    events: Annotated[int, Meta(ge=1)]
    name: str


class UnmappedRow(NamedTuple):
    """One event name from one source, beside the number of events of that name from all sources."""

    name: str
    events: int
    source: int
    source_events: int
    first_us: int
    last_us: int


async def count_refunds(
    connection: AsyncConnection,
    generation: int,
    column: Literal["events", "foreign_currency"],
    min_cell: int | None = None,
) -> list[tuple[int, int]]:
    """(source, refunds that `column` of `orphan_refunds` counts), the most frequent first.

    At most `MAX_REFUND_SOURCES` sources.
    """
    c = orphan_refunds.c
    events = rounded(func.sum(c[column]).cast(BigInteger), min_cell or 1)
    rows = await connection.execute(
        select(c.source, events)
        .where(c.model == generation)
        .group_by(c.source)
        .having(events > 0)
        .order_by(events.desc(), c.source)
        .limit(MAX_REFUND_SOURCES)
    )
    return [(row[0], row[1]) for row in rows]


async def list_unmapped(
    connection: AsyncConnection,
    generation: int,
    after: UnmappedPosition | None,
    count: int,
    min_cell: int | None = None,
) -> list[UnmappedRow]:
    """The rows of up to `count` names after a position, most frequent first; a name has one row for each source.

    With a `min_cell` the number of each row is rounded down to a multiple of it, and a name's is the sum of its rows.
    """
    u = unmapped.c
    events = rounded(func.sum(u.events).cast(BigInteger), min_cell or 1)
    of_source = (
        select(
            u.name,
            u.source,
            events.label("events"),
            func.min(u.first_us).label("first_us"),
            func.max(u.last_us).label("last_us"),
        )
        .where(u.model == generation)
        .group_by(u.name, u.source)
        .having(events > 0)
        .cte("of_source")
    )
    c = of_source.c
    total = func.sum(c.events).cast(BigInteger)
    names = select(c.name, total.label("events")).group_by(c.name)
    if after is not None:
        names = names.having(tuple_(-total, c.name.collate("C")) > tuple_(-after.events, after.name))
    page = names.order_by(total.desc(), c.name.collate("C")).limit(count).cte("page")
    rows = await connection.execute(
        select(page.c.name, page.c.events, c.source, c.events, c.first_us, c.last_us)
        .join(page, page.c.name == c.name)
        .order_by(page.c.events.desc(), page.c.name.collate("C"), c.events.desc(), c.source)
    )
    return [UnmappedRow(*row) for row in rows]
