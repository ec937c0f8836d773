"""The load generator: a process of its own, raw HTTP/1.1 over uvloop, keep-alive connections.

`python -m bench.load SPEC` (JSON of `Spec`) sends until the time or the requests are over and prints a `Result`.

Closed loop: each connection sends its next request when it has the answer, so a latency is what a client of a busy
server sees, not what an open crowd would. With `rate` it is an open loop: requests leave on time as long as a
connection is free. Every request is a template whose two eight-digit numbers (request, customer) are replaced: sending
costs little, no message id comes twice. Only a 200 counts.
"""

import asyncio
import base64
import gc
import sys
from array import array
from collections import Counter, deque
from random import Random
from time import perf_counter
from typing import cast

import msgspec
import psutil
import uvloop

from bench.events import sample_actions, segment_event
from throughline.kit.clock import now_us, rfc3339

REQUEST = b"@@@@@@@@"
CUSTOMER = b"########"
TEMPLATES = 64
TICK_SECONDS = 0.005


class Spec(msgspec.Struct, kw_only=True):
    """What to send, where, how fast, how long."""

    port: int
    key: str
    host: str = "127.0.0.1"
    events: int = 1
    """Events in a request: 1 goes to /v1/track, more to /v1/batch."""
    connections: int = 64
    warm_seconds: float = 1.0
    """Seconds of load before the counted time."""
    seconds: float = 5.0
    requests: int = 0
    """Number of requests after which to end, instead of by time; all of them count."""
    rate: float = 0.0
    """Requests a second; 0: as fast as answers come."""
    customers: int = 0
    """Number of customers whose turn comes again and again (a multiple of `events`); 0: each event is of a new one."""
    prefix: str = "load"
    """Start of every message id and customer id of this run."""
    first: int = 0
    """Number of the first request."""
    pids: list[int] = []
    """Processes whose CPU time is measured over the counted time."""


class Result(msgspec.Struct, kw_only=True):
    """What was measured over the counted time."""

    requests: int
    events: int
    seconds: float
    failures: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: list[float]
    """CPU time of each of `pids`, in their order."""
    generator_busy: float
    """Share of one core that the generator used: near 1, the generator is the bottleneck."""
    event_bytes: float

    @property
    def request_rate(self) -> float:
        return self.requests / self.seconds

    @property
    def event_rate(self) -> float:
        return self.events / self.seconds


