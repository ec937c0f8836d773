"""How far each partition is staged and swept: the compare-and-set that makes staging exactly-once.

Two watermarks stand beside a partition's offset. The received watermark (`through_us`): everything received before it
is in the state. The applied watermark (`swept_us`): so is every lapse due by it, among the partition's customers.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import BigInteger, Integer, LargeBinary, Text, bindparam, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import Grouping

from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.operations import offsets


class Offset(NamedTuple):
    """How far one partition is staged. `digest` is of the record before `next_offset`, empty at the start."""

    next_offset: int
    digest: bytes
    received_watermark_us: int


async def read_offset(connection: AsyncConnection, topic: str, partition: int) -> Offset | None:
    """Returns how far a partition is staged; None when nothing of it ever was."""
    row = (
        await connection.execute(
            select(offsets.c.next_offset, offsets.c.digest, offsets.c.through_us).where(
                offsets.c.topic == topic, offsets.c.partition == partition
            )
        )
    ).first()
    return None if row is None else Offset(*row)


class OffsetMove(NamedTuple):
    """A partition that is to go from offset `expected` to `to`: to the same offset when only its watermark moves."""

    partition: int
    expected: int
    to: Offset


_moves = UnnestParameters(
    "moves",
    {
        "partition": offsets.c.partition.type,
        "expected": offsets.c.next_offset.type,
        "next_offset": offsets.c.next_offset.type,
        "digest": offsets.c.digest.type,
        "through_us": offsets.c.through_us.type,
    },
)
_m = _moves.table.c
_moves_insert = insert(offsets).from_select(
    ["topic", "partition", "next_offset", "digest", "through_us", "swept_us"],
    select(
        bindparam("topic", type_=offsets.c.topic.type),
        _m.partition,
        _m.next_offset,
        _m.digest,
        _m.through_us,
        literal(0, BigInteger),
    ).order_by(_m.partition),
)
_place = func.array_position(cast(bindparam("moves_partition", type_=Text), ARRAY(Integer)), offsets.c.partition)
_expected = Grouping(cast(bindparam("moves_expected", type_=Text), ARRAY(BigInteger)))[_place]
_move_offsets = DriverStatement(
    _moves_insert.on_conflict_do_update(
        index_elements=[offsets.c.topic, offsets.c.partition],
        set_={name: _moves_insert.excluded[name] for name in ("next_offset", "digest", "through_us")},
        where=offsets.c.next_offset == _expected,
    ).returning(offsets.c.partition)
)


async def move_offsets(connection: AsyncConnection, topic: str, moves: Iterable[OffsetMove]) -> set[int]:
    """Compare-and-set of several partitions. Returns those that moved: each that was still at its `expected`."""
    rows = [(partition, expected, *to) for partition, expected, to in sorted(moves)]
    return {row[0] for row in await _move_offsets.fetch(connection, {"topic": topic, **_moves.parameters(rows)})}


async def read_received_watermark(connection: AsyncConnection, topic: str, partitions: int) -> int:
    """Returns the topic's received watermark, the smallest of its partitions'; 0 while one was never staged."""
    smallest_us, staged_partitions = (
        await connection.execute(select(func.min(offsets.c.through_us), func.count()).where(offsets.c.topic == topic))
    ).one()
    return smallest_us if staged_partitions >= partitions else 0


async def read_newest_watermark(connection: AsyncConnection, topic: str) -> int:
    """Returns the largest received watermark of any partition of a topic; 0 while none was staged."""
    newest_us = await connection.scalar(select(func.max(offsets.c.through_us)).where(offsets.c.topic == topic))
    return newest_us or 0


_swept = UnnestParameters("swept", {"partition": offsets.c.partition.type})
_swept_insert = insert(offsets).from_select(
    ["topic", "partition", "next_offset", "digest", "through_us", "swept_us"],
    select(
        bindparam("topic", type_=offsets.c.topic.type),
        _swept.table.c.partition,
        literal(0, BigInteger),
        literal(b"", LargeBinary),
        literal(0, BigInteger),
        bindparam("applied_watermark_us", type_=BigInteger),
    ).order_by(_swept.table.c.partition),
)
_move_applied_watermarks = DriverStatement(
    _swept_insert.on_conflict_do_update(
        index_elements=[offsets.c.topic, offsets.c.partition],
        set_={"swept_us": func.greatest(offsets.c.swept_us, _swept_insert.excluded.swept_us)},
    )
)


async def move_applied_watermarks(
    connection: AsyncConnection, topic: str, partitions: Iterable[int], applied_watermark_us: int
) -> None:
    """Store that every lapse due by `applied_watermark_us` is applied among the shares of some partitions."""
    rows = _swept.parameters((partition,) for partition in sorted(partitions))
    await _move_applied_watermarks.fetch(
        connection, {"topic": topic, "applied_watermark_us": applied_watermark_us, **rows}
    )
