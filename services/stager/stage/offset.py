"""The compare-and-set of offsets, by which every record has its effect exactly once.

A transaction that moves the offsets from where its records begin to where they end commits only if no other member has
moved one of them: a member whose partition belongs to another by now, without knowing it, writes nothing.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.decode import Record, record_digest
from throughline.store import offsets
from throughline.store.offsets import Offset, OffsetMove


class StaleOffsetError(Exception):
    """Another member has moved the offsets of some partitions. The transaction has written nothing."""

    def __init__(self, topic: str, partitions: Collection[int]) -> None:
        super().__init__(f"another member has moved {', '.join(f'{topic}/{number}' for number in sorted(partitions))}")
        self.partitions = frozenset(partitions)


def offset_after(record: Record) -> Offset:
    """Returns where a partition stands once `record` is staged: with everything received before it in the state."""
    return Offset(record.offset + 1, record_digest(record), record.timestamp * 1000)


async def move_offsets(connection: AsyncConnection, topic: str, moves: Sequence[OffsetMove]) -> None:
    """Move the stored offsets of some partitions.

    Raises:
        StaleOffsetError: some are not where their moves expect them.
    """
    stale = {move.partition for move in moves} - await offsets.move_offsets(connection, topic, moves)
    if stale:
        raise StaleOffsetError(topic, stale)
