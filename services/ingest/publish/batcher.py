"""Group commit: the events of many requests share the record batches in which they travel to Kafka.

Each partition has a queue of record batches. The queues of one broker send in rounds: while one round is under way, the
batches of the next one fill. There is no linger time: the acknowledgement of one round starts the next.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import DuplicateSequenceNumber, KafkaError, NoError, UnknownError, for_code

from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.aiokafka_internals import (
    RECORD_BYTES,
    KafkaClient,
    Record,
    leader_of,
    partition_leaders,
    produce,
    record_batch,
)
from services.ingest.publish.producer import ReconnectingProducer
from throughline.kit.errors import ServiceError
from throughline.kit.memory import Memory
from throughline.kit.metrics import INGEST_PRODUCE_FAILURES, INGEST_QUEUE_EVENTS
from throughline.wire.codec import partition_of

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.1
"""Pause between two checks of deadlines and of the topics' partitions."""
ROUND_SECONDS = 0.5
"""Duration after which a broker's round no longer holds up the broker's other partitions."""
RECONNECT_AFTER = 4
"""A batch without acknowledgement for this many times `ack_seconds` makes the producer connect again: all brokers may
have new addresses."""
AGAIN_SECONDS = 0.1
"""Pause before a batch is sent again that a broker did not take."""
MAX_BATCH_BYTES = 1_000_000
"""Maximum size of a record batch of several records; brokers accept 1,048,588 bytes by default."""


class Delivery:
    """The events of one request on their way to Kafka."""

    __slots__ = ("_then", "acknowledged", "deadline", "pending")

    def __init__(self, deadline: float) -> None:
        self.acknowledged: bool | None = None
        """True: all in-sync replicas have all events. False: unknown, Kafka may still store some of them. None: not
        known yet."""
        self.deadline = deadline
        self.pending = 0
        """Number of record batches that are not acknowledged yet."""
        self._then: Callable[[bool], None] | None = None

    def then(self, callback: Callable[[bool], None]) -> None:
        """Calls `callback` with `acknowledged` once it is known: now, or later. There is one callback."""
        if self.acknowledged is None:
            self._then = callback
        else:
            callback(self.acknowledged)

    def end(self, *, acknowledged: bool) -> None:
        """Says what became of the events, unless that has been said."""
        if self.acknowledged is not None:
            return
        self.acknowledged = acknowledged
        then, self._then = self._then, None  # a request and its delivery must not hold each other
        if then is not None:
            try:
                then(acknowledged)
            except Exception:  # the requests after this one have nothing to do with it
                log.exception("a request was not answered")


class _Batch:
    """Records that travel together, and the deliveries that have events among them."""

    __slots__ = ("deliveries", "encoded", "events", "held", "records", "sent_at", "size")

    def __init__(self) -> None:
        self.records: list[Record] = []
        """Empty once they are encoded."""
        self.events = 0
        self.deliveries: list[Delivery] = []
        self.size = 0
        """Maximum number of bytes that the records have on their way."""
        self.held = 0
        """Bytes of values."""
        self.encoded = bytearray()
        """As Kafka gets them, once they are sent."""
        self.sent_at = 0.0


class _Broker:
    """The rounds of one broker."""

    __slots__ = ("id", "in_flight", "is_starting", "round", "started_at", "waiting")

    def __init__(self, broker: int) -> None:
        self.id = broker
        self.waiting: list[_PartitionQueue] = []
        """Queues with batches for the next round."""
        self.round = 0
        self.in_flight = 0
        """Number of batches of the current round that are not acknowledged yet."""
        self.started_at = 0.0
        self.is_starting = False


class _PartitionQueue:
    """The record batches of one partition; at most one of them is in flight."""

    __slots__ = ("batches", "broker", "in_flight", "place")

    def __init__(self, place: TopicPartition, broker: _Broker) -> None:
        self.place = place
        self.broker = broker
        self.batches: deque[_Batch] = deque()
        self.in_flight: _Batch | None = None

    @property
    def is_idle(self) -> bool:
        return not self.batches and self.in_flight is None


