"""What the api asks about events that no model's vocabulary knows."""

from typing import NamedTuple

from sqlalchemy import BigInteger, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.cursors import UnmappedCursor
from throughline.store.tables import unmapped


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
