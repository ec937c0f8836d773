"""Group commit: events of many requests share the record batches they travel to Kafka in.

Each partition has a lane that collects events. The lanes of one broker leave together, in one round; while it is
under way the next one collects: no lingering, the acknowledgement of one round starts the next.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.producer import Producer
from throughline.kit.errors import ServiceError
from throughline.kit.metrics import INGEST_PRODUCE_FAILURES, INGEST_QUEUE_EVENTS
from throughline.wire.codec import partition_of

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.1
ROUND_SECONDS = 0.5
"""A broker's round that takes longer does not hold up its other partitions any further."""
RECREATE_AFTER = 4
"""A batch that takes this many times `ack_seconds` gets a new producer: all known brokers may have new addresses."""


class Delivery:
    """What one request waits for."""

    __slots__ = ("acknowledged", "deadline", "waiting")

    def __init__(self, acknowledged: asyncio.Future[bool], deadline: float) -> None:
        self.acknowledged = acknowledged
        """True: acknowledged by all in-sync replicas. False: it is not known whether the events ever will be."""
        self.deadline = deadline
        self.waiting = 0


class _Load:
    """A record batch, and the deliveries of the requests whose events it holds."""

    __slots__ = ("builder", "bytes", "deliveries", "events", "since")

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.deliveries: list[Delivery] = []
        self.events = 0
        self.bytes = 0
        self.since = 0.0


class _Node:
    """The lanes to one broker."""

    __slots__ = ("flying", "round", "since", "starting", "waiting")

    def __init__(self) -> None:
        self.waiting: list[_Lane] = []
        self.flying = 0
        self.round = 0
        self.since = 0.0
        self.starting = False


class _Lane:
    """One partition's way to Kafka."""

    __slots__ = ("flying", "loads", "node", "partition", "topic")

    def __init__(self, topic: str, partition: int, node: _Node) -> None:
        self.topic = topic
        self.partition = partition
        self.node = node
        self.loads: deque[_Load] = deque()
        self.flying: _Load | None = None