_Flight = tuple[_PartitionQueue, _Batch]
_IS_THERE = (NoError.errno, DuplicateSequenceNumber.errno)
"""What Kafka answers about a batch that it has; the latter when the answer to its first sending was lost."""


class Batcher:
    """Publishes events to Kafka. All methods belong to one event loop."""

    def __init__(
        self,
        producer: ReconnectingProducer,
        metrics: MetricsBuffer,
        *,
        touchpoints_topic: str,
        rejected_topic: str,
        queue_events: int,
        memory: Memory,
        ack_seconds: float,
    ) -> None:
        self._producer = producer
        self._metrics = metrics
        self._topics = (touchpoints_topic, rejected_topic)
        self._queue_events = queue_events
        self._memory = memory
        self._ack_seconds = ack_seconds
        self._brokers: dict[int, _Broker] = {}
        self._queues: tuple[list[_PartitionQueue], list[_PartitionQueue]] = ([], [])
        """By partition, for each of `_topics`."""
        self._queues_client: KafkaClient | None = None
        """The client whose metadata `_queues` follow."""
        self._requests = 0
        self._events = 0
        self._is_stalled = False
        self._sending: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    def problem(self) -> str:
        """Returns a sentence that says why no events can be taken, or ""."""
        if self._producer.client is None:
            return "no connection to Kafka"
        if self._is_stalled:
            return f"Kafka has not acknowledged a batch for more than {self._ack_seconds:g} s"
        return ""

    def put(self, touchpoints: Sequence[tuple[bytes, bytes]], rejected: Sequence[bytes], received_us: int) -> Delivery:
        """Queues the events of one request: (key, value) of touchpoints, values of rejected events.

        Raises:
            ServiceError: 503, nothing was queued: Kafka is away or slow, or the queue is full.
        """
        client = self._producer.client
        if client is None or self._is_stalled:
            raise unavailable(self.problem())
        if self._events + len(touchpoints) + len(rejected) > self._queue_events or self._memory.is_full():
            raise unavailable("the queue is full")
        if client is not self._queues_client:
            self._update_queues(client)
        delivery = Delivery(time.monotonic() + self._ack_seconds)
        milliseconds = received_us // 1000
        queues, rejected_queues = self._queues
        partitions = len(queues)
        # A request's rejected events stay together; requests take turns over the partitions.
        self._requests += 1
        rejected_queue = rejected_queues[self._requests % len(rejected_queues)]
        held = 0
        for key, value in (*touchpoints, *((None, value) for value in rejected)) if rejected else touchpoints:
            queue = rejected_queue if key is None else queues[partition_of(key, partitions)]
            length = len(value)
            size = length + RECORD_BYTES if key is None else length + len(key) + RECORD_BYTES
            batch = queue.batches[-1] if queue.batches else None
            if batch is None or batch.size + size > MAX_BATCH_BYTES:
                batch = self._add_batch(queue)
            batch.records.append((milliseconds, key, value))
            batch.events += 1
            batch.size += size
            batch.held += length
            if not batch.deliveries or batch.deliveries[-1] is not delivery:
                batch.deliveries.append(delivery)
                delivery.pending += 1
            held += length
        self._events += len(touchpoints) + len(rejected)
        self._memory.held += held
        if not delivery.pending:
            delivery.end(acknowledged=True)
        return delivery

    def _add_batch(self, queue: _PartitionQueue) -> _Batch:
        if not queue.batches:
            broker = queue.broker
            broker.waiting.append(queue)
            if not broker.in_flight and not broker.is_starting:
                # Not at once: all requests that the loop has ready in this turn share the round.
                broker.is_starting = True
                self._loop.call_soon(self._start_round, broker)
        batch = _Batch()
        queue.batches.append(batch)
        return batch

    def _start_round(self, broker: _Broker) -> None:
        broker.is_starting = False
        flights = self._next_round(broker)
        self._run(self._send(broker, broker.id, flights, broker.round))

    def _next_round(self, broker: _Broker) -> list[_Flight]:
        """Takes one batch of each queue that waits for a broker."""
        broker.round += 1
        broker.started_at = now = time.monotonic()
        flights = []
        for queue in broker.waiting:
            if queue.in_flight is None:
                batch = queue.in_flight = queue.batches.popleft()
                batch.sent_at = now
                flights.append((queue, batch))
        broker.in_flight = len(flights)
        # Queues with more batches, or with one in flight since an earlier round, wait for the next round.
        broker.waiting = [queue for queue in broker.waiting if queue.batches]
        return flights

    def _run(self, sending: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, broker: _Broker, leader: int, flights: list[_Flight], round_number: int) -> None:
        """Sends batches of a broker's round to their leader, and then round after round while something waits."""
        while flights := [(queue, batch) for queue, batch in flights if queue.in_flight is batch]:
            client = self._producer.client
            errors = await _produce(client, leader, flights)
            acknowledged: list[_Batch] = []
            again: list[_Flight] = []
            for (queue, batch), error in zip(flights, errors, strict=True):
                if queue.in_flight is not batch:
                    continue  # `_reconnect` has ended its flight
                if error is not None and _is_passing(error) and client is self._producer.client:
                    again.append((queue, batch))
                    continue
                queue.in_flight = None
                if round_number == broker.round:
                    broker.in_flight -= 1
                if error is None:
                    acknowledged.append(batch)
                else:
                    self._refuse(client, batch, error)
            if again and client is not None:
                self._run(self._send_again(client, broker, again, round_number))
            if acknowledged:
                # In the next turn of the loop: the next round leaves in this one, so Kafka works meanwhile.
                self._loop.call_soon(self._answer, acknowledged)
            is_next = broker.waiting and not broker.in_flight and not broker.is_starting
            flights = self._next_round(broker) if is_next else []
            leader, round_number = broker.id, broker.round

    async def _send_again(
        self, client: KafkaClient, broker: _Broker, flights: list[_Flight], round_number: int
    ) -> None:
        """Sends batches again, to the brokers that lead their partitions by then."""
        client.client.force_metadata_update()
        await asyncio.sleep(AGAIN_SECONDS)
        by_leader = defaultdict(list)
        for queue, batch in flights:
            if queue.in_flight is batch:
                by_leader[leader_of(client, queue.place)].append((queue, batch))
        for leader, of_leader in by_leader.items():
            self._run(self._send(broker, leader, of_leader, round_number))

    def _refuse(self, client: KafkaClient | None, batch: _Batch, error: Exception) -> None:
        self._complete(batch, acknowledged=False)
        INGEST_PRODUCE_FAILURES.inc()
        if client is not None and client is self._producer.client:
            log.warning("Kafka refused a batch (%s): connecting again", error)
            self._reconnect(client)

    def _reconnect(self, client: KafkaClient) -> None:
        """Connects again, and answers 503 to all requests with events in flight.

        An idempotent producer that has lost a batch has a gap in its sequence numbers, and brokers refuse what follows.
        """
        self._producer.reconnect(client)
        for queue in self._all_queues():
            if queue.in_flight is not None:
                batch, queue.in_flight = queue.in_flight, None
                self._complete(batch, acknowledged=False)
        for broker in self._brokers.values():
            broker.in_flight = 0
            if broker.waiting and not broker.is_starting:
                self._start_round(broker)

    def _answer(self, batches: list[_Batch]) -> None:
        for batch in batches:
            self._complete(batch, acknowledged=True)

    def _complete(self, batch: _Batch, *, acknowledged: bool) -> None:
        self._events -= batch.events
        self._memory.held -= batch.held
        for delivery in batch.deliveries:
            delivery.pending -= 1
            if not acknowledged or not delivery.pending:
                delivery.end(acknowledged=acknowledged)
        if acknowledged:
            self._metrics.count_batch(batch.events, time.monotonic() - batch.sent_at)

    def _all_queues(self) -> tuple[_PartitionQueue, ...]:
        touchpoint_queues, rejected_queues = self._queues
        return (*touchpoint_queues, *rejected_queues)

    def _update_queues(self, client: KafkaClient) -> None:
        """Makes a queue for each partition of the topics, at its leader. Busy queues stay as they are until idle."""
        for topic, queues in zip(self._topics, self._queues, strict=True):
            leaders = partition_leaders(client, topic)
            for partition, leader in enumerate(leaders):
                broker = self._brokers.setdefault(leader, _Broker(leader))
                if partition == len(queues):
                    queues.append(_PartitionQueue(TopicPartition(topic, partition), broker))
                elif queues[partition].broker is not broker and queues[partition].is_idle:
                    queues[partition].broker = broker
            while len(queues) > len(leaders) > 0 and queues[-1].is_idle:
                queues.pop()
        self._queues_client = client

    async def run(self) -> None:
        """Ends what takes too long, and follows the topics' partitions, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            now = time.monotonic()
            client = self._producer.client
            if client is not None:
                self._update_queues(client)
            oldest_sent_at = now
            for queue in self._all_queues():
                for batch in (*([queue.in_flight] if queue.in_flight else ()), *queue.batches):
                    _expire(batch, now)
                if queue.in_flight is not None:
                    oldest_sent_at = min(oldest_sent_at, queue.in_flight.sent_at)
            for broker in self._brokers.values():
                if broker.in_flight and now - broker.started_at > ROUND_SECONDS:
                    self._start_round(broker)
            self._check_stalled(now - oldest_sent_at)
            INGEST_QUEUE_EVENTS.set(self._events)

    def _check_stalled(self, seconds: float) -> None:
        """Refuses events, and later connects again, if the oldest batch in flight is `seconds` old."""
        is_stalled = seconds > self._ack_seconds
        if is_stalled and not self._is_stalled:
            INGEST_PRODUCE_FAILURES.inc()
            log.warning("Kafka does not acknowledge: answering 503 until it does")
        elif self._is_stalled and not is_stalled and self._producer.client is not None:
            log.warning("Kafka acknowledges again")
        self._is_stalled = is_stalled
        client = self._producer.client
        if seconds > RECONNECT_AFTER * self._ack_seconds and client is not None:
            log.warning("Kafka has not acknowledged a batch for %.0f s: connecting again", seconds)
            self._reconnect(client)

    async def drain(self, seconds: float) -> bool:
        """Waits until all queued events are acknowledged; returns False if that takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while self._events:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True


