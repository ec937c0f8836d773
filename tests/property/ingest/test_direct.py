"""A request that is answered from the protocol class gets the bytes, and leaves the records, that an ASGI task gives.

Both classes take the same bytes, cut anywhere, over a transport in memory; Kafka is a list.
"""

import asyncio
import gc
import gzip
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from services.ingest.http import direct
from services.ingest.http.access import Access, Rates
from services.ingest.http.app import Accepted, IngestApp, _Exchange
from services.ingest.http.cors import error_app
from services.ingest.http.direct import DirectHttpProtocol, IngestHttpProtocol, _DirectCycle
from services.ingest.http.keys import Keys
from services.ingest.http.responses import send_answer
from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.batcher import Delivery
from throughline.kit.connection_limits import LimitedHttpProtocol
from throughline.store.access.keys import SourceKey, key_digest

KEY = "key-1"
EVENT = b'{"userId":"u-1","messageId":"m-1","event":"Product Viewed","timestamp":"2026-11-23T20:00:00Z"}'
BATCH = b'{"batch":[{"type":"page","anonymousId":"a-1","messageId":"m-2"},{"type":"none"},{"userId":7}]}'
TURNS = 12
"""Number of turns of the event loop after each piece: enough for any answer."""


def _request(line: str, body: bytes = b"", *headers: str, chunked: bool = False) -> bytes:
    length = ["Transfer-Encoding: chunked"] if chunked else [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([line, "Host: x", *length, *headers, "", ""]).encode()
    if not chunked:
        return head + body
    return head + b"%x\r\n%b\r\n0\r\nAuthorization: other\r\n\r\n" % (len(body), body)


KEYED = f"Authorization: Bearer {KEY}"
POST = "POST /v1/track HTTP/1.1"
REQUESTS = [
    _request(POST, EVENT, KEYED),
    _request("POST /v1/batch HTTP/1.1", BATCH, KEYED, "Origin: https://shop.example"),
    _request("POST /v1/batch/ HTTP/1.1", gzip.compress(BATCH, mtime=0), KEYED),
    _request("POST //v1/track?a=b%20c#d HTTP/1.1", EVENT, KEYED),
    _request("POST /v1%2Ftrack HTTP/1.1", EVENT, KEYED),
    _request("POST http://host/v1/track HTTP/1.1", EVENT, KEYED),
    _request(POST, EVENT, KEYED, chunked=True),
    _request(POST, EVENT, "Authorization: Bearer other"),
    _request(POST, EVENT, KEYED, "Connection: close"),
    _request(POST, EVENT, KEYED, "Connection: keep-alive, Upgrade", "Upgrade: websocket"),
    _request("POST /v1/track HTTP/1.0", EVENT, KEYED),
    _request("POST /v1/track HTTP/1.0", EVENT, KEYED, "Connection: keep-alive"),
    _request(POST, EVENT, KEYED, "Expect: 100-continue"),
    _request(POST, EVENT, KEYED, *(f"x-{number}: 1" for number in range(201))),
    _request(POST, b"{", KEYED),
    _request(POST, b"", KEYED),
    _request(POST, b"x" * 600_000, KEYED),
    _request(POST, gzip.compress(b"x" * 600_000, mtime=0), KEYED),
    _request(POST, EVENT[:-1] + b',"name":"%b"}' % (b"x" * 9_000), KEYED),
    _request("POST /v1/m HTTP/1.1", b'{"series":[]}'),
    _request("POST /validate/v1 HTTP/1.1", EVENT),
    _request("GET /i?e=pv&p=web&aid=a&uid=u-1&eid=9e51a5d1-0000-4000-8000-000000000001 HTTP/1.1", b"", KEYED),
    _request("GET /v1/track HTTP/1.1", b"", "Origin: https://shop.example"),
    _request("OPTIONS /v1/track HTTP/1.1", b"", "Origin: https://shop.example"),
    _request("GET /healthz HTTP/1.1"),
    b"POST /v1/track HTTP/1.1\r\nBroken\r\n\r\n",
    b"nonsense",
]


class Transport:
    """A transport in memory, of a client that reads at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.written = bytearray()
        self._protocol = protocol
        self._closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("192.0.2.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: bytes) -> None:
        if not self._closed:
            self.written += data

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Kafka:
    """In place of the batcher: a list of records, acknowledged in the next turn, or never in time."""

    def __init__(self, *, acknowledges: bool) -> None:
        self._acknowledges = acknowledges
        self.records: list[tuple[Sequence[object], int]] = []

    def put(self, touchpoints: Sequence[tuple[bytes, bytes]], rejected: Sequence[bytes], _: int) -> Delivery:
        delivery = Delivery(0)
        asyncio.get_running_loop().call_soon(partial(delivery.end, acknowledged=self._acknowledges))
        self.records.append(([key for key, _ in touchpoints], len(rejected)))
        return delivery


async def _control(scope: Scope, _: Receive, send: Send) -> None:
    await send_answer(send, 200, scope["path"].encode(), [(b"content-length", b"%d" % len(scope["path"]))])


async def _converse(
    kind: type[LimitedHttpProtocol], pieces: list[bytes], *, acknowledges: bool, idle_seconds: int = 5
) -> tuple[Any, ...]:
    async def read() -> list[SourceKey]:
        return [SourceKey(key_digest(KEY), 1, 1, "web", enabled=True)]

    keys = Keys(read, refresh_seconds=1)
    await keys.refresh()
    kafka: Any = Kafka(acknowledges=acknowledges)
    metrics = MetricsBuffer()
    app = IngestApp(_control, Access(keys, Rates(lambda _: None)), kafka, metrics, body_seconds=5)
    config = uvicorn.Config(
        app,
        http=kind,
        ws="none",
        interface="asgi3",
        access_log=False,
        log_config=None,
        timeout_keep_alive=idle_seconds,
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Sat, 28 Nov 2026 20:00:00 GMT")]
    kind.error_app = error_app
    DirectHttpProtocol.event_app = app
    protocol = kind(config, state, {})
    transport: Any = Transport(protocol)
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.is_closing():
            protocol.data_received(piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    answered = bytes(transport.written)
    closed = transport.is_closing()
    transport.close()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    counts = Counter(metrics._requests), Counter(metrics._failures), metrics._ok_events, Counter(metrics._verdicts)
    return answered, closed, kafka.records, counts, state.total_requests


def _pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(stream)), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


@given(
    st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4),
    st.lists(st.integers(1, 1500), max_size=4),
    st.booleans(),
    st.booleans(),
)
@example([REQUESTS[0]] * 3, [], True, True)
@example([REQUESTS[0]] * 3, [len(REQUESTS[0]) - 3, len(REQUESTS[0]) + 1], True, True)
@example([REQUESTS[8], REQUESTS[0]], [], True, True)
def test_both_ways_answer_the_same(requests: list[bytes], cuts: list[int], together: bool, acknowledges: bool) -> None:
    pieces = _pieces(b"".join(requests), cuts) if together else requests
    ours, usual = (
        asyncio.run(_converse(kind, pieces, acknowledges=acknowledges))
        for kind in (IngestHttpProtocol, LimitedHttpProtocol)
    )
    assert ours == usual


def test_a_request_leaves_no_cycle_of_references_behind() -> None:
    """`main.py` lets the collector run seldom."""
    kinds = (_DirectCycle, _Exchange, Delivery, Accepted)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(each) in kinds for each in gc.get_objects())
        asyncio.run(_converse(IngestHttpProtocol, [REQUESTS[0]] * 9, acknowledges=True))
        left = sum(type(each) in kinds for each in gc.get_objects()) - before
    finally:
        gc.enable()
    assert left <= 1, "the connection's last request"


def test_a_whole_request_starts_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which also holds `_DirectCycle` to what the installed version of uvicorn asks of a cycle."""
    tasks: list[object] = []
    monkeypatch.setattr(IngestHttpProtocol, "_start_asgi_task", lambda self, cycle, app: tasks.append(app))
    whole, control = REQUESTS[0], _request("GET /healthz HTTP/1.1")
    apart = _pieces(whole, [whole.index(b"{")])  # as most clients send head and body
    answered = asyncio.run(_converse(IngestHttpProtocol, [whole, *apart], acknowledges=True))[0]
    assert answered.count(b"HTTP/1.1 200 OK") == 2
    assert not tasks
    for pieces in ([control], [whole + whole]):
        asyncio.run(_converse(IngestHttpProtocol, pieces, acknowledges=True))
        assert len(tasks) == 1, pieces
        tasks.clear()


def test_a_slow_body_takes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has a time limit."""
    monkeypatch.setattr(direct, "LATE_SECONDS", 0)
    tasks: list[object] = []
    start = IngestHttpProtocol._start_asgi_task

    def count(protocol: IngestHttpProtocol, cycle: Any, app: Any) -> None:
        tasks.append(app)
        start(protocol, cycle, app)

    monkeypatch.setattr(IngestHttpProtocol, "_start_asgi_task", count)
    for cut in (len(REQUESTS[1]) - 3, REQUESTS[1].index(b"{")):
        pieces = _pieces(REQUESTS[1], [cut])
        assert asyncio.run(_converse(IngestHttpProtocol, pieces, acknowledges=True))[0].count(b" 200 OK") == 1
        assert tasks
        tasks.clear()


def test_every_request_alone() -> None:
    statuses = []
    for request in REQUESTS:
        ours, usual = (
            asyncio.run(_converse(kind, [request], acknowledges=True))
            for kind in (IngestHttpProtocol, LimitedHttpProtocol)
        )
        assert ours == usual
        statuses.append(ours[0][9:12])
    assert set(statuses) >= {b"200", b"400", b"401", b"405", b"431"}


@pytest.mark.parametrize("kind", [IngestHttpProtocol, LimitedHttpProtocol])
def test_an_idle_connection_is_closed(kind: type[LimitedHttpProtocol]) -> None:
    """After an answer on either way, and not while a request is on its way."""
    whole = REQUESTS[0]
    for pieces, is_closed in (([whole], True), ([whole, whole], True), ([whole + whole[:-1]], False)):
        answered, closed, *_ = asyncio.run(_converse(kind, pieces, acknowledges=True, idle_seconds=0))
        assert (answered.count(b" 200 OK"), closed) == (1, is_closed), pieces


def test_a_connection_has_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests it has."""
    timers: list[str] = []
    call_later = asyncio.BaseEventLoop.call_later

    def count(loop: Any, delay: float, callback: Any, *arguments: Any, **options: Any) -> Any:
        timers.append(callback.__name__)
        return call_later(loop, delay, callback, *arguments, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_later", count)
    answered = asyncio.run(_converse(IngestHttpProtocol, [REQUESTS[0]] * 5, acknowledges=True))[0]
    assert answered.count(b" 200 OK") == 5
    assert timers.count("_check_idle") == 1
    assert "timeout_keep_alive_handler" not in timers
