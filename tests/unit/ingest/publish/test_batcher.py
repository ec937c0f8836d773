"""The batcher's laws, against a client whose acknowledgements the test controls."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaConnectionError, NotLeaderForPartitionError, OutOfOrderSequenceNumber
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.batcher import Batcher, Delivery
from throughline.kit.errors import ServiceError
from throughline.kit.memory import Memory
from throughline.wire.codec import partition_of

PARTITIONS = 3
REFUSED = OutOfOrderSequenceNumber.errno
NOT_LEADER = NotLeaderForPartitionError.errno


class Flight(NamedTuple):
    """A produce request without an answer yet."""

    places: dict[tuple[str, int], list[tuple[bytes | None, bytes]]]
    """The records of each partition."""
    answer: asyncio.Future[Any]


class FakeClient:
    """A broker that leads all partitions of both topics, and the client to it."""

    def __init__(self) -> None:
        self.client = self.cluster = self
        self._txn_manager = TransactionManager(None, 0)
        self._txn_manager.set_pid_and_epoch(7, 0)
        self.stored: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = defaultdict(list)
        self.flights: list[Flight] = []
        self.leader = 1

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(PARTITIONS if topic == "touchpoints" else 2))

    def leader_for_partition(self, _: object) -> int:
        return self.leader

    def force_metadata_update(self) -> None:
        pass

    async def send(self, broker: int, request: Any) -> Any:
        assert broker == self.leader
        places = {}
        for topic, partitions in ProduceRequest_v7.decode(request.encode()).topics:
            for partition, batch in partitions:
                place = (topic, partition)
                assert not any(place in flight.places for flight in self.flights), "one batch of a partition at a time"
                places[place] = [(record.key, record.value) for record in DefaultRecordBatch(bytearray(batch))]
        flight = Flight(places, asyncio.get_running_loop().create_future())
        self.flights.append(flight)
        return await flight.answer

    def answer(self, flight: Flight, codes: Mapping[tuple[str, int], int] = MappingProxyType({})) -> None:
        """Answers with these error codes, and 0 for the other partitions."""
        self.flights.remove(flight)
        for place, records in flight.places.items():
            if not codes.get(place):
                self.stored[place] += records
        flight.answer.set_result({place: codes.get(place, 0) for place in flight.places})


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
                assert delivery.acknowledged is None or stored.issuperset(values)

        for actors, rejections in requests:
            touchpoints = [(actor.encode(), b"t%d" % next(numbers)) for actor in actors]
            rejected = [b"r%d" % next(numbers) for _ in range(rejections)]
            delivery = batcher.put(touchpoints, rejected, 1_000_000)
            sent.append((delivery, [*(value for _, value in touchpoints), *rejected]))
            await turn()
            for _, choice in zip(range(next(turns, 0) % 3), turns, strict=False):
                if client.flights:
                    client.answer(client.flights[choice % len(client.flights)])
                    await turn()
                    check()
        while client.flights:
            client.answer(client.flights[0])
            await turn()
            check()
        assert all(delivery.acknowledged for delivery, _ in sent)
        assert await batcher.drain(0)
        stored = [(place, value) for place, records in client.stored.items() for _, value in records]
        assert sorted(value for _, value in stored) == sorted(value for _, values in sent for value in values)
        for (topic, partition), records in client.stored.items():
            for key, _ in records:
                assert topic == "rejected" if key is None else partition == partition_of(key, PARTITIONS)
            order = [int(value[1:]) for _, value in records]
            assert order == sorted(order)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.ingest.publish.batcher.MAX_BATCH_BYTES", 200)  # some four of these records
        asyncio.run(run())


async def test_requests_of_one_turn_share_a_batch() -> None:
    producer = FakeProducer()
    batcher = batcher_of(producer)
    deliveries = [batcher.put([(b"ada", b"%d" % number)], [], 0) for number in range(3)]
    await turn()
    assert producer.client is not None
    (flight,) = producer.client.flights
    ((_, records),) = flight.places.items()
    assert [value for _, value in records] == [b"0", b"1", b"2"]
    producer.client.answer(flight)
    await turn()
    assert [delivery.acknowledged for delivery in deliveries] == [True, True, True]


async def test_the_next_round_leaves_before_the_requests_of_the_last_one_are_answered() -> None:
    producer = FakeProducer()
    client = producer.client
    assert client is not None
    batcher = batcher_of(producer)
    flights_at_answer: list[int] = []
    batcher.put([(b"ada", b"1")], [], 0).then(lambda _: flights_at_answer.append(len(client.flights)))
    await turn()
    batcher.put([(b"bob", b"2"), (b"ada", b"3")], [b"4"], 0)
    client.answer(client.flights[0])
    await turn()
    assert flights_at_answer == [1]
    assert len(client.flights[0].places) == 3, "one request for all partitions"


async def test_a_request_that_cannot_be_answered_harms_no_other() -> None:
    producer = FakeProducer()
    client = producer.client
    assert client is not None
    batcher = batcher_of(producer)
    answers: list[bool] = []

    def fail(_: bool) -> None:
        raise OSError("gone")

    batcher.put([(b"ada", b"1")], [], 0).then(fail)
    batcher.put([(b"ada", b"2")], [], 0).then(answers.append)
    await turn()
    client.answer(client.flights[0])
    await turn()
    assert answers == [True]
    assert await batcher.drain(0)


async def test_a_refused_batch_reconnects_and_acknowledges_nothing_in_flight() -> None:
    producer = FakeProducer()
    first = producer.client
    assert first is not None
    batcher = batcher_of(producer)
    both = batcher.put([(b"ada", b"1"), (b"bob", b"2")], [b"3"], 0)
    await turn()
    (flight,) = first.flights
    assert len(flight.places) == 3
    ends: list[bool] = []
    batcher.put([(b"ada", b"4")], [], 0).then(ends.append)
    first.answer(flight, {next(iter(flight.places)): REFUSED})
    await turn()
    assert both.acknowledged is False
    assert producer.reconnections == 1
    assert producer.client is not None
    assert ends == []
    producer.client.answer(producer.client.flights[0])
    await turn()
    assert ends == [True]
    assert await batcher.drain(0)


@pytest.mark.parametrize("failure", [NOT_LEADER, KafkaConnectionError("gone")])
async def test_a_batch_that_may_be_taken_later_is_sent_again_to_its_leader_as_it_was(
    monkeypatch: pytest.MonkeyPatch, failure: int | Exception
) -> None:
    monkeypatch.setattr("services.ingest.publish.batcher.AGAIN_SECONDS", 0.0)
    producer = FakeProducer()
    client = producer.client
    assert client is not None
    batcher = batcher_of(producer)
    moved, stays = (("touchpoints", partition_of(key, PARTITIONS)) for key in (b"ada", b"dot"))
    assert moved != stays
    lost = batcher.put([(b"ada", b"1")], [], 0)
    kept = batcher.put([(b"dot", b"2")], [], 0)
    await turn()
    client.leader = 2
    if isinstance(failure, int):
        client.answer(client.flights[0], {moved: failure})
    else:
        client.flights.pop().answer.set_exception(failure)
    later = batcher.put([(b"ada", b"3")], [], 0)
    async with asyncio.timeout(10):
        while not client.flights:  # noqa: ASYNC110 - what the fake client has is polled
            await asyncio.sleep(0)
        assert kept.acknowledged is (True if isinstance(failure, int) else None)
        assert moved in client.flights[0].places
        client.leader = 1  # the queue's broker
        while client.flights:
            client.answer(client.flights[0])
            await turn()
    assert (lost.acknowledged, kept.acknowledged, later.acknowledged) == (True, True, True)
    assert client.stored[moved] == [(b"ada", b"1"), (b"ada", b"3")]
    assert client.stored[stays] == [(b"dot", b"2")]
    assert producer.reconnections == 0


async def test_a_full_queue_and_a_lost_connection_are_503() -> None:
    producer = FakeProducer()
    batcher = batcher_of(producer, queue_events=2)
    assert batcher.put([], [], 0).acknowledged is True
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
    answers: asyncio.Queue[bool] = asyncio.Queue()
    batcher.put([(b"ada", b"1")], [], 0).then(answers.put_nowait)
    async with asyncio.timeout(10):
        assert await answers.get() is False
        while not producer.reconnections:
            assert batcher.problem() in ("", "Kafka has not acknowledged a batch for more than 0.05 s")
            await asyncio.sleep(0.01)
        while batcher.problem():  # noqa: ASYNC110 - as /readyz does, from outside
            await asyncio.sleep(0.01)
    checks.cancel()


async def test_a_slow_partition_does_not_hold_up_the_others_of_its_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.publish.batcher.ROUND_SECONDS", 0.05)
    monkeypatch.setattr("services.ingest.publish.batcher.AGAIN_SECONDS", 0.0)
    producer = FakeProducer()
    client = producer.client
    assert client is not None
    slow, quick = (("touchpoints", partition_of(key, PARTITIONS)) for key in (b"ada", b"dot"))
    assert slow != quick
    batcher = batcher_of(producer)
    checks = asyncio.create_task(batcher.run())
    batcher.put([(b"ada", b"1"), (b"dot", b"2")], [], 0)
    await turn()
    client.answer(client.flights[0], {slow: NOT_LEADER})
    batcher.put([(b"ada", b"3"), (b"dot", b"4")], [], 0)
    async with asyncio.timeout(10):
        while not any(quick in flight.places for flight in client.flights):
            for flight in list(client.flights):
                client.answer(flight, {slow: NOT_LEADER})
            await asyncio.sleep(0.01)
    assert client.stored[slow] == []
    while client.flights:
        client.answer(client.flights[0])
        await turn()
    assert client.stored[slow] == [(b"ada", b"1"), (b"ada", b"3")]
    assert client.stored[quick] == [(b"dot", b"2"), (b"dot", b"4")]
    assert await batcher.drain(0)
    checks.cancel()
