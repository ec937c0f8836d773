"""Group commit: the events of many requests share the record batches in which they travel to Kafka.

Each partition has a queue of record batches. The queues of one broker send in rounds: while one round is under way, the
batches of the next one fill. There is no linger time: the acknowledgement of one round starts the next.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.aiokafka_internals import BatchBuilder, KafkaClient, partition_leaders
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


class Delivery:
    """The events of one request on their way to Kafka."""

    __slots__ = ("acknowledged", "deadline", "pending")

    def __init__(self, acknowledged: asyncio.Future[bool], deadline: float) -> None:
        self.acknowledged = acknowledged
        """True: all in-sync replicas have all events. False: unknown, Kafka may still store some of them."""
        self.deadline = deadline
        self.pending = 0
        """Number of record batches that are not acknowledged yet."""


class _Batch:
    """A record batch, and the deliveries that have events in it."""

    __slots__ = ("builder", "bytes", "deliveries", "events", "sent_at")

    def __init__(self, builder: BatchBuilder) -> None:
        self.builder = builder
        self.deliveries: list[Delivery] = []
        self.events = 0
        self.bytes = 0
        self.sent_at = 0.0


class _Broker:
    """The rounds of one broker."""

    __slots__ = ("in_flight", "is_starting", "round", "started_at", "waiting")

    def __init__(self) -> None:
        self.waiting: list[_PartitionQueue] = []
        """Queues with batches for the next round."""
        self.round = 0
        self.in_flight = 0
        """Number of batches of the current round that are not acknowledged yet."""
        self.started_at = 0.0
        self.is_starting = False


class _PartitionQueue:
    """The record batches of one partition; at most one of them is in flight."""

    __slots__ = ("batches", "broker", "in_flight", "partition", "topic")

    def __init__(self, topic: str, partition: int, broker: _Broker) -> None:
        self.topic = topic
        self.partition = partition
        self.broker = broker
        self.batches: deque[_Batch] = deque()
        self.in_flight: _Batch | None = None

    @property
    def is_idle(self) -> bool:
        return not self.batches and self.in_flight is None


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
        delivery = Delivery(self._loop.create_future(), time.monotonic() + self._ack_seconds)
        milliseconds = received_us // 1000
        queues, rejected_queues = self._queues
        partitions = len(queues)
        # A request's rejected events stay together; requests take turns over the partitions.
        self._requests += 1
        rejected_queue = rejected_queues[self._requests % len(rejected_queues)]
        size = 0
        for key, value in (*touchpoints, *((None, value) for value in rejected)) if rejected else touchpoints:
            queue = rejected_queue if key is None else queues[partition_of(key, partitions)]
            batch = queue.batches[-1] if queue.batches else self._add_batch(client, queue)
            if batch.builder.append(timestamp=milliseconds, key=key, value=value) is None:
                batch = self._add_batch(client, queue)
                batch.builder.append(timestamp=milliseconds, key=key, value=value)
            if not batch.deliveries or batch.deliveries[-1] is not delivery:
                batch.deliveries.append(delivery)
                delivery.pending += 1
            length = len(value)
            batch.events += 1
            batch.bytes += length
            size += length
        self._events += len(touchpoints) + len(rejected)
        self._memory.held += size
        if not delivery.pending:
            delivery.acknowledged.set_result(True)
        return delivery

    def _add_batch(self, client: KafkaClient, queue: _PartitionQueue) -> _Batch:
        batch = _Batch(client.create_batch())
        if not queue.batches:
            broker = queue.broker
            broker.waiting.append(queue)
            if not broker.in_flight and not broker.is_starting:
                # Not at once: all requests that the loop has ready in this turn share the round.
                broker.is_starting = True
                self._loop.call_soon(self._start_round, broker)
        queue.batches.append(batch)
        return batch

    def _start_round(self, broker: _Broker) -> None:
        """Sends one batch of each queue that waits for this broker."""
        broker.is_starting = False
        broker.round += 1
        broker.started_at = now = time.monotonic()
        queues = [queue for queue in broker.waiting if queue.in_flight is None]
        broker.in_flight = len(queues)
        for queue in queues:
            queue.in_flight = queue.batches.popleft()
            queue.in_flight.sent_at = now
        # Queues with more batches, or with one in flight since an earlier round, wait for the next round.
        broker.waiting = [queue for queue in broker.waiting if queue.batches]
        task = self._loop.create_task(self._send(queues, broker.round))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, queues: list[_PartitionQueue], round_number: int) -> None:
        for queue in queues:
            batch = queue.in_flight
            client = self._producer.client
            if batch is None:
                continue
            try:
                if client is None:
                    raise ConnectionError("no connection to Kafka")
                batch.builder.close()
                acknowledgement = await client.send_batch(batch.builder, queue.topic, partition=queue.partition)
            except Exception as error:
                self._finish(queue, batch, round_number, client, error)
            else:
                acknowledgement.add_done_callback(partial(self._on_done, queue, batch, round_number, client))

    def _on_done(
        self,
        queue: _PartitionQueue,
        batch: _Batch,
        round_number: int,
        client: KafkaClient,
        acknowledgement: asyncio.Future[object],
    ) -> None:
        error = ConnectionError("aborted") if acknowledgement.cancelled() else acknowledgement.exception()
        self._finish(queue, batch, round_number, client, error)

    def _finish(
        self,
        queue: _PartitionQueue,
        batch: _Batch,
        round_number: int,
        client: KafkaClient | None,
        error: BaseException | None,
    ) -> None:
        """Ends the flight of a batch; the last one of its round starts the next round."""
        if queue.in_flight is not batch:
            return  # `_reconnect` has ended it
        queue.in_flight = None
        self._complete(batch, acknowledged=error is None)
        broker = queue.broker
        if round_number == broker.round:
            broker.in_flight -= 1
        if error is not None:
            INGEST_PRODUCE_FAILURES.inc()
            if client is not None and client is self._producer.client:
                log.warning("Kafka refused a batch (%s): connecting again", error or type(error).__name__)
                self._reconnect(client)
        if not broker.in_flight and broker.waiting and not broker.is_starting:
            self._start_round(broker)

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

    def _complete(self, batch: _Batch, *, acknowledged: bool) -> None:
        self._events -= batch.events
        self._memory.held -= batch.bytes
        for delivery in batch.deliveries:
            delivery.pending -= 1
            if not delivery.acknowledged.done() and (not acknowledged or not delivery.pending):
                delivery.acknowledged.set_result(acknowledged)
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
                broker = self._brokers.setdefault(leader, _Broker())
                if partition == len(queues):
                    queues.append(_PartitionQueue(topic, partition, broker))
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
        if not delivery.acknowledged.done():
            delivery.acknowledged.set_result(False)


def unavailable(reason: str) -> ServiceError:
    """Returns the error whose answer makes clients send the same events again a little later."""
    return ServiceError(503, "unavailable", f"not accepted now: {reason}; send it again", headers={"Retry-After": "1"})
