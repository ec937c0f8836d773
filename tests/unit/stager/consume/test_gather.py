"""A round is bounded in records and in bytes, fair among partitions, and no record is lost or taken twice."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from services.stager.consume import gather as module
from services.stager.consume.gather import (
    LANES,
    LOOK_SECONDS,
    PIECE_RECORDS,
    ROUND_BYTES,
    SMALL_ROUND_RECORDS,
    WINDOW_RECORDS,
    WINDOW_SECONDS,
    Gathering,
    Round,
    by_order,
    by_partition,
    gather,
)
from services.stager.stage.decode import Record

TP = TopicPartition("touchpoints", 0)
FOR_EVER = 1e12


class Value(NamedTuple):
    offset: int
    value: bytes
    timestamp: int = 0


class Log:
    """A client with records that it has fetched, and what it was asked for. As aiokafka's, it gives what is first."""

    def __init__(self, sizes: Mapping[TopicPartition, int], value_bytes: int = 1) -> None:
        self.waiting = {tp: [Value(offset, bytes(value_bytes)) for offset in range(n)] for tp, n in sizes.items()}
        self.timeouts_ms: list[int] = []

    def add(self, value: Value) -> None:
        """One more record has come."""
        self.waiting[TP] = [*self.waiting[TP], value]

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        self.timeouts_ms.append(timeout_ms)
        left, polled = max_records, {}
        for tp in partitions:
            taken, self.waiting[tp] = self.waiting[tp][:left], self.waiting[tp][left:]
            left -= len(taken)
            if taken:
                polled[tp] = taken
        if not polled:
            await asyncio.sleep(timeout_ms / 1e3)
        return polled


