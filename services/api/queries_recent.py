"""What the api asks about the last events of sources: the rings that the stagers keep."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.queries import applied_watermark
from throughline.store.tables import recent_events, sources


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
