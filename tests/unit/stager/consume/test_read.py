"""A batch is bounded in records and in bytes, and no record is lost or taken twice."""

from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from services.stager.consume.read import BATCH_BYTES, PIECE_RECORDS, read_batch, read_batches

TP = TopicPartition("touchpoints", 0)


class Value(NamedTuple):
    offset: int
    value: bytes


class Log:
    """A client with records that it has fetched, and what it was asked for."""

    def __init__(self, records: int, size: int) -> None:
        self.waiting = [Value(offset, bytes(size)) for offset in range(records)]
        self.timeouts_ms: list[int] = []

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        self.timeouts_ms.append(timeout_ms)
        taken, self.waiting = self.waiting[:max_records], self.waiting[max_records:]
        return dict.fromkeys(partitions, taken) if taken else {}


@pytest.mark.parametrize(
    ("records", "size", "most", "expected"),
    [
        (0, 1, 5_000, 0),
        (7, 1, 5_000, 7),
        (9_000, 100, 5_000, 5_000),
        (9_000, 100, 333, 333),
        (600, 100_000, 5_000, 2 * PIECE_RECORDS),
        (600, BATCH_BYTES // 600, 5_000, 600),
        (3, BATCH_BYTES, 1, 1),
    ],
)
async def test_a_batch_is_bounded(records: int, size: int, most: int, expected: int) -> None:
    log = Log(records, size)
    batch = await read_batch(log, TP, timeout_ms=1_000, max_records=most)
    assert [record.offset for record in batch] == list(range(expected))
    assert sum(len(record.value or b"") for record in batch) < BATCH_BYTES + PIECE_RECORDS * size
    assert log.timeouts_ms[0] == 1_000
    assert set(log.timeouts_ms[1:]) <= {0}
    assert len(log.waiting) == records - expected


async def test_batches_of_several_partitions_share_the_bounds() -> None:
    class Several(Log):
        async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
            assert not partitions
            taken, self.waiting = self.waiting[:max_records], self.waiting[max_records:]
            by_partition: dict[TopicPartition, list[Value]] = {}
            for record in taken:
                by_partition.setdefault(TopicPartition("rejected", record.offset % 3), []).append(record)
            return by_partition

    log = Several(100, 1_000_000)
    batches = await read_batches(log, timeout_ms=1, max_records=500, piece_records=5)
    assert sum(map(len, batches.values())) == 20
    assert {tp.partition: [record.offset for record in batch] for tp, batch in batches.items()} == {
        number: list(range(number, 20, 3)) for number in range(3)
    }
