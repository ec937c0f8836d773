"""The compare-and-set of a partition's offset, by which every record has its effect exactly once.

A transaction that moves the offset from where its records begin to where they end commits only if no other member has
moved the offset: a member whose partition belongs to another by now, without knowing it, writes nothing.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.decode import Record, record_digest
from throughline.store import offsets
from throughline.store.offsets import Offset


class StaleOffsetError(Exception):
    """Another member has moved this partition's offset. The transaction has written nothing."""


def offset_after(record: Record) -> Offset:
    """Returns where a partition stands once `record` is staged: with everything received before it in the state."""
    return Offset(record.offset + 1, record_digest(record), record.timestamp * 1000)


async def move_offset(connection: AsyncConnection, topic: str, partition: int, *, expected: int, to: Offset) -> None:
    """Move the stored offset of a partition from `expected` to `to`.

    Raises:
        StaleOffsetError: the stored offset is not `expected`.
    """
    if not await offsets.move_offset(connection, topic, partition, expected=expected, to=to):
        raise _stale(topic, partition, expected)


async def move_watermark(
    connection: AsyncConnection, topic: str, partition: int, *, expected: int, received_watermark_us: int
) -> None:
    """Move the watermark of a partition that has nothing to stage.

    Raises:
        StaleOffsetError: the stored offset is not `expected`.
    """
    if not await offsets.move_received_watermark(
        connection, topic, partition, expected=expected, received_watermark_us=received_watermark_us
    ):
        raise _stale(topic, partition, expected)


def _stale(topic: str, partition: int, expected: int) -> StaleOffsetError:
    return StaleOffsetError(f"{topic}/{partition} is no longer at {expected}")
