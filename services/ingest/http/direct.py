"""Requests with events, answered from uvicorn's protocol class when they have come whole: without an ASGI task.

An ASGI task with its scope, its messages and its time limit costs 13 us a request, more than judging an event does.
Whatever is large, packed or slow, waits for its turn, or is meant for another path takes uvicorn's way; both ways
answer the same bytes. decisions/0022 has the numbers.

What uvicorn does not document, beside the callbacks of httptools and asyncio, stands in this file: its `cycle`, `app`,
`flow`, `pipeline`, `server_state`, `timeout_keep_alive`, `on_response_complete` and `STATUS_LINE`.
tests/property/ingest/test_direct.py holds them to the installed version. Must not import metrics (see
process/supervisor.py): main.py gives the app.
"""

import asyncio
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.ingest.dialects.base import Request, Route
from services.ingest.event.gzip import GZIP_MAGIC
from services.ingest.http.responses import Answer, Headers, Reply
from services.ingest.http.turns import LARGE_BODY_BYTES
from throughline.kit.connection_limits import LimitedHttpProtocol

_Head = tuple[str, str, str, list[tuple[bytes, bytes]]]
"""Method, path, query and headers of a request."""
LATE_SECONDS = 0.05
"""Time for which a request waits for the rest of its body without a task: most clients send head and body apart."""
MAX_CACHED_TARGET = 64
"""Maximum number of bytes of an address, without a query, that is parsed once for all requests."""


class EventApp(Protocol):
    """The app that answers requests with events."""

    def route_of(self, method: str, path: str) -> Route | None:
        """Returns the route that takes a request; None for a request that is not for this app."""

    def answer(self, route: Route, request: Request, reply: Reply) -> None:
        """Answers a request, now or later, by calling `reply` once. Raises nothing."""

    def abandon(self) -> None:
        """Counts a request whose client hung up in the middle of its body."""


