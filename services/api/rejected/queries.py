"""What the api asks about refused events: those kept whole, and how many there were."""

from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cursors import RejectedCursor
from throughline.journey.durations import HOUR_US
from throughline.store.rejected import OTHER
from throughline.store.schema.operations import rejected, rejected_counts

SHOWN_BYTES = 16_384
"""Of each event, at most."""
SHOWN_NAMES = 100
"""Of each reason that is counted by name."""
BEGINNING_US, END_US = 0, 2**62
"""A span that holds every instant."""


class Wanted(NamedTuple):
    """Which refused events: of one workspace, received in [from_us, to_us)."""

    workspace: int
    from_us: int
    to_us: int
    source: int | None
    stage: str | None
    code: str | None


class RejectedRow(NamedTuple):
    """One refused event; `payload` is how it begins."""

    id: int
    source: int
    received_us: int
    stage: str
    code: str
    field: str
    message: str
    name: str
    message_id: str
    payload: bytes
    payload_bytes: int
    origin: str
    request: str
    record: str


class RejectedCount(NamedTuple):
    """How many were refused for a reason, and of these are kept whole."""

    source: int
    stage: str
    code: str
    name: str
    events: int
    kept: int


async def list_rejected(
    connection: AsyncConnection,
    wanted: Wanted,
    after: RejectedCursor | None,
    count: int,
    *,
    shown_bytes: int = SHOWN_BYTES,
) -> list[RejectedRow]:
    """Up to `count` events that are kept whole, newest first, after a position; how each begins, so many bytes."""
    c = rejected.c
    query = select(
        *(c.id, c.source, c.received_us, c.stage, c.code, c.field, c.message, c.name, c.message_id),
        func.substring(c.payload, 1, shown_bytes),
        func.octet_length(c.payload),
        *(c.origin, c.request, c.record),
    ).where(c.workspace == wanted.workspace, c.received_us >= wanted.from_us, c.received_us < wanted.to_us)
    for column, value in ((c.source, wanted.source), (c.stage, wanted.stage), (c.code, wanted.code)):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(tuple_(c.received_us, c.id) < tuple_(after.received_us, after.id))
    rows = await connection.execute(query.order_by(c.received_us.desc(), c.id.desc()).limit(count))
    return [RejectedRow._make(row) for row in rows]


async def count_rejected(connection: AsyncConnection, wanted: Wanted) -> list[RejectedCount]:
    """All that were refused in the hours that the span touches, most frequent reason first.

    Of a reason that is counted by name the `SHOWN_NAMES` most frequent, the others as one.
    """
    c = rejected_counts.c
    reason = (c.source, c.stage, c.code)
    events, kept = (func.sum(column).cast(BigInteger) for column in (c.events, c.kept))
    rank = func.row_number().over(partition_by=reason, order_by=(events.desc(), c.name))
    query: Select[Any] = (
        select(*reason, c.name, events.label("events"), kept.label("kept"), rank.label("rank"))
        .where(
            c.workspace == wanted.workspace,
            c.bucket_us > wanted.from_us - HOUR_US,
            c.bucket_us < wanted.to_us,
        )
        .group_by(*reason, c.name)
    )
    for column, value in ((c.source, wanted.source), (c.stage, wanted.stage), (c.code, wanted.code)):
        if value is not None:
            query = query.where(column == value)
    named = query.subquery().c
    name = case((named.rank > SHOWN_NAMES, OTHER), else_=named.name).label("shown")
    events, kept = (func.sum(column).cast(BigInteger) for column in (named.events, named.kept))
    columns = (named.source, named.stage, named.code, name)
    rows = await connection.execute(select(*columns, events, kept).group_by(*columns).order_by(events.desc(), *columns))
    return [RejectedCount._make(row) for row in rows]