def written() -> "asyncio.Future[None]":
    """A round that is written."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


@pytest.mark.parametrize(
    ("records", "size", "most", "expected"),
    [
        (0, 1, 5_000, 0),
        (7, 1, 5_000, 7),
        (9_000, 100, 5_000, 5_000),
        (9_000, 100, 333, 333),
        (600, 100_000, 5_000, 2 * PIECE_RECORDS),
        (600, ROUND_BYTES // 600, 5_000, 600),
        (3, ROUND_BYTES, 1, 1),
    ],
)
async def test_a_round_is_bounded(records: int, size: int, most: int, expected: int) -> None:
    log = Log({TP: records}, size)
    gathering = Gathering(log, most)
    await gathering.take([TP])
    assert [record.offset for record in gathering.records.get(TP, [])] == list(range(expected))
    assert sum(len(record.value or b"") for of in gathering.records.values() for record in of) < (
        ROUND_BYTES + PIECE_RECORDS * size
    )
    assert set(log.timeouts_ms) == {0}
    assert len(log.waiting[TP]) == records - expected


@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=8), most=st.integers(8, 500), piece=st.integers(1, 50))
async def test_partitions_share_a_round_fairly(sizes: list[int], most: int, piece: int) -> None:
    tps = [TopicPartition("touchpoints", number) for number in range(len(sizes))]
    log = Log(dict(zip(tps, sizes, strict=True)))
    gathering = Gathering(log, most, piece_records=piece)
    await gathering.take(tps)
    taken = {tp: len(gathering.records.get(tp, ())) for tp in tps}
    assert sum(taken.values()) == min(most, sum(sizes))
    for tp, size in zip(tps, sizes, strict=True):
        assert [record.offset for record in gathering.records.get(tp, ())] == list(range(taken[tp]))
        if taken[tp] < size:
            # Nobody has more than two pieces more than one that still waits.
            assert max(taken.values()) - taken[tp] <= 2 * piece


async def test_a_full_round_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_SECONDS", 60.0)
    log = Log({TP: 10})
    pending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    records = await gather(log, lambda: [TP], max_records=10, ends=lambda: FOR_EVER, write=pending)
    assert len(records[TP]) == 10


async def test_many_records_wait_for_the_last_round_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_SECONDS", 60.0)
    log = Log({TP: WINDOW_RECORDS})
    last: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gathered = asyncio.create_task(gather(log, lambda: [TP], max_records=5_000, ends=lambda: FOR_EVER, write=last))
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert not gathered.done()
    log.add(Value(WINDOW_RECORDS, b"x"))
    last.set_result(None)
    assert len((await asyncio.wait_for(gathered, 10))[TP]) == WINDOW_RECORDS + 1


async def test_a_quiet_moment_gathers() -> None:
    log = Log({TP: 1})
    asyncio.get_running_loop().call_later(WINDOW_SECONDS / 2, log.add, Value(1, b"x"))
    began = time.monotonic()
    came: list[float] = []
    records = await gather(
        log,
        lambda: [TP],
        max_records=10,
        ends=lambda: FOR_EVER,
        write=written(),
        came=lambda: came.append(time.monotonic()),
    )
    assert [record.offset for record in records[TP]] == [0, 1]
    assert time.monotonic() - began >= WINDOW_SECONDS
    assert len(came) == 1
    assert came[0] - began < WINDOW_SECONDS


async def test_a_round_grows_while_the_last_one_is_written() -> None:
    log = Log({TP: 1})
    write: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(3 * WINDOW_SECONDS, log.add, Value(1, b"x"))
    asyncio.get_running_loop().call_later(4 * WINDOW_SECONDS, write.set_result, None)
    records = await gather(log, lambda: [TP], max_records=10, ends=lambda: FOR_EVER, write=write)
    assert [record.offset for record in records[TP]] == [0, 1]


@pytest.mark.parametrize("partitions", [[], [TP]])
async def test_nothing_comes(partitions: list[TopicPartition]) -> None:
    ends = time.monotonic() + 0.1
    assert await gather(Log({TP: 0}), lambda: partitions, max_records=9, ends=lambda: ends, write=written()) == {}
    assert time.monotonic() >= ends - 0.001


async def test_what_is_due_does_not_wait_for_records_and_does_not_hold_the_loop() -> None:
    log = Log({TP: 0})
    write: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, write.set_result, None)
    began = time.monotonic()
    assert await gather(log, lambda: [TP], max_records=9, ends=lambda: 0.0, write=write) == {}
    assert time.monotonic() - began < 1.0
    assert len(log.timeouts_ms) < 20


ROUNDS = st.lists(st.integers(1, 3_000), max_size=8).map(
    lambda sizes: {
        TopicPartition("touchpoints", n): [Value(offset, b"") for offset in range(size)] for n, size in enumerate(sizes)
    }
)


def joined(parts: list[Round]) -> Round:
    """What transactions hold that follow each other."""
    records: dict[TopicPartition, list[Record]] = {}
    for part in parts:
        for tp, of in part.items():
            records.setdefault(tp, []).extend(of)
    return records


@given(records=ROUNDS, size=st.integers(100, 5_000))
def test_a_large_round_has_lanes_of_whole_partitions(records: Round, size: int) -> None:
    lanes = by_partition(records, size)
    number = sum(map(len, records.values()))
    assert len(lanes) == (min(LANES, len(records)) if number > SMALL_ROUND_RECORDS else bool(records))
    of_lanes = [joined(lane) for lane in lanes]
    assert {tp: of for lane in of_lanes for tp, of in lane.items()} == records
    assert sum(map(len, of_lanes)) == len(records)
    if len(lanes) > 1:
        sizes = [sum(map(len, lane.values())) for lane in of_lanes]
        # No better than by a partition.
        assert max(sizes) - min(sizes) <= max(map(len, records.values()))


@given(records=ROUNDS, size=st.integers(100, 5_000))
def test_transactions_that_follow_each_other_have_all_in_order(records: Round, size: int) -> None:
    parts = by_order(records, size)
    assert joined(parts) == records
    assert all(of for part in parts for of in part.values())
    # One more of each partition at most: its share is no whole number.
    assert all(sum(map(len, part.values())) <= size + len(records) for part in parts)