class Batcher:
    """Puts events on Kafka. All methods belong to one event loop."""

    def __init__(
        self,
        producer: Producer,
        metrics: MetricsBuffer,
        *,
        touchpoints_topic: str,
        rejected_topic: str,
        queue_events: int,
        queue_bytes: int,
        ack_seconds: float,
    ) -> None:
        self._producer = producer
        self._metrics = metrics
        self._topics = (touchpoints_topic, rejected_topic)
        self._queue_events = queue_events
        self._queue_bytes = queue_bytes
        self._ack_seconds = ack_seconds
        self._nodes: dict[int, _Node] = {}
        self._lanes: tuple[list[_Lane], list[_Lane]] = ([], [])
        self._laid_out_for: Any = None
        self._next_rejected = 0
        self._events = 0
        self._bytes = 0
        self._stalled = False
        self._launches: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    def problem(self) -> str:
        """'' when events can be taken, else a sentence that says why not."""
        if self._producer.client is None:
            return "no connection to Kafka"
        if self._stalled:
            return f"Kafka has not acknowledged a batch for more than {self._ack_seconds:g} s"
        return ""

    def put(self, touchpoints: Sequence[tuple[bytes, bytes]], rejected: Sequence[bytes], received_us: int) -> Delivery:
        """Queue the events of one request: (key, value) of touchpoints, values of rejected events.

        Raises:
            ServiceError: 503, nothing was queued: Kafka is away or slow, or the queue is full.
        """
        client = self._producer.client
        if client is None or self._stalled:
            raise unavailable(self.problem())
        if self._events + len(touchpoints) + len(rejected) > self._queue_events or self._bytes > self._queue_bytes:
            raise unavailable("the queue is full")
        if client is not self._laid_out_for:
            self._lay_out(client)
        delivery = Delivery(self._loop.create_future(), time.monotonic() + self._ack_seconds)
        milliseconds = received_us // 1000
        lanes, refusal_lanes = self._lanes
        count = len(lanes)
        self._next_rejected += 1
        refusal_lane = refusal_lanes[self._next_rejected % len(refusal_lanes)]
        size = 0
        for key, value in (*touchpoints, *((None, value) for value in rejected)) if rejected else touchpoints:
            lane = refusal_lane if key is None else lanes[partition_of(key, count)]
            load = lane.loads[-1] if lane.loads else self._open(client, lane)
            if load.builder.append(timestamp=milliseconds, key=key, value=value) is None:
                load = self._open(client, lane)
                load.builder.append(timestamp=milliseconds, key=key, value=value)
            if not load.deliveries or load.deliveries[-1] is not delivery:
                load.deliveries.append(delivery)
                delivery.waiting += 1
            length = len(value)
            load.events += 1
            load.bytes += length
            size += length
        self._events += len(touchpoints) + len(rejected)
        self._bytes += size
        if not delivery.waiting:
            delivery.acknowledged.set_result(True)
        return delivery

    def _open(self, client: Any, lane: _Lane) -> _Load:
        """A new load for a lane, which leaves with its broker's next round."""
        load = _Load(client.create_batch())
        if not lane.loads:
            node = lane.node
            node.waiting.append(lane)
            if not node.flying and not node.starting:
                # After everything that is ready in this turn of the loop: those requests share the round.
                node.starting = True
                self._loop.call_soon(self._start, node)
        lane.loads.append(load)
        return load

    def _start(self, node: _Node) -> None:
        """Begin a broker's next round: one load of each lane that has any."""
        node.starting = False
        node.round += 1
        node.since = now = time.monotonic()
        lanes = [lane for lane in node.waiting if lane.flying is None]
        node.flying = len(lanes)
        for lane in lanes:
            lane.flying = lane.loads.popleft()
            lane.flying.since = now
        # Lanes with more to send, and those that an earlier round still holds, wait for the next.
        node.waiting = [lane for lane in node.waiting if lane.loads]
        launch = self._loop.create_task(self._launch(lanes, node.round))
        self._launches.add(launch)
        launch.add_done_callback(self._launches.discard)

    async def _launch(self, lanes: list[_Lane], number: int) -> None:
        for lane in lanes:
            load = lane.flying
            client = self._producer.client
            if load is None:
                continue
            try:
                if client is None:
                    raise ConnectionError("no connection to Kafka")
                load.builder.close()
                acknowledged = await client.send_batch(load.builder, lane.topic, partition=lane.partition)
            except Exception as error:
                self._land(lane, load, number, client, error)
            else:
                acknowledged.add_done_callback(partial(self._acknowledged, lane, load, number, client))

    def _acknowledged(self, lane: _Lane, load: _Load, number: int, client: Any, future: asyncio.Future[Any]) -> None:
        error = ConnectionError("given up") if future.cancelled() else future.exception()
        self._land(lane, load, number, client, error)

    def _land(self, lane: _Lane, load: _Load, number: int, client: Any, error: BaseException | None) -> None:
        if lane.flying is not load:
            return  # given up in the meantime
        lane.flying = None
        self._settle(load, acknowledged=error is None)
        node = lane.node
        if number == node.round:
            node.flying -= 1
        if error is not None:
            INGEST_PRODUCE_FAILURES.inc()
            if client is not None and client is self._producer.client:
                log.warning("Kafka refused a batch (%s): connecting again", error or type(error).__name__)
                self._give_up(client)
        if not node.flying and node.waiting and not node.starting:
            self._start(node)

    def _give_up(self, client: Any) -> None:
        """Connect anew, and answer 503 to all that is under way.

        A producer that lost a batch has a hole in its sequence and can not go on.
        """
        self._producer.recreate(client)
        for lane in (*self._lanes[0], *self._lanes[1]):
            if lane.flying is not None:
                load, lane.flying = lane.flying, None
                self._settle(load, acknowledged=False)
        for node in self._nodes.values():
            node.flying = 0
            if node.waiting and not node.starting:
                self._start(node)

    def _settle(self, load: _Load, *, acknowledged: bool) -> None:
        self._events -= load.events
        self._bytes -= load.bytes
        for delivery in load.deliveries:
            delivery.waiting -= 1
            if not delivery.acknowledged.done() and (not acknowledged or not delivery.waiting):
                delivery.acknowledged.set_result(acknowledged)
        if acknowledged:
            self._metrics.count_batch(load.events, time.monotonic() - load.since)

    def _lay_out(self, client: Any) -> None:
        """Lanes as the topics have partitions now; those of partitions that are gone stay until they are empty."""
        for topic, lanes in zip(self._topics, self._lanes, strict=True):
            leaders = self._producer.leaders(client, topic)
            for partition, leader in enumerate(leaders):
                node = self._nodes.setdefault(leader, _Node())
                if partition == len(lanes):
                    lanes.append(_Lane(topic, partition, node))
                elif lanes[partition].node is not node and not lanes[partition].loads and not lanes[partition].flying:
                    lanes[partition].node = node
            while len(lanes) > len(leaders) > 0 and not lanes[-1].loads and not lanes[-1].flying:
                lanes.pop()
        self._laid_out_for = client

    async def run(self) -> None:
        """Give up on what takes too long, and follow the topics' partitions, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            client = self._producer.client
            if client is not None:
                self._lay_out(client)
            oldest = now
            for lane in (*self._lanes[0], *self._lanes[1]):
                for load in (*([lane.flying] if lane.flying else ()), *lane.loads):
                    _expire(load, now)
                if lane.flying is not None:
                    oldest = min(oldest, lane.flying.since)
            for node in self._nodes.values():
                if node.flying and now - node.since > ROUND_SECONDS:
                    self._start(node)
            self._judge(now - oldest)
            INGEST_QUEUE_EVENTS.set(self._events)

    def _judge(self, seconds: float) -> None:
        """Take note of how long the batch that has waited longest has been under way."""
        stalled = seconds > self._ack_seconds
        if stalled and not self._stalled:
            INGEST_PRODUCE_FAILURES.inc()
            log.warning("Kafka does not acknowledge: answering 503 until it does")
        elif self._stalled and not stalled and self._producer.client is not None:
            log.warning("Kafka acknowledges again")
        self._stalled = stalled
        client = self._producer.client
        if seconds > RECREATE_AFTER * self._ack_seconds and client is not None:
            log.warning("Kafka has not acknowledged a batch for %.0f s: connecting again", seconds)
            self._give_up(client)

    async def drain(self, seconds: float) -> bool:
        """Wait until everything queued is acknowledged; False when that takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while self._events:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True


def _expire(load: _Load, now: float) -> None:
    for delivery in load.deliveries:
        if delivery.deadline > now:
            return
        if not delivery.acknowledged.done():
            delivery.acknowledged.set_result(False)


def unavailable(reason: str) -> ServiceError:
    """The answer that makes clients send the same events again a little later."""
    return ServiceError(503, "unavailable", f"not accepted now: {reason}; send it again", headers={"Retry-After": "1"})
