"""What a partition's consumer does when reading or staging fails."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from tenacity import RetryCallState

from services.stager.consume import partition
from services.stager.consume.partition import SMALLEST_BATCH_RECORDS, PartitionConsumer, next_batch_records
from services.stager.consume.position import Position
from services.stager.stage.offset import StaleOffsetError
from throughline.kit.metrics import STAGER_REGISTRY

TP = TopicPartition("touchpoints", 2)


def retries(kind: str) -> float:
    return STAGER_REGISTRY.get_sample_value("throughline_stager_batch_retries_total", {"reason": kind}) or 0.0


class Failing:
    """Locating the partition fails with each of some errors, and what the consumer says of it is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
        self.troubles: list[tuple[str, bool]] = []
        """At each attempt: the consumer's trouble, and whether it is without Kafka."""
        self.pauses: list[float] = []
        self.recovered = asyncio.Event()
        self._errors: Iterator[Exception] = iter(errors)
        monkeypatch.setattr(partition, "locate", self._locate)
        monkeypatch.setattr(partition, "_wait", self._wait)
        context: Any = SimpleNamespace(
            consumer=SimpleNamespace(
                getmany=self._read_nothing, last_poll_timestamp=lambda _: None, highwater=lambda _: None
            ),
            engine=None,
            batch_records=10,
        )
        self.consumer = PartitionConsumer(context, TP)
        self.consumer._maintenance._next_slice = float("inf")

    async def _locate(self, *_: object) -> Position:
        self.troubles.append((self.consumer.trouble, self.consumer.without_kafka_since is not None))
        for error in self._errors:
            raise error
        return Position(0, 0, 0)

    def _wait(self, attempt: RetryCallState) -> float:
        self.pauses.append(0.05 * 2 ** (attempt.attempt_number - 1))
        return 0.0

    async def _read_nothing(self, *_: object, **__: object) -> dict[TopicPartition, list[object]]:
        if not self.consumer.trouble:
            self.recovered.set()
        await asyncio.sleep(0)
        return {}


async def test_a_failure_is_counted_by_kind_and_said_until_the_partition_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = ("kafka", "database", "internal", "contention", "stale")
    before = {kind: retries(kind) for kind in kinds}
    failing = Failing(
        monkeypatch,
        [
            KafkaConnectionError("no broker"),
            StaleOffsetError("touchpoints/2 is no longer at 7"),
            asyncpg.DeadlockDetectedError("deadlock"),
            ConnectionError("no database\nand more"),
            RuntimeError("a fault of ours"),
        ],
    )
    async with asyncio.timeout(10):
        await failing.recovered.wait()
    await failing.consumer.stop()
    assert {kind: retries(kind) - before[kind] for kind in kinds} == dict.fromkeys(kinds, 1.0)
    assert failing.troubles == [
        ("", False),
        ("kafka: KafkaConnectionError: no broker", True),
        ("kafka: KafkaConnectionError: no broker", True),
        ("kafka: KafkaConnectionError: no broker", True),
        ("database: no database", False),
        ("internal: a fault of ours", False),
    ]
    # A stale offset and contention are tried again at once.
    assert len(failing.pauses) == 3
    assert (failing.consumer.trouble, failing.consumer.without_kafka_since) == ("", None)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.05), (2, 0.1), (7, 3.2), (8, 5.0), (5_000, 5.0)])
def test_pauses_grow_up_to_a_bound(attempt: int, seconds: float) -> None:
    state: Any = SimpleNamespace(attempt_number=attempt)
    assert partition._wait(state) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("limit", "staged", "seconds", "expected"),
    [
        (5_000, 5_000, 0.3, 5_000),
        (5_000, 5_000, 4.0, 1_250),
        (1_250, 1_250, 0.9, 2_500),
        (5_000, 60, 90.0, SMALLEST_BATCH_RECORDS),
        (10, 10, 90.0, 10),
    ],
)
def test_a_batch_that_took_long_makes_the_next_one_smaller(
    limit: int, staged: int, seconds: float, expected: int
) -> None:
    maximum = 10 if limit == 10 else 5_000
    assert next_batch_records(limit, staged, seconds, maximum) == expected
