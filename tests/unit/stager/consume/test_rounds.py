"""What the loop of rounds does when locating, staging, a heartbeat or maintenance fails, and when it is stopped."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from tenacity import RetryCallState

from services.stager.consume import partition, rounds
from services.stager.consume.gather import SMALL_ROUND_RECORDS
from services.stager.consume.partition import AssignedPartition
from services.stager.consume.position import Position
from services.stager.consume.rounds import SMALLEST_ROUND_RECORDS, RoundLoop, next_round_records
from services.stager.consume.staging import RoundStaging
from services.stager.maintain.schedule import Maintenance
from services.stager.stage.offset import StaleOffsetError
from tests.support import stack
from throughline.kit.metrics import STAGER_REGISTRY
from throughline.store.offsets import Offset

TP = TopicPartition("touchpoints", 2)
OTHER = TopicPartition("touchpoints", 3)


def retries(kind: str) -> float:
    return STAGER_REGISTRY.get_sample_value("throughline_stager_batch_retries_total", {"reason": kind}) or 0.0


@pytest.fixture
def context() -> Any:
    async def read_nothing(*_: object, **__: object) -> dict[TopicPartition, list[object]]:
        await asyncio.sleep(0.001)
        return {}

    consumer = SimpleNamespace(
        getmany=read_nothing,
        last_poll_timestamp=lambda _: None,
        highwater=lambda _: None,
        partitions_for_topic=lambda _: {0, 1, 2, 3},
    )
    return SimpleNamespace(consumer=consumer, engine=None, batch_records=10)


@contextlib.asynccontextmanager
async def no_transaction(_: object) -> AsyncIterator[None]:
    yield None


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database: heartbeats write nothing and find nothing to maintain."""

    async def look(*_: object) -> None:
        pass

    monkeypatch.setattr(rounds, "transaction", no_transaction)
    monkeypatch.setattr(Maintenance, "look", look)


class Failing:
    """Locating fails with each of some errors, and what is said of the partition is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
        self.troubles: list[tuple[str, bool]] = []
        """At each attempt: the partition's trouble, and whether it is without Kafka."""
        self.pauses: list[float] = []
        self.partition: AssignedPartition | None = None
        self._errors: Iterator[Exception] = iter(errors)
        monkeypatch.setattr(partition, "locate", self._locate)
        monkeypatch.setattr(partition, "_wait", self._wait)

    async def _locate(self, *_: object) -> Position:
        assert self.partition is not None
        self.troubles.append((self.partition.trouble, self.partition.without_kafka_since is not None))
        for error in self._errors:
            raise error
        return Position(Offset(0, b"", 0), 0)

    def _wait(self, attempt: RetryCallState) -> float:
        self.pauses.append(0.05 * 2 ** (attempt.attempt_number - 1))
        return 0.0


async def until(condition: Callable[[], object]) -> None:
    async def holds() -> bool:
        return bool(condition())

    await stack.until(holds, what="the loop of rounds")