def templates(spec: Spec) -> tuple[list[bytes], float]:
    """(whole requests with placeholders, mean bytes of JSON per event)."""
    pool = sample_actions(TEMPLATES * min(spec.events, 100))
    if spec.events == 1:
        pool = [action for action in pool if action.step.method == "track"]
    choose = Random(3)
    now = now_us()
    authorization = base64.b64encode(f"{spec.key}:".encode()).decode()
    path = "/v1/track" if spec.events == 1 else "/v1/batch"
    requests, size = [], 0
    for _ in range(TEMPLATES if spec.events < 200 else 8):
        events = []
        for number, action in enumerate(choose.choices(pool, k=spec.events)):
            event = segment_event(
                action,
                message_id=f"{spec.prefix}-{REQUEST.decode()}-{number:04d}-7d1e",
                user_id=f"{spec.prefix}-{CUSTOMER.decode()}-{number:04d}",
                at_us=now,
            )
            events.append(event)
            size += len(msgspec.json.encode(event))
        body = msgspec.json.encode(events[0] if spec.events == 1 else {"batch": events, "sentAt": rfc3339(now)})
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {spec.host}:{spec.port}\r\nAuthorization: Basic {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests, size / len(requests) / spec.events


class Load:
    """One run of the generator."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.templates, self.event_bytes = templates(spec)
        self.latencies = array("d")
        self.failures: Counter[str] = Counter()
        self.idle: deque[Connection] = deque()
        self.ended = asyncio.Event()
        self.sent = 0
        self.answered = 0
        self.ending = False
        self._round = spec.customers // spec.events if spec.customers else 0
        self._processes = [psutil.Process(pid) for pid in spec.pids]
        self._loop = asyncio.get_running_loop()
        self._begun = 0.0
        self._paced_from = 0.0
        self._cpu = self._cpu_now()

    async def run(self) -> Result:
        """Connect and send. Returns what came of it."""
        spec = self.spec
        for _ in range(spec.connections):
            await self._loop.create_connection(lambda: Connection(self), spec.host, spec.port)
        gc.collect()
        gc.disable()
        if spec.requests:
            self._begin()
        else:
            self._loop.call_later(spec.warm_seconds, self._begin)
            self._loop.call_later(spec.warm_seconds + spec.seconds, self._end)
        if spec.rate:
            self._paced_from = perf_counter()
            self._tick()
        else:
            while self.idle and not (spec.requests and self.sent >= spec.requests):
                self.idle.popleft().send(self.next())
        await self.ended.wait()
        seconds = perf_counter() - self._begun
        used = [now - before for now, before in zip(self._cpu_now(), self._cpu, strict=True)]
        ordered = sorted(self.latencies)
        at = [1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else 0.0 for q in (0.5, 0.99, 1)]
        return Result(
            requests=len(ordered),
            events=len(ordered) * spec.events,
            seconds=seconds,
            failures=dict(self.failures),
            p50_ms=at[0],
            p99_ms=at[1],
            max_ms=at[2],
            cpu_seconds=used[1:],
            generator_busy=used[0] / seconds,
            event_bytes=self.event_bytes,
        )

    def next(self) -> bytes:
        """The bytes of the next request."""
        number = self.spec.first + self.sent
        self.sent += 1
        customer = number % self._round if self._round else number
        template = self.templates[number % len(self.templates)]
        return template.replace(REQUEST, b"%08d" % number).replace(CUSTOMER, b"%08d" % customer)

    def answer(self, connection: "Connection", status: bytes, seconds: float) -> None:
        """Count an answer, and send the connection's next request."""
        self.answered += 1
        if status == b"200":
            self.latencies.append(seconds)
        else:
            self.failures[status.decode()] += 1
        if self.ending:
            return
        if self.spec.requests and self.sent >= self.spec.requests:
            if self.answered >= self.spec.requests:
                self._end()
        elif self.spec.rate:
            self.idle.append(connection)
        else:
            connection.send(self.next())

    def lost(self) -> None:
        """End the run, as the server has closed a connection."""
        if not self.ending:
            self.failures["connection lost"] += 1
            self._end()

    def _begin(self) -> None:
        self._cpu = self._cpu_now()
        self.failures.clear()
        self.latencies = array("d")
        self._begun = perf_counter()

    def _end(self) -> None:
        self.ending = True
        self.ended.set()

    def _tick(self) -> None:
        due = int((perf_counter() - self._paced_from) * self.spec.rate) - self.sent
        while due > 0 and self.idle:
            self.idle.popleft().send(self.next())
            due -= 1
        if not self.ending:
            self._loop.call_later(TICK_SECONDS, self._tick)

    def _cpu_now(self) -> list[float]:
        times = [process.cpu_times() for process in (psutil.Process(), *self._processes)]
        return [time.user + time.system for time in times]


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("_load", "_received", "_sent", "_transport")

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self._load.idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._load.lost()

    def send(self, request: bytes) -> None:
        """Send one request. The last one has been answered."""
        self._sent = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _content_length(data[:head]):
            self._received = data
            return
        self._received = b""
        self._load.answer(self, data[9:12], perf_counter() - self._sent)


def _content_length(head: bytes) -> int:
    at = head.find(b"content-length: ")
    if at < 0:
        head = head.lower()
        at = head.index(b"content-length:") - 1
    end = head.find(b"\r\n", at)
    return int(head[at + 16 : end if end > 0 else None])


def main() -> None:
    """Run the spec that is the only argument, and print the result."""
    spec = msgspec.json.decode(sys.argv[1], type=Spec)

    async def run() -> Result:
        return await Load(spec).run()

    sys.stdout.write(msgspec.json.encode(uvloop.run(run())).decode() + "\n")


if __name__ == "__main__":
    main()
