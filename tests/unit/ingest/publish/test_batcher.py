"""The batcher's laws, against a client whose acknowledgements the test controls."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.batcher import Batcher, Delivery
from throughline.kit.errors import ServiceError
from throughline.kit.memory import Memory
from throughline.wire.codec import partition_of

PARTITIONS = 3
BATCH_RECORDS = 4


class FakeBatch:
    """A record batch with room for `BATCH_RECORDS` records."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes]] = []
        self.is_closed = False

    def append(self, *, timestamp: int, key: bytes | None, value: bytes) -> object | None:
        assert not self.is_closed
        if len(self.records) == BATCH_RECORDS:
            return None
        self.records.append((key, value))
        return timestamp

    def close(self) -> None:
        self.is_closed = True


class FakeClient:
    """A broker that leads all partitions of both topics, and the client to it."""

    def __init__(self) -> None:
        self.client = self.cluster = self
        self.stored: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = defaultdict(list)
        self.in_flight: dict[tuple[str, int], tuple[FakeBatch, asyncio.Future[Any]]] = {}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(PARTITIONS if topic == "touchpoints" else 2))

    def leader_for_partition(self, _: object) -> int:
        return 1

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        assert batch.is_closed
        assert (topic, partition) not in self.in_flight, "two batches of one partition are in flight"
        future = asyncio.get_running_loop().create_future()
        self.in_flight[topic, partition] = (batch, future)
        return future

    def answer(self, place: tuple[str, int], error: Exception | None = None) -> None:
        batch, future = self.in_flight.pop(place)
        if error is None:
            self.stored[place] += batch.records
            future.set_result(None)
        else:
            future.set_exception(error)


class FakeProducer:
    """Holds a client; a reconnection gives the next one."""

    def __init__(self) -> None:
        self.client: FakeClient | None = FakeClient()
        self.reconnections = 0

    def reconnect(self, client: FakeClient) -> None:
        assert client is self.client
        self.client = FakeClient()
        self.reconnections += 1


def batcher_of(producer: FakeProducer, **settings: Any) -> Batcher:
    limits: dict[str, Any] = {"queue_events": 10_000, "memory": Memory(1_000_000), "ack_seconds": 60.0} | settings
    fake: Any = producer
    return Batcher(fake, MetricsBuffer(), touchpoints_topic="touchpoints", rejected_topic="rejected", **limits)


