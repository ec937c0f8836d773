"""How far each partition is staged and swept: the compare-and-set that makes staging exactly-once.

Two watermarks stand beside a partition's offset. The received watermark (`through_us`): everything received before it
is in the state. The applied watermark (`swept_us`): so is every lapse due by it, among the partition's customers.
"""

from typing import NamedTuple

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

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


_offset_insert = insert(offsets).values(
    topic=bindparam("topic"),
    partition=bindparam("partition"),
    next_offset=bindparam("next_offset"),
    digest=bindparam("digest"),
    through_us=bindparam("received_watermark_us"),
    swept_us=literal(0),
)


def _compare_and_set(*names: str) -> ReturningInsert[tuple[int]]:
    return _offset_insert.on_conflict_do_update(
        index_elements=[offsets.c.topic, offsets.c.partition],
        set_={name: _offset_insert.excluded[name] for name in names},
        where=offsets.c.next_offset == bindparam("expected", type_=offsets.c.next_offset.type),
    ).returning(offsets.c.next_offset)


_move_offset = _compare_and_set("next_offset", "digest", "through_us")
_move_received_watermark = _compare_and_set("through_us")


async def move_offset(connection: AsyncConnection, topic: str, partition: int, *, expected: int, to: Offset) -> bool:
    """Compare-and-set: move a partition from `expected` to `to`. Returns False when it was no longer at `expected`."""
    moved = await connection.execute(
        _move_offset, {"topic": topic, "partition": partition, "expected": expected, **to._asdict()}
    )
    return moved.first() is not None


async def move_received_watermark(
    connection: AsyncConnection, topic: str, partition: int, *, expected: int, received_watermark_us: int
) -> bool:
    """Move only the watermark of a partition that is at offset `expected`. Returns False when it no longer is."""
    unchanged = Offset(expected, b"", received_watermark_us)
    moved = await connection.execute(
        _move_received_watermark,
        {"topic": topic, "partition": partition, "expected": expected, **unchanged._asdict()},
    )
    return moved.first() is not None


async def read_received_watermark(connection: AsyncConnection, topic: str, partitions: int) -> int:
    """Returns the topic's received watermark, the smallest of its partitions'; 0 while one was never staged."""
    smallest_us, staged_partitions = (
        await connection.execute(select(func.min(offsets.c.through_us), func.count()).where(offsets.c.topic == topic))
    ).one()
    return smallest_us if staged_partitions >= partitions else 0


_applied_watermark_insert = insert(offsets).values(
    topic=bindparam("topic"),
    partition=bindparam("partition"),
    next_offset=literal(0),
    digest=literal(b""),
    through_us=literal(0),
    swept_us=bindparam("applied_watermark_us"),
)
_move_applied_watermark = _applied_watermark_insert.on_conflict_do_update(
    index_elements=[offsets.c.topic, offsets.c.partition],
    set_={"swept_us": func.greatest(offsets.c.swept_us, _applied_watermark_insert.excluded.swept_us)},
)


async def move_applied_watermark(
    connection: AsyncConnection, topic: str, partition: int, applied_watermark_us: int
) -> None:
    """Store that every lapse due by `applied_watermark_us` is applied among the partition's share of customers."""
    await connection.execute(
        _move_applied_watermark,
        {"topic": topic, "partition": partition, "applied_watermark_us": applied_watermark_us},
    )
