"""How far each partition is staged and swept: the compare-and-set that makes staging exactly-once."""

from typing import NamedTuple

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from throughline.store.tables import offsets


class Offset(NamedTuple):
    """How far one partition is staged. `digest` is of the record before `next_offset`, empty at the start."""

    next_offset: int
    digest: bytes
    through_us: int


async def read_offset(connection: AsyncConnection, topic: str, partition: int) -> Offset | None:
    """How far a partition is staged; None when it never was."""
    row = (
        await connection.execute(
            select(offsets.c.next_offset, offsets.c.digest, offsets.c.through_us).where(
                offsets.c.topic == topic, offsets.c.partition == partition
            )
        )
    ).first()
    return None if row is None else Offset(*row)


_moved_insert = insert(offsets).values(
    topic=bindparam("topic"),
    partition=bindparam("partition"),
    next_offset=bindparam("next_offset"),
    digest=bindparam("digest"),
    through_us=bindparam("through_us"),
    swept_us=literal(0),
)


def _compare_and_set(*names: str) -> ReturningInsert[tuple[int]]:
    return _moved_insert.on_conflict_do_update(
        index_elements=[offsets.c.topic, offsets.c.partition],
        set_={name: _moved_insert.excluded[name] for name in names},
        where=offsets.c.next_offset == bindparam("expected", type_=offsets.c.next_offset.type),
    ).returning(offsets.c.next_offset)


_move_offset = _compare_and_set("next_offset", "digest", "through_us")
_move_through = _compare_and_set("through_us")


async def move_offset(connection: AsyncConnection, topic: str, partition: int, *, expected: int, to: Offset) -> bool:
    """Compare-and-set: move a partition from `expected` to `to`. False when it was no longer at `expected`."""
    moved = await connection.execute(
        _move_offset, {"topic": topic, "partition": partition, "expected": expected, **to._asdict()}
    )
    return moved.first() is not None


async def move_through(
    connection: AsyncConnection, topic: str, partition: int, *, expected: int, through_us: int
) -> bool:
    """Move only `through_us` of a partition that is at `expected`. False when it no longer is."""
    values = {"next_offset": expected, "digest": b"", "through_us": through_us}
    moved = await connection.execute(
        _move_through, {"topic": topic, "partition": partition, "expected": expected, **values}
    )
    return moved.first() is not None


async def read_through(connection: AsyncConnection, topic: str, partitions: int) -> int:
    """T: everything received before it is staged, on every partition; 0 while one of them was never staged."""
    row = (
        await connection.execute(select(func.min(offsets.c.through_us), func.count()).where(offsets.c.topic == topic))
    ).one()
    return row[0] if row[1] >= partitions else 0


_swept_insert = insert(offsets).values(
    topic=bindparam("topic"),
    partition=bindparam("partition"),
    next_offset=literal(0),
    digest=literal(b""),
    through_us=literal(0),
    swept_us=bindparam("swept_us"),
)
_move_swept = _swept_insert.on_conflict_do_update(
    index_elements=[offsets.c.topic, offsets.c.partition],
    set_={"swept_us": func.greatest(offsets.c.swept_us, _swept_insert.excluded.swept_us)},
)


async def move_swept(connection: AsyncConnection, topic: str, partition: int, swept_us: int) -> None:
    """Note that every lapse due by then among the partition's share of customers has been applied."""
    await connection.execute(_move_swept, {"topic": topic, "partition": partition, "swept_us": swept_us})
