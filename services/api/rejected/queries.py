"""Statements over rejected events: those kept whole, and how many there were."""

from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Table, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.durations import HOUR_US
from throughline.store.admission import OTHER
from throughline.store.schema.operations import rejected, rejected_counts

PAYLOAD_BYTES = 16_384
"""Maximum length of a payload in a row."""
MAX_COUNTS = 1_000
"""Maximum number of counts in an answer, the largest."""
MAX_NAMES = 100
"""Maximum number of counts by name for one reason; the names beyond are counted as `OTHER`."""
BEGINNING_US, END_US = 0, 2**62
"""A span that holds every instant."""


class RejectedFilter(NamedTuple):
    """Which rejected events: those of one workspace, received from `from_us` on and before `to_us`; None: any."""

    workspace: int
    from_us: int = BEGINNING_US
    to_us: int = END_US
    source: int | None = None
    stage: str | None = None
    code: str | None = None

    def conditions(self, table: Table) -> list[ColumnElement[bool]]:
        """Conditions on the columns that `rejected` and `rejected_counts` share; not on the instant."""
        columns = ((table.c.source, self.source), (table.c.stage, self.stage), (table.c.code, self.code))
        return [
            table.c.workspace == self.workspace,
            *(column == value for column, value in columns if value is not None),
        ]


class RejectedPosition(NamedTuple):
    """The place of a rejected event in a list."""

    received_us: int
    id: int


class RejectedRow(NamedTuple):
    """One rejected event; `payload` is how the event begins, `payload_bytes` the length of all of it."""

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

    @property
    def position(self) -> RejectedPosition:
        """The place in the list."""
        return RejectedPosition(self.received_us, self.id)


class RejectedCountRow(NamedTuple):
    """How many events were rejected for a reason, and how many of these are kept whole."""

    source: int
    stage: str
    code: str
    name: str
    events: int
    kept: int


async def list_rejected(
    connection: AsyncConnection,
    events: RejectedFilter,
    after: RejectedPosition | None,
    count: int,
    *,
    payload_bytes: int = PAYLOAD_BYTES,
) -> list[RejectedRow]:
    """Up to `count` events that are kept whole, newest first, after a position."""
    c = rejected.c
    query = select(
        c.id,
        c.source,
        c.received_us,
        c.stage,
        c.code,
        c.field,
        c.message,
        c.name,
        c.message_id,
        func.substring(c.payload, 1, payload_bytes),
        func.octet_length(c.payload),
        c.origin,
        c.request,
        c.record,
    ).where(*events.conditions(rejected), c.received_us >= events.from_us, c.received_us < events.to_us)
    if after is not None:
        query = query.where(tuple_(c.received_us, c.id) < tuple_(after.received_us, after.id))
    rows = await connection.execute(query.order_by(c.received_us.desc(), c.id.desc()).limit(count))
    return [RejectedRow._make(row) for row in rows]


async def count_rejected(connection: AsyncConnection, events: RejectedFilter) -> list[RejectedCountRow]:
    """The number of events in the hours that the span touches, by reason, the `MAX_COUNTS` most frequent first.

    A reason that is counted by name has the `MAX_NAMES` most frequent names, and the others as one.
    """
    c = rejected_counts.c
    reason = (c.source, c.stage, c.code)
    total, kept_whole = (func.sum(column).cast(BigInteger) for column in (c.events, c.kept))
    rank = func.row_number().over(partition_by=reason, order_by=(total.desc(), c.name))
    query = (
        select(*reason, c.name, total.label("events"), kept_whole.label("kept"), rank.label("rank"))
        .where(
            *events.conditions(rejected_counts),
            c.bucket_us > events.from_us - HOUR_US,
            c.bucket_us < events.to_us,
        )
        .group_by(*reason, c.name)
    )
    named = query.subquery().c
    name = case((named.rank > MAX_NAMES, OTHER), else_=named.name).label("shown_name")
    total, kept_whole = (func.sum(column).cast(BigInteger) for column in (named.events, named.kept))
    columns = (named.source, named.stage, named.code, name)
    rows = await connection.execute(
        select(*columns, total, kept_whole).group_by(*columns).order_by(total.desc(), *columns).limit(MAX_COUNTS)
    )
    return [RejectedCountRow._make(row) for row in rows]
