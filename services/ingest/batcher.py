"""Group commit: events of many requests share the record batches they travel to Kafka in.

Each partition has a lane: one record batch in flight, and the next one collecting meanwhile; no lingering, the
acknowledgement of one sends the next. A request waits for all the batches that hold its events.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from services.ingest.producer import Producer
from throughline.kit.errors import ServiceError
from throughline.kit.metrics import (
    INGEST_PRODUCE_FAILURES,
    INGEST_PRODUCE_RECORDS,
    INGEST_PRODUCE_SECONDS,
    INGEST_QUEUE_EVENTS,
)
from throughline.wire.codec import partition_of

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.1
RECREATE_AFTER = 4
"""A batch that takes this many times `ack_seconds` gets a new producer: all known brokers may have new addresses."""


class Ticket:
    """What one request waits for."""

    __slots__ = ("deadline", "done", "waiting")

    def __init__(self, done: asyncio.Future[bool], deadline: float) -> None:
        self.done = done
        self.deadline = deadline
        self.waiting = 0


class _Load:
    """A record batch and the tickets of the requests whose events it holds."""

    __slots__ = ("builder", "bytes", "events", "tickets")

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.tickets: list[Ticket] = []
        self.events = 0
        self.bytes = 0


class _Lane:
    """One partition's way to Kafka."""

    __slots__ = ("busy", "flying", "loads", "partition", "since", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.loads: deque[_Load] = deque()
        self.flying: _Load | None = None
        self.since = 0.0
        self.busy = False


class Batcher:
    """Puts events on Kafka. All methods belong to one event loop."""

    def __init__(
        self,
        producer: Producer,
        *,
        touchpoints_topic: str,
        rejected_topic: str,
        queue_events: int,
        queue_bytes: int,
        ack_seconds: float,
    ) -> None:
        self._producer = producer
        self._topics = (touchpoints_topic, rejected_topic)
        self._queue_events = queue_events
        self._queue_bytes = queue_bytes
        self._ack_seconds = ack_seconds
        self._touchpoints: list[_Lane] = []
        self._rejected: list[_Lane] = []
        self._next_rejected = 0
        self._events = 0
        self._bytes = 0
        self._dirty: list[_Lane] = []
        self._stalled = False
        self._flights: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    def problem(self) -> str:
        """'' when events can be taken, else a sentence that says why not."""
        if self._producer.client is None:
            return "no connection to Kafka"
        if self._stalled:
            return f"Kafka has not acknowledged a batch for more than {self._ack_seconds:g} s"
        return ""

    def put(self, touchpoints: Sequence[tuple[bytes, bytes]], rejected: Sequence[bytes], received_us: int) -> Ticket:
        """Queue the events of one request: (key, value) of touchpoints, values of refusals. Await `Ticket.done`: True
        means acknowledged by all in-sync replicas, False that it is not known whether they ever will be.

        Raises:
            ServiceError: 503, nothing was queued: Kafka is away or slow, or the queue is full.
        """
        client = self._producer.client
        if client is None or self._stalled:
            raise unavailable(self.problem())
        if self._events + len(touchpoints) + len(rejected) > self._queue_events or self._bytes > self._queue_bytes:
            raise unavailable("the queue is full")
        partitions = self._producer.partitions
        if partitions != (len(self._touchpoints), len(self._rejected)):
            self._set_lanes(*partitions)
        ticket = Ticket(self._loop.create_future(), time.monotonic() + self._ack_seconds)
        milliseconds = received_us // 1000
        lanes = self._touchpoints
        count = len(lanes)
        for key, value in touchpoints:
            self._add(lanes[partition_of(key, count)], key, value, milliseconds, ticket)
        if rejected:
            self._next_rejected += 1
            lane = self._rejected[self._next_rejected % len(self._rejected)]
            for value in rejected:
                self._add(lane, None, value, milliseconds, ticket)
        if not ticket.waiting:
            ticket.done.set_result(True)
        return ticket

    def _add(self, lane: _Lane, key: bytes | None, value: bytes, milliseconds: int, ticket: Ticket) -> None:
        loads = lane.loads
        if not loads:
            loads.append(_Load(self._producer.client.create_batch()))
            if not lane.busy:
                lane.busy = True
                if not self._dirty:
                    self._loop.call_soon(self._take_off)
                self._dirty.append(lane)
        load = loads[-1]
        if load.builder.append(timestamp=milliseconds, key=key, value=value) is None:
            load = _Load(self._producer.client.create_batch())
            loads.append(load)
            load.builder.append(timestamp=milliseconds, key=key, value=value)
        if not load.tickets or load.tickets[-1] is not ticket:
            load.tickets.append(ticket)
            ticket.waiting += 1
        load.events += 1
        load.bytes += len(value)
        self._events += 1
        self._bytes += len(value)

    def _take_off(self) -> None:
        # Runs after everything that was ready in this turn of the loop: those requests share the batch.
        for lane in self._dirty:
            flight = self._loop.create_task(self._fly(lane))
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)
        self._dirty.clear()

    async def _fly(self, lane: _Lane) -> None:
        """Send a lane's loads one after the other until none is left."""
        while lane.loads:
            load = lane.flying = lane.loads.popleft()
            lane.since = started = time.monotonic()
            client = self._producer.client
            try:
                if client is None:
                    raise ConnectionError("no connection to Kafka")
                load.builder.close()
                acknowledged = await client.send_batch(load.builder, lane.topic, partition=lane.partition)
                await acknowledged
            except Exception as error:
                # Whatever it was, the producer's sequence has a hole now: only a new producer can go on.
                self._land(lane, load, ok=False)
                INGEST_PRODUCE_FAILURES.inc()
                if client is not None:
                    log.warning("Kafka refused a batch (%s): connecting again", error or type(error).__name__)
                    self._producer.recreate(client)
            else:
                self._land(lane, load, ok=True)
                INGEST_PRODUCE_SECONDS.observe(time.monotonic() - started)
                INGEST_PRODUCE_RECORDS.observe(load.events)
        lane.busy = False

    def _land(self, lane: _Lane, load: _Load, *, ok: bool) -> None:
        lane.flying = None
        self._events -= load.events
        self._bytes -= load.bytes
        for ticket in load.tickets:
            ticket.waiting -= 1
            if not ticket.done.done() and (not ok or not ticket.waiting):
                ticket.done.set_result(ok)

    def _set_lanes(self, touchpoints: int, rejected: int) -> None:
        for lanes, topic, wanted in (
            (self._touchpoints, self._topics[0], touchpoints),
            (self._rejected, self._topics[1], rejected),
        ):
            lanes.extend(_Lane(topic, partition) for partition in range(len(lanes), wanted))
            # Lanes of partitions that are gone fly on, unlisted, until their events have failed.
            del lanes[wanted:]

    async def run(self) -> None:
        """Give up on what takes too long, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            oldest = now
            for lane in (*self._touchpoints, *self._rejected):
                if lane.flying is not None:
                    oldest = min(oldest, lane.since)
                    _expire(lane.flying, now)
                for load in lane.loads:
                    _expire(load, now)
            stalled = now - oldest > self._ack_seconds
            if stalled and not self._stalled:
                INGEST_PRODUCE_FAILURES.inc()
                log.warning("Kafka does not acknowledge: answering 503 until it does")
            if self._stalled and not stalled:
                log.warning("Kafka acknowledges again")
            self._stalled = stalled
            if now - oldest > RECREATE_AFTER * self._ack_seconds and self._producer.client is not None:
                self._producer.recreate(self._producer.client)
            INGEST_QUEUE_EVENTS.set(self._events)

    async def drain(self, seconds: float) -> bool:
        """Wait until everything queued is acknowledged; False when that takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while self._flights or self._dirty:
            if time.monotonic() > deadline:
                return False
            await asyncio.wait(tuple(self._flights) or (asyncio.ensure_future(asyncio.sleep(0)),), timeout=0.05)
        return True


def _expire(load: _Load, now: float) -> None:
    for ticket in load.tickets:
        if ticket.deadline > now:
            return
        if not ticket.done.done():
            ticket.done.set_result(False)


def unavailable(reason: str) -> ServiceError:
    """The answer that makes clients send the same events again a little later."""
    return ServiceError(503, "unavailable", f"not accepted now: {reason}; send it again", headers={"Retry-After": "1"})
