"""Requests with events, answered from uvicorn's protocol class when they have come whole: without an ASGI task.

An ASGI task with its scope, its messages and its time limit costs 13 us a request, more than judging an event does.
Whatever is large or packed, comes in several packets, waits for its turn, or is meant for another path takes uvicorn's
way; both ways answer the same bytes. decisions/0020 has the numbers.

What uvicorn does not document, beside the callbacks of httptools and asyncio, stands in this file: its `cycle`, `app`,
`flow`, `server_state`, `on_response_complete` and `STATUS_LINE`. tests/property/ingest/test_direct.py holds them to the
installed version. Must not import metrics (see supervisor.py): main.py gives the app.
"""

from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.ingest.dialects.base import Request, Route
from services.ingest.event.gzip import GZIP_MAGIC
from services.ingest.http.responses import Answer, Reply
from services.ingest.http.turns import LARGE_BODY_BYTES
from throughline.kit.connection_limits import LimitedHttpProtocol

MAX_CACHED_TARGET = 64
"""Maximum number of bytes of an address, without a query, that is parsed once for all requests."""


class EventApp(Protocol):
    """The app that answers requests with events."""

    def route_of(self, method: str, path: str) -> Route | None:
        """Returns the route that takes a request; None for a request that is not for this app."""

    def answer(self, route: Route, request: Request, reply: Reply) -> None:
        """Answers a request, now or later, by calling `reply` once. Raises nothing."""


class DirectHttpProtocol(HttpToolsProtocol):
    """One connection."""

    event_app: ClassVar[EventApp | None] = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: Any = self.cycle
        if type(cycle) is _DirectCycle and cycle.more_body:
            self._take_long_way(cycle)

    def on_headers_complete(self) -> None:
        app = self.event_app
        if app is not None and self._may_be_direct():
            method = self.parser.get_method().decode("ascii")
            path, query = _target(self.url)
            path = self.root_path + path
            route = app.route_of(method, path)
            if route is not None:
                request = Request(method, path, query, self.headers, b"")
                cycle: Any = _DirectCycle(self, route, request, keep_alive=self.parser.should_keep_alive())
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
        cycle: Any = self.cycle
        if type(cycle) is not _DirectCycle or cycle.is_begun:
            return
        if self.event_app is None or len(cycle.body) > LARGE_BODY_BYTES or cycle.body[:2] == GZIP_MAGIC:
            self._take_long_way(cycle)
        else:
            cycle.begin(self.event_app)

    def _take_long_way(self, direct: "_DirectCycle") -> None:
        """Starts an ASGI task for a request, with what has come of its body."""
        self.cycle = None  # type: ignore[assignment]
        super().on_headers_complete()
        self.cycle.body, self.cycle.more_body = direct.body, direct.more_body
        if direct.body or not direct.more_body:
            self.cycle.message_event.set()


class _DirectCycle:
    """Takes the place of uvicorn's `RequestResponseCycle` for one request."""

    response_started = False

    def __init__(self, protocol: DirectHttpProtocol, route: Route, request: Request, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self._route = route
        self._request = request
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.message_event = _NOBODY_WAITS
        self.disconnected = False
        self.response_complete = False
        self.is_begun = False
        self._is_parsed = False

    def begin(self, app: EventApp) -> None:
        """Gives the request to its app."""
        self.is_begun = True
        request, self.body = self._request._replace(body=bytes(self.body)), bytearray()
        app.answer(self._route, request, self._reply)
        self._is_parsed = True

    def _reply(self, answer: Answer) -> None:
        if self._is_parsed:
            self._send(answer)
        else:  # or the parser, which has called `begin`, would start what the client sent next before this is sent
            self._protocol.loop.call_soon(self._send, answer)

    def _send(self, answer: Answer) -> None:
        """Sends the answer as uvicorn would, in one piece, and lets the next request of the connection begin."""
        if self.disconnected:
            return
        status, content, headers = answer
        protocol = self._protocol
        parts = [STATUS_LINE[status]]
        says_close = False
        for name, value in (*protocol.server_state.default_headers, *headers):
            if name == b"connection":
                says_close = b"close" in value.lower()
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if self.keep_alive or says_close else b"connection: close\r\n\r\n", content)
        self.response_complete = True
        protocol.transport.write(b"".join(parts))
        if says_close or not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


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