@pytest.mark.usefixtures("_quiet")
async def test_a_failure_is_counted_by_kind_and_said_until_the_partition_goes_on(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    kinds = ("kafka", "database", "internal", "contention", "stale")
    before = {kind: retries(kind) for kind in kinds}
    failing = Failing(
        monkeypatch,
        [
            KafkaConnectionError("no broker"),
            StaleOffsetError("touchpoints", [2]),
            asyncpg.DeadlockDetectedError("deadlock"),
            ConnectionError("no database\nand more"),
            RuntimeError("a fault of ours"),
        ],
    )
    loop = RoundLoop(context, [TP])
    failing.partition = loop.partitions[TP]
    await until(lambda: loop.partitions[TP].position is not None and not loop.troubles)
    await loop.stop()
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
    assert failing.partition.without_kafka_since is None


@pytest.mark.usefixtures("_quiet")
async def test_a_partition_that_cannot_be_located_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    async def locate(_: object, __: object, tp: TopicPartition) -> Position:
        if tp == TP:
            raise KafkaConnectionError("its broker is away")
        return Position(Offset(0, b"", 0), 0)

    monkeypatch.setattr(partition, "locate", locate)
    read: set[TopicPartition] = set()

    async def getmany(*partitions: TopicPartition, **_: object) -> dict[TopicPartition, list[object]]:
        read.update(partitions)
        await asyncio.sleep(0.001)
        return {}

    context.consumer.getmany = getmany
    loop = RoundLoop(context, [TP, OTHER])
    await until(lambda: read and loop.troubles)
    assert loop.troubles == {2: "kafka: KafkaConnectionError: its broker is away"}
    assert read == {OTHER}
    await loop.stop()


async def test_a_heartbeat_that_fails_is_said_and_stages_on(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    async def look(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    async def locate(*_: object) -> Position:
        return Position(Offset(0, b"", 0), 0)

    monkeypatch.setattr(partition, "locate", locate)
    monkeypatch.setattr(rounds, "transaction", no_transaction)
    monkeypatch.setattr(Maintenance, "look", look)
    loop = RoundLoop(context, [TP])
    await until(lambda: loop.troubles and loop.partitions[TP].position is not None)
    position = loop.partitions[TP].position
    await asyncio.sleep(0.05)
    assert loop.troubles == {2: "internal: a fault of ours"}
    assert loop.partitions[TP].position is position
    await loop.stop()


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("seconds", [0.05, 60.0])
async def test_what_is_under_way_is_finished_unless_it_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, context: Any, seconds: float
) -> None:
    ends: list[str] = []
    begun = asyncio.Event()

    async def write(*_: object) -> None:
        begun.set()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ends.append("rolled back")
            raise
        ends.append("committed")

    monkeypatch.setattr(RoundLoop, "_write", write)
    monkeypatch.setattr(AssignedPartition, "locate", lambda _: None)
    loop = RoundLoop(context, [TP])
    await begun.wait()
    await loop.stop(patience_seconds=0.3)
    assert ends == ["committed" if seconds < 1 else "rolled back"]


@pytest.mark.usefixtures("_quiet")
async def test_when_one_lane_of_a_round_fails_the_others_are_finished(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    monkeypatch.setattr(AssignedPartition, "locate", lambda _: None)
    ended: list[str] = []

    class Part:
        size = 1
        has_contended = False

        def __init__(self, name: str, seconds: float, error: Exception | None = None) -> None:
            self._name = name
            self._seconds = seconds
            self._error = error

        async def stage(self, *, stopping: Callable[[], bool]) -> None:
            await asyncio.sleep(self._seconds)
            if self._error is not None:
                raise self._error
            ended.append(self._name)

    slow, failing, never = Part("slow", 0.05), Part("failing", 0.0, ConnectionError("no database")), Part("never", 0.0)
    lanes: Any = [[slow, Part("next", 0.0)], [failing, never]]
    loop = RoundLoop(context, [TP, OTHER])
    with pytest.raises(ConnectionError):
        await loop._write(lanes)
    assert ended == ["slow", "next"]
    await loop.stop()


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize(
    ("has_many_aliases", "has_contended", "lanes"), [(False, False, 2), (True, False, 1), (False, True, 1)]
)
async def test_transactions_that_may_be_on_the_same_customers_follow_each_other(
    monkeypatch: pytest.MonkeyPatch, context: Any, has_many_aliases: bool, has_contended: bool, lanes: int
) -> None:
    monkeypatch.setattr(AssignedPartition, "locate", lambda _: None)
    monkeypatch.setattr(RoundStaging, "has_many_aliases", has_many_aliases)
    loop = RoundLoop(context, [TP, OTHER])
    loop._alone_until = time.monotonic() + 60 * has_contended
    records = {tp: [SimpleNamespace(offset=offset) for offset in range(SMALL_ROUND_RECORDS)] for tp in (TP, OTHER)}

    async def gathered(*_: Any, **__: Any) -> Any:
        return records

    monkeypatch.setattr(rounds, "gather", gathered)
    round_ = await loop._next_round(asyncio.create_task(asyncio.sleep(0)))
    assert len(round_) == lanes
    assert sum(staging.size for lane in round_ for staging in lane) == 2 * SMALL_ROUND_RECORDS
    if lanes == 1:
        assert all(staging._records.keys() == {TP, OTHER} for lane in round_ for staging in lane)
    await loop.stop()


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.05), (2, 0.1), (7, 3.2), (8, 5.0), (5_000, 5.0)])
def test_pauses_grow_up_to_a_bound(attempt: int, seconds: float) -> None:
    state: Any = SimpleNamespace(attempt_number=attempt)
    assert partition._wait(state) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("limit", "staged", "seconds", "expected"),
    [
        (5_000, 5_000, 0.3, 5_000),
        (5_000, 5_000, 4.0, 1_250),
        (1_250, 1_250, 0.8, 1_562),
        (1_250, 1_250, 0.4, 3_125),
        (1_000, 7, 0.001, 4_000),
        (5_000, 60, 90.0, SMALLEST_ROUND_RECORDS),
        (10, 10, 90.0, 10),
    ],
)
def test_the_next_round_is_as_large_as_fits_its_time(limit: int, staged: int, seconds: float, expected: int) -> None:
    maximum = 10 if limit == 10 else 5_000
    assert next_round_records(limit, staged, seconds, maximum) == expected
