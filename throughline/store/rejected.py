"""Statements over rejected events: all are counted by the hour, a bounded sample is kept whole."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import BigInteger, and_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.engine.arrays import UnnestParameters
from throughline.store.schema.operations import rejected, rejected_counts


class Reason(NamedTuple):
    """The key of a count of rejected events."""

    workspace: int
    """0 when unknown; so is the source."""
    bucket_us: int
    """The start of the hour in which the events were received, UTC."""
    source: int
    stage: str
    code: str
    name: str = ""
    """The event's name, where the source counts dropped events by name."""


_c = rejected_counts.c
_REASON = {name: _c[name].type for name in Reason._fields}
_reasons = UnnestParameters("reasons", _REASON)
_of_shard = _c.shard == bindparam("of_shard", type_=_c.shard.type)
_columns = [_c[name] for name in Reason._fields]
_same = {name: _c[name] == _reasons.table.c[name] for name in Reason._fields}
_read_kept = select(*_columns, _c.kept).join(_reasons.table, and_(*_same.values())).where(_of_shard)


async def read_kept(connection: AsyncConnection, shard: int, reasons: Iterable[Reason]) -> dict[Reason, int]:
    """Returns the number of events that one partition keeps whole for each reason; 0 where a reason is missing."""
    rows = await connection.execute(_read_kept, {"of_shard": shard, **_reasons.parameters(reasons)})
    return {Reason(*row[:-1]): row[-1] for row in rows}


_same_but_name = and_(*(same for name, same in _same.items() if name != "name"))
_read_names = select(*_columns).join(_reasons.table, _same_but_name).where(_c.name != "").distinct()


async def read_names(connection: AsyncConnection, reasons: Iterable[Reason]) -> set[Reason]:
    """Returns the reasons, with names, that all partitions have counted of some reasons, whatever names these have."""
    groups = {reason._replace(name="") for reason in reasons}
    rows = await connection.execute(_read_names, _reasons.parameters(groups))
    return {Reason(*row) for row in rows}


_added = UnnestParameters("added", {**_REASON, "shard": _c.shard.type, "events": BigInteger(), "kept": BigInteger()})
_counts_insert = insert(rejected_counts).from_select(
    list(_added.table.c.keys()), select(*_added.table.c).order_by(*_added.table.c)
)
_add_counts = _counts_insert.on_conflict_do_update(
    index_elements=[*_columns, _c.shard],
    set_={name: _c[name] + _counts_insert.excluded[name] for name in ("events", "kept")},
).returning(_c.events)


async def add_counts(connection: AsyncConnection, shard: int, counts: Iterable[tuple[Reason, int, int]]) -> None:
    """Add to the counts of one partition. `counts`: (reason, events, events kept whole), each reason once."""
    rows = [(*reason, shard, events, kept_whole) for reason, events, kept_whole in sorted(counts)]
    await connection.execute(_add_counts, _added.parameters(rows))


KEPT_COLUMNS = tuple(column.name for column in rejected.c if column.name != "id")
"""The columns of `insert_kept`, in this order."""

_events = UnnestParameters("events", {name: rejected.c[name].type for name in KEPT_COLUMNS})
_insert_kept = (
    insert(rejected)
    .from_select(KEPT_COLUMNS, select(*_events.table.c).order_by(_events.table.c.received_us))
    .returning(rejected.c.id)
)


async def insert_kept(connection: AsyncConnection, rows: Iterable[tuple[object, ...]]) -> None:
    """Keep rejected events whole: rows of `KEPT_COLUMNS`."""
    await connection.execute(_insert_kept, _events.parameters(rows))


_event = rejected.c
_oldest = (
    select(_event.id)
    .where(
        _event.workspace == bindparam("of_workspace"),
        _event.source == bindparam("of_source"),
        _event.received_us >= bindparam("from_us"),
        _event.received_us < bindparam("until_us"),
        _event.stage == bindparam("of_stage"),
        _event.code == bindparam("of_code"),
        _event.record.startswith(bindparam("of_shard"), autoescape=False),
    )
    .order_by(_event.received_us, _event.id)
    .limit(bindparam("at_most"))
)
_drop_oldest = delete(rejected).where(_event.id.in_(_oldest))


async def drop_oldest(connection: AsyncConnection, shard: int, reason: Reason, bucket_us: int, events: int) -> None:
    """Delete the oldest events that one partition keeps whole for a reason, in a bucket of so many microseconds."""
    parameters = {
        "of_workspace": reason.workspace,
        "of_source": reason.source,
        "from_us": reason.bucket_us,
        "until_us": reason.bucket_us + bucket_us,
        "of_stage": reason.stage,
        "of_code": reason.code,
        "of_shard": f"{shard}/",
        "at_most": events,
    }
    await connection.execute(_drop_oldest, parameters)


_old = (
    select(rejected.c.id)
    .where(rejected.c.received_us < bindparam("before_us"))
    .order_by(rejected.c.id)
    .limit(bindparam("at_most"))
)
_drop_old = delete(rejected).where(rejected.c.id.in_(_old))


async def drop_old(connection: AsyncConnection, before_us: int, at_most: int) -> int:
    """Delete at most so many events that were rejected before an instant; returns how many. Their counts stay."""
    return (await connection.execute(_drop_old, {"before_us": before_us, "at_most": at_most})).rowcount
