"""The next records of partitions: as many as a batch may have, in number and in bytes."""

from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from services.stager.stage.decode import Record

PIECE_RECORDS = 100
"""Number of records that are taken from the client at once: it unpacks them only then."""
BATCH_BYTES = 16 * 1024 * 1024
"""Number of bytes from which on a batch takes no further piece. Record batches are compressed: a small fetch may hold
very much."""


class Consumer(Protocol):
    """What is used of aiokafka's consumer."""

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        """Returns records by partition; of all that are assigned if none are named."""


async def read_batch(consumer: Consumer, tp: TopicPartition, *, timeout_ms: int, max_records: int) -> Sequence[Record]:
    """Returns the next records of one partition; none when none come within `timeout_ms`."""
    batches = await read_batches(consumer, tp, timeout_ms=timeout_ms, max_records=max_records)
    return batches.get(tp, ())


async def read_batches(
    consumer: Consumer,
    *partitions: TopicPartition,
    timeout_ms: int,
    max_records: int,
    piece_records: int = PIECE_RECORDS,
) -> dict[TopicPartition, list[Record]]:
    """Returns the next records by partition, `max_records` of all together; nothing when none come within `timeout_ms`.

    Without `partitions` those of all that are assigned to the consumer.
    """
    batches: dict[TopicPartition, list[Record]] = {}
    left, size = max_records, 0
    while left and size < BATCH_BYTES:
        most = min(piece_records, left)
        polled = await consumer.getmany(*partitions, timeout_ms=0 if batches else timeout_ms, max_records=most)
        taken = 0
        for tp, piece in polled.items():
            batches.setdefault(tp, []).extend(piece)
            size += sum(len(record.value or b"") for record in piece)
            taken += len(piece)
        left -= taken
        if taken < most:
            break
    return batches
