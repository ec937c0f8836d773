"""Statements over the last events of each source: rings of rows, written over and over.

A source has two rings in each partition, one of events with warnings and one of events without: however many pass, the
last warnings can still be looked at. Only a transaction that has moved the partition's offset writes its rings, so that
nobody contends for them, and they do not change between its reading and its commit.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, SmallInteger, Text, and_, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from throughline.store.engine.arrays import UnnestParameters, literal_of_numbers
from throughline.store.engine.driver import DriverStatement, Write
from throughline.store.schema.operations import recent_events

RING_SIZE = 32
"""Events kept in a ring; those with warnings have the slots from here on."""

_r = recent_events.c
_PLACE = ("source", "shard", "slot")
RECENT_COLUMNS = tuple(column.name for column in _r if column.name not in ("shard", "slot"))
"""The columns of `recent_to_write`, after ring (0 or 1) and shard; `number` counts from 1 within ring and batch."""

_new_rows = UnnestParameters(
    "new_rows", {"ring": SmallInteger(), "shard": Integer(), **{name: _r[name].type for name in RECENT_COLUMNS}}
)
_slots = literal_column(str(RING_SIZE), Integer)
_so_far = (
    select(_r.source, _r.shard, (_r.slot // _slots).label("ring"), func.max(_r.number).label("number"))
    .where(
        _r.shard == func.any(cast(bindparam("shards", type_=Text), ARRAY(Integer))),
        _r.source == func.any(cast(bindparam("sources", type_=Text), ARRAY(BigInteger))),
    )
    .group_by(_r.source, _r.shard, _r.slot // _slots)
    .subquery("so_far")
)
_same_ring = and_(*(_so_far.c[name] == _new_rows.table.c[name] for name in ("source", "shard", "ring")))
_number = func.coalesce(_so_far.c.number, 0) + _new_rows.table.c.number
_values: dict[str, Any] = {
    **{name: _new_rows.table.c[name] for name in RECENT_COLUMNS},
    "shard": _new_rows.table.c.shard,
    "slot": cast(_new_rows.table.c.ring * _slots + _number % _slots, SmallInteger),
    "number": _number,
}
_recent_insert = insert(recent_events).from_select(
    list(_values),
    select(*(value.label(name) for name, value in _values.items()))
    .select_from(_new_rows.table.outerjoin(_so_far, _same_ring))
    .order_by("source", "shard", "slot"),
)
_write_recent = DriverStatement(
    _recent_insert.on_conflict_do_update(
        index_elements=_PLACE,
        set_={name: _recent_insert.excluded[name] for name in _values if name not in _PLACE},
    ).returning(recent_events.c.slot)
)


def recent_to_write(sources: Collection[int], shards: Collection[int], rows: Sequence[tuple[Any, ...]]) -> list[Write]:
    """Returns what writes the last events of a batch into the rings of its sources, over the oldest, in the transaction
    that has moved the partitions' offsets.

    Args:
        sources: ids of the sources of the rows.
        shards: the partitions of the rows.
        rows: ring, shard, and `RECENT_COLUMNS`; of a ring at most `RING_SIZE`, consecutive ones.
    """
    parameters = {
        "sources": literal_of_numbers(sorted(sources)),
        "shards": literal_of_numbers(sorted(shards)),
        **_new_rows.parameters(rows),
    }
    return [(_write_recent, parameters)]