class DirectHttpProtocol(HttpToolsProtocol):
    """One connection."""

    event_app: ClassVar[EventApp | None] = None

    _late: asyncio.TimerHandle | None = None
    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    """Time of the event loop at which the last answer was sent; None once something came after it."""

    def data_received(self, data: bytes) -> None:
        self._idle_since = None
        super().data_received(data)
        cycle: Any = self.cycle
        if type(cycle) is _DirectCycle and cycle.more_body:
            if len(cycle.body) > LARGE_BODY_BYTES:
                self._take_long_way(cycle)
            elif self._late is None:
                self._late = self.loop.call_later(LATE_SECONDS, self._take_long_way, cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        cycle: Any = self.cycle
        if type(cycle) is _DirectCycle and cycle.more_body and cycle.body and self.event_app is not None:
            self.event_app.abandon()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        app = self.event_app
        if app is not None and self._may_be_direct():
            method = self.parser.get_method().decode("ascii")
            path, query = _target(self.url)
            path = self.root_path + path
            route = app.route_of(method, path)
            if route is not None:
                cycle: Any = _DirectCycle(self, route, (method, path, query, self.headers))
                self.cycle = cycle
                return
        super().on_headers_complete()

    def _may_be_direct(self) -> bool:
        """Whether nothing but its path and its body decides about a request: no turn to wait for, no odd header."""
        parser, cycle = self.parser, self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and self.app is self.config.loaded_app  # else the connection is refused
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._end_wait()
        cycle: Any = self.cycle
        if type(cycle) is not _DirectCycle or cycle.is_started:
            return
        if self.event_app is None or len(cycle.body) > LARGE_BODY_BYTES or cycle.body[:2] == GZIP_MAGIC:
            self._take_long_way(cycle)
        else:
            cycle.start(self.event_app)

    def on_response_complete(self) -> None:
        cycle: Any = self.cycle
        if type(cycle) is not _DirectCycle or self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        # As uvicorn does, with one timer for all times that the connection is idle: a timer a request costs 2 us.
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def _check_idle(self) -> None:
        """Closes the connection if nothing has come since its last answer for as long as uvicorn waits."""
        self._idle_timer = None
        if self._idle_since is None:
            return  # the next answer sets the timer again
        seconds = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if seconds <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(seconds, self._check_idle)

    def _take_long_way(self, direct: "_DirectCycle") -> None:
        """Starts an ASGI task for a request, with what has come of its body."""
        self._end_wait()
        if direct.disconnected:  # refused meanwhile
            return
        self.cycle = None  # type: ignore[assignment]
        super().on_headers_complete()
        self.cycle.body, self.cycle.more_body = direct.body, direct.more_body
        self.cycle.keep_alive = self.cycle.keep_alive and direct.keep_alive
        if direct.body or not direct.more_body:
            self.cycle.message_event.set()

    def _end_wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _DirectCycle:
    """Takes the place of uvicorn's `RequestResponseCycle` for one request."""

    response_started = False

    def __init__(self, protocol: DirectHttpProtocol, route: Route, head: _Head) -> None:
        self._protocol = protocol
        self._route = route
        self._head = head
        self.keep_alive = protocol.parser.should_keep_alive()
        self.body = bytearray()
        self.more_body = True
        self.message_event = _NOBODY_WAITS
        self.disconnected = False
        self.response_complete = False
        self.is_started = False
        self._is_parsed = False

    def start(self, app: EventApp) -> None:
        """Gives the request to its app."""
        self.is_started = True
        request, self.body = Request(*self._head, bytes(self.body)), bytearray()
        app.answer(self._route, request, self._reply)
        self._is_parsed = True

    def _reply(self, answer: Answer) -> None:
        if self._is_parsed:
            self._send(answer)
        else:  # or the parser, which has called `start`, would start what the client sent next before this is sent
            self._protocol.loop.call_soon(self._send, answer)

    def _send(self, answer: Answer) -> None:
        """Sends the answer as uvicorn would, in one piece, and lets the next request of the connection begin."""
        if self.disconnected:
            return
        status, content, headers = answer
        protocol = self._protocol
        head, says_close = _heads.encode(status, protocol.server_state.default_headers, headers)
        end = b"\r\n" if self.keep_alive or says_close else b"connection: close\r\n\r\n"
        self.response_complete = True
        protocol.transport.write(b"".join((head, end, content)))
        if says_close or not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class _Heads:
    """The head of an answer as bytes. The last one is remembered: most answers have the same lists of headers, and
    uvicorn makes a new list of its own, with the date, once a second."""

    def __init__(self) -> None:
        self._last: tuple[int, Headers, Headers] = (0, [], [])
        self._encoded = (b"", False)

    def encode(self, status: int, defaults: Headers, headers: Headers) -> tuple[bytes, bool]:
        """Returns an answer's first line and headers, and whether they end the connection. Must not be given a list
        that has changed since."""
        last_status, last_defaults, last_headers = self._last
        if status == last_status and defaults is last_defaults and headers is last_headers:
            return self._encoded
        says_close = False
        parts = [STATUS_LINE[status]]
        for name, value in (*defaults, *headers):
            if name == b"connection":
                says_close = b"close" in value.lower()
            parts += (name, b": ", value, b"\r\n")
        self._last, self._encoded = (status, defaults, headers), (b"".join(parts), says_close)
        return self._encoded


class _NobodyWaits:
    """The event of a cycle that no task waits for."""

    def set(self) -> None:
        """Does nothing."""


class IngestHttpProtocol(LimitedHttpProtocol, DirectHttpProtocol):
    """A connection of ingest: first the limits of every port, then the direct way, then uvicorn's."""


class _Target(NamedTuple):
    path: str
    query: str


_NOBODY_WAITS: Any = _NobodyWaits()
_heads = _Heads()


def _target(url: bytes) -> _Target:
    return _cached_target(url) if len(url) <= MAX_CACHED_TARGET and b"?" not in url else _parse_target(url)


def _parse_target(url: bytes) -> _Target:
    """Returns path and query of a request's line, as uvicorn reads them.

    Raises:
        Exception: it is no address; the parser makes a 400 of it.
    """
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return _Target(unquote(path) if "%" in path else path, (parsed.query or b"").decode("latin-1"))


_cached_target = lru_cache(maxsize=256)(_parse_target)
