"""What the api asks about events that no model's vocabulary knows."""

from typing import NamedTuple

from sqlalchemy import BigInteger, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cursors import UnmappedCursor
from services.api.shared.queries import applied_watermark
from throughline.store.schema.access import sources
from throughline.store.schema.counts import unmapped
from throughline.store.schema.operations import recent_events


class UnmappedRow(NamedTuple):
    """One event name from one source, beside the name's volume over all sources."""

    name: str
    events: int
    source: int
    source_events: int
    first_us: int
    last_us: int


async def list_unmapped(
    connection: AsyncConnection, model: int, after: UnmappedCursor | None, count: int
) -> list[UnmappedRow]:
    """Up to `count` names, most frequent first, after a position; one row for each source of a name."""
    c = unmapped.c
    events = func.sum(c.events).cast(BigInteger)
    names = select(c.name, events.label("events")).where(c.model == model).group_by(c.name).having(events > 0)
    if after is not None:
        names = names.having(tuple_(-events, c.name.collate("C")) > tuple_(-after.events, after.name))
    page = names.order_by(events.desc(), c.name.collate("C")).limit(count).cte("page")
    rows = await connection.execute(
        select(
            page.c.name,
            page.c.events,
            c.source,
            events.label("source_events"),
            func.min(c.first_us),
            func.max(c.last_us),
        )
        .join(page, page.c.name == c.name)
        .where(c.model == model)
        .group_by(page.c.name, page.c.events, c.source)
        .having(events > 0)
        .order_by(page.c.events.desc(), page.c.name.collate("C"), events.desc(), c.source)
    )
    return [UnmappedRow(*row) for row in rows]


class RecentRow(NamedTuple):
    """One event that was taken; `warnings` are codes with commas between."""

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
    """Up to `count` events, newest first: of a source, or of all; with warnings, without, or (None) both."""
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
    """Applied watermark of the topic: everything received before it is in the state."""
    found: int | None = await connection.scalar(select(applied_watermark(topic)))
    return found