def _expire(batch: _Batch, now: float) -> None:
    for delivery in batch.deliveries:  # in the order of their deadlines
        if delivery.deadline > now:
            return
        delivery.end(acknowledged=False)


async def _produce(client: KafkaClient | None, broker: int, flights: list[_Flight]) -> list[Exception | None]:
    """Sends record batches to a broker; returns for each None, once it is acknowledged, or why it is not."""
    try:
        if client is None:
            raise ConnectionError("no connection to Kafka")
        for queue, batch in flights:
            if not batch.encoded:
                batch.encoded, batch.records = record_batch(client, queue.place, batch.records, batch.size), []
        codes = await produce(client, broker, [(queue.place, batch.encoded) for queue, batch in flights])
    except Exception as error:
        return [error] * len(flights)
    return [_error_of(codes.get(queue.place, UnknownError.errno)) for queue, _ in flights]


def _error_of(code: int) -> Exception | None:
    if code in _IS_THERE:
        return None
    error: Exception = for_code(code)()
    return error


def _is_passing(error: Exception) -> bool:
    """Whether the same batch may be taken later: an idempotent producer may send it as often as it likes."""
    return isinstance(error, KafkaError) and bool(error.retriable)


def unavailable(reason: str) -> ServiceError:
    """Returns the error whose answer makes clients send the same events again a little later."""
    return ServiceError(503, "unavailable", f"not accepted now: {reason}; send it again", headers={"Retry-After": "1"})
