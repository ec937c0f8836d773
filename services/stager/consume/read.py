"""The next records of a partition: as many as a batch may have, in number and in bytes."""

from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from services.stager.stage.decode import Record

PIECE_RECORDS = 250
"""Number of records that are taken from the client at once: it unpacks them only then."""
BATCH_BYTES = 16 * 1024 * 1024
"""Number of bytes from which on a batch takes no further piece. Record batches are compressed: a small fetch may hold
very much."""


class Consumer(Protocol):
    """What is used of aiokafka's consumer."""

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        """Returns records by partition."""


async def read_batch(consumer: Consumer, tp: TopicPartition, *, timeout_ms: int, max_records: int) -> Sequence[Record]:
    """Returns the next records that the client has; none when none come within `timeout_ms`."""
    records: list[Record] = []
    size = 0
    while len(records) < max_records and size < BATCH_BYTES:
        most = min(PIECE_RECORDS, max_records - len(records))
        polled = await consumer.getmany(tp, timeout_ms=0 if records else timeout_ms, max_records=most)
        piece = polled.get(tp, ())
        records += piece
        size += sum(len(record.value or b"") for record in piece)
        if len(piece) < most:
            break
    return records