async def turn() -> None:
    """Lets the event loop do all that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


_REQUESTS = st.lists(st.tuples(st.lists(st.sampled_from(["ada", "bob", "cem", "dot"]), max_size=9), st.integers(0, 3)))
_ANSWERS = st.lists(st.integers(0, 100), max_size=60)


@given(_REQUESTS, _ANSWERS)
def test_every_event_is_stored_once_in_order_and_acknowledged_only_then(
    requests: list[tuple[list[str], int]], answers: list[int]
) -> None:
    async def run() -> None:
        producer = FakeProducer()
        client = producer.client
        assert client is not None
        batcher = batcher_of(producer)
        sent: list[tuple[Delivery, list[bytes]]] = []
        numbers = iter(range(10_000))
        turns = iter(answers)

        def check() -> None:
            stored = {value for records in client.stored.values() for _, value in records}
            for delivery, values in sent:
                assert not delivery.acknowledged.done() or stored.issuperset(values)

        for actors, rejections in requests:
            touchpoints = [(actor.encode(), b"t%d" % next(numbers)) for actor in actors]
            rejected = [b"r%d" % next(numbers) for _ in range(rejections)]
            delivery = batcher.put(touchpoints, rejected, 1_000_000)
            sent.append((delivery, [*(value for _, value in touchpoints), *rejected]))
            await turn()
            for _, choice in zip(range(next(turns, 0) % 3), turns, strict=False):
                if client.in_flight:
                    client.answer(sorted(client.in_flight)[choice % len(client.in_flight)])
                    await turn()
                    check()
        while client.in_flight:
            client.answer(next(iter(client.in_flight)))
            await turn()
            check()
        assert all(delivery.acknowledged.result() for delivery, _ in sent)
        assert await batcher.drain(0)
        stored = [(place, value) for place, records in client.stored.items() for _, value in records]
        assert sorted(value for _, value in stored) == sorted(value for _, values in sent for value in values)
        for (topic, partition), records in client.stored.items():
            for key, _ in records:
                assert topic == "rejected" if key is None else partition == partition_of(key, PARTITIONS)
            order = [int(value[1:]) for _, value in records]
            assert order == sorted(order)

    asyncio.run(run())


async def test_requests_of_one_turn_share_a_batch() -> None:
    producer = FakeProducer()
    batcher = batcher_of(producer)
    deliveries = [batcher.put([(b"ada", b"%d" % number)], [], 0) for number in range(3)]
    await turn()
    assert producer.client is not None
    ((place, (batch, _)),) = producer.client.in_flight.items()
    assert len(batch.records) == 3
    producer.client.answer(place)
    assert [await delivery.acknowledged for delivery in deliveries] == [True, True, True]


async def test_a_refused_batch_reconnects_and_acknowledges_nothing_in_flight() -> None:
    producer = FakeProducer()
    first = producer.client
    assert first is not None
    batcher = batcher_of(producer)
    both = batcher.put([(b"ada", b"1"), (b"bob", b"2")], [b"3"], 0)
    await turn()
    assert len(first.in_flight) == 3
    waiting = batcher.put([(b"ada", b"4")], [], 0)
    first.answer(next(iter(first.in_flight)), ConnectionError("gone"))
    await turn()
    assert await both.acknowledged is False
    assert producer.reconnections == 1
    assert producer.client is not None
    assert not waiting.acknowledged.done()
    for place in list(producer.client.in_flight):
        producer.client.answer(place)
    assert await waiting.acknowledged is True
    for place in list(first.in_flight):
        first.answer(place)  # too late: the batcher has another client
    await turn()
    assert await batcher.drain(0)


async def test_a_full_queue_and_a_lost_connection_are_503() -> None:
    producer = FakeProducer()
    batcher = batcher_of(producer, queue_events=2)
    assert await batcher.put([], [], 0).acknowledged is True
    with pytest.raises(ServiceError, match="queue is full"):
        batcher.put([(b"ada", b"1")] * 3, [], 0)
    producer.client = None
    assert batcher.problem() == "no connection to Kafka"
    with pytest.raises(ServiceError, match="no connection") as caught:
        batcher.put([(b"ada", b"1")], [], 0)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


async def test_a_batch_without_acknowledgement_expires_then_stalls_then_reconnects() -> None:
    producer = FakeProducer()
    batcher = batcher_of(producer, ack_seconds=0.05)
    checks = asyncio.create_task(batcher.run())
    delivery = batcher.put([(b"ada", b"1")], [], 0)
    async with asyncio.timeout(10):
        assert await delivery.acknowledged is False
        while not producer.reconnections:
            assert batcher.problem() in ("", "Kafka has not acknowledged a batch for more than 0.05 s")
            await asyncio.sleep(0.01)
        while batcher.problem():  # noqa: ASYNC110 - as /readyz does, from outside
            await asyncio.sleep(0.01)
    checks.cancel()


async def test_a_slow_partition_does_not_hold_up_the_others_of_its_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.publish.batcher.ROUND_SECONDS", 0.05)
    producer = FakeProducer()
    client = producer.client
    assert client is not None
    slow, quick = (("touchpoints", partition_of(key, PARTITIONS)) for key in (b"ada", b"dot"))
    assert slow != quick
    batcher = batcher_of(producer)
    checks = asyncio.create_task(batcher.run())
    batcher.put([(b"ada", b"1"), (b"dot", b"2")], [], 0)
    await turn()
    client.answer(quick)
    batcher.put([(b"ada", b"3"), (b"dot", b"4")], [], 0)
    await turn()
    assert client.in_flight.keys() == {slow}, "the round is not over"
    async with asyncio.timeout(10):
        while quick not in client.in_flight:  # noqa: ASYNC110 - what the fake client has is polled
            await asyncio.sleep(0.01)
    client.answer(slow)
    client.answer(quick)
    await turn()
    client.answer(slow)
    assert client.stored[slow] == [(b"ada", b"1"), (b"ada", b"3")]
    await turn()
    assert await batcher.drain(0)
    checks.cancel()
