"""uvicorn's HTTP protocol with limits: on the time and size of each part of a request, on answers that nobody reads, on
connections, and on the memory of all of them.

The ports of all services use it (`server.py`). Must not import metrics, which ingest's supervisor must not load: a
service sets `on_refused`. decisions/0010 says why this is a subclass of uvicorn's protocol, and
tests/integration/kit/test_connection_limits.py holds it to the installed version.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from throughline.kit.errors import ServiceError
from throughline.kit.memory import Memory
from throughline.kit.problems import problem_response

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of a request's line and headers. Trackers that send with GET put a whole event there."""
MAX_HEADERS = 200
MAX_FRAMING_BYTES = 64 * 1024
"""Maximum number of bytes that a request has beside its head and body: sizes of chunks, their extensions, trailers.
Each byte of the body may have `FRAMING_PER_BYTE` more."""
FRAMING_PER_BYTE = 8
MAX_PIPELINED = 16
"""Maximum number of requests that a client sends before the answer to the first."""
SPARE_CONNECTIONS = 256
"""Number of connections above the maximum that are still answered, with 503; further ones are closed at once."""
SMALL_BYTES = 8 * 1024
"""Number of bytes up to which a request is served when the memory is full."""
LINGER_SECONDS = 1.0
"""Time for which a refused client may still send: if a connection is closed with bytes unread, the answer is lost."""
LINGER_BYTES = 1024 * 1024
"""Number of bytes that it may send meanwhile."""

_CLOSE = {"Connection": "close"}
_AGAIN = {"Retry-After": "1", **_CLOSE}
TOO_MANY_CONNECTIONS = ServiceError(
    503, "too_many_connections", "this process has as many connections as it may; try again", headers=_AGAIN
)
MEMORY_FULL = ServiceError(503, "unavailable", "not accepted now: too much is under way; send it again", headers=_AGAIN)
HEADERS_TOO_LARGE = ServiceError(
    431,
    "headers_too_large",
    f"the request's line and headers have more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields",
    headers=_CLOSE,
)
TRAILERS_TOO_LARGE = ServiceError(
    431,
    "headers_too_large",
    f"the request has more than {MAX_FRAMING_BYTES} bytes of trailers and chunk sizes",
    headers=_CLOSE,
)
SLOW_HEADERS = ServiceError(408, "slow_headers", "the headers did not arrive in time", headers=_CLOSE)


_log = logging.getLogger("uvicorn.error.connections")
_log.setLevel(
    logging.ERROR
)  # it warns of each request that is no HTTP: a client could fill the log, so they are counted


def _ignore(_: str) -> None:
    pass


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. The limits are set on the class, before the process listens."""

    head_seconds: ClassVar[float] = 10.0
    """Maximum time for a request's line and headers to arrive."""
    body_seconds: ClassVar[float] = 30.0
    """Maximum time for the rest of a request to arrive that was answered before its end, and for an answer to be
    read."""
    max_connections: ClassVar[int] = 4096
    """Maximum number of connections of this process."""
    memory: ClassVar[Memory] = Memory(64 * 1024 * 1024)
    """What the requests of all connections hold, from their first byte to the end of their answer."""
    error_app: ClassVar[Callable[[ServiceError], ASGIApp]] = problem_response
    """Returns an app that answers every request with one error."""
    on_refused: ClassVar[Callable[[str], None]] = _ignore
    """Called with the code of each refused request or connection."""

    _large: ClassVar[dict["LimitedHttpProtocol", None]] = {}
    """Connections that hold more than `SMALL_BYTES`, the longest first."""

    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_message = True
    _started_at = 0.0
    """Time of the event loop at which the message began, or before the first one the connection."""
    _head_bytes = 0
    _body_bytes = 0
    _rest_bytes = 0
    """Bytes of the message after its head."""
    _held = 0
    """Bytes of this connection in `memory`."""
    _begun = 0
    """Number of messages that began in the bytes that came last."""
    _is_refused = False
    _lingering_bytes = 0
    """Number of bytes that came after the refusal."""
    _is_closing = False
    """Whether the connection was closing when it was last looked at."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.logger = _log
        limits = type(self)
        connections = len(self.connections)
        if connections > limits.max_connections:
            if connections > limits.max_connections + SPARE_CONNECTIONS:
                limits.on_refused(TOO_MANY_CONNECTIONS.code)
                transport.abort()
                return
            self.app = _RefusingApp(TOO_MANY_CONNECTIONS, limits)
        _end_when_half_open(transport, limits.body_seconds)
        self._started_at = self.loop.time()
        self._timer = self.loop.call_later(limits.head_seconds, self._check_timeouts)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._lingering_bytes += len(data)
            if self._lingering_bytes > LINGER_BYTES:
                self.transport.abort()
            return
        if not self._hold(len(data)):
            return
        first = 0 if self._in_message and not self._is_unused else 1
        self._begun = 0
        super().data_received(data)
        # Of several messages that came together nobody knows which has how many of the bytes.
        size = len(data) if self._begun <= first else 1
        if self._in_head:
            self._head_bytes += size
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HEADERS_TOO_LARGE)
        elif self._in_message:
            self._rest_bytes += size
            framing = self._rest_bytes - self._body_bytes - MAX_HEAD_BYTES
            if framing > MAX_FRAMING_BYTES + FRAMING_PER_BYTE * self._body_bytes:
                self._refuse(TRAILERS_TOO_LARGE)

    @property
    def _is_unused(self) -> bool:
        """Whether nothing of a message has come yet."""
        return self._in_head and not self._head_bytes

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests before the first answer")  # the parser stops, uvicorn answers 400
        super().on_message_begin()
        self._begun += 1
        self._in_head = self._in_message = True
        self._head_bytes = self._body_bytes = self._rest_bytes = 0
        self._started_at = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > MAX_HEADERS:
            self.app = _RefusingApp(HEADERS_TOO_LARGE, type(self))
        super().on_headers_complete()
        # uvicorn would add the trailers of a chunked body to the headers, as many as come.
        self.headers = _IgnoredTrailers()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        type(self)._large.pop(self, None)  # what is whole is not given up
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.pipeline and (not self._in_head or self._is_unused):
            self._release()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(type(self).body_seconds, self._abort_unread)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        type(self).on_refused("invalid_http")
        super().send_400_response(msg)

    def _abort_unread(self) -> None:
        """Ends a connection whose client does not read its answer."""
        type(self).on_refused("unread_answer")
        self.transport.abort()

    def _check_timeouts(self) -> None:
        """Closes the connection if the client has stopped sending; else checks again after `head_seconds`."""
        limits = type(self)
        seconds = self.loop.time() - self._started_at
        is_answered = self.cycle is not None and self.cycle.response_complete
        if self.transport.is_closing():
            if self._is_closing:
                self.transport.abort()  # its last bytes are not read
                return
            self._is_closing = True
        elif self._in_head and seconds >= limits.head_seconds:
            if self._head_bytes:
                self._refuse(SLOW_HEADERS)
                return
            # A browser may open a connection in advance, and never use it.
            limits.on_refused("unused_connection")
            self.transport.close()
        elif self._in_message and is_answered and seconds >= limits.body_seconds:
            self.transport.close()
        self._timer = self.loop.call_later(limits.head_seconds, self._check_timeouts)

    def _hold(self, size: int) -> bool:
        """Counts bytes that came, and gives up the connections that have held much for longest if they are too many.

        Returns whether this connection is not among them.
        """
        if self._in_message and not self._in_head and self.cycle.response_complete:
            return True  # what follows an early answer is thrown away
        limits = type(self)
        limits.memory.held += size
        self._held += size
        if self._held > SMALL_BYTES:
            limits._large[self] = None
        while limits.memory.is_full() and limits._large:
            next(iter(limits._large))._refuse(MEMORY_FULL)
        return not self._is_refused

    def _release(self) -> None:
        """Gives back what the connection held."""
        limits = type(self)
        limits.memory.held -= self._held
        self._held = 0
        limits._large.pop(self, None)

    def _refuse(self, error: ServiceError) -> None:
        """Answers in place of the request's app, and closes the connection after `LINGER_SECONDS`."""
        self._release()
        if self.transport.is_closing():
            return
        type(self).on_refused(error.code)
        self._is_refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.body = bytearray()
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        response = problem_response(error)
        phrase = HTTPStatus(error.status).phrase.encode()
        headers = (*self.server_state.default_headers, *response.raw_headers)
        head = [b"HTTP/1.1 %d %s" % (error.status, phrase), *(b"%s: %s" % header for header in headers)]
        self.flow.resume_reading()
        self.transport.write(b"\r\n".join([*head, b"", response.body]))
        self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _end_when_half_open(transport: asyncio.Transport, seconds: float) -> None:
    """Has the kernel end a connection whose peer acknowledges nothing for so long, or takes nothing more."""
    opened = transport.get_extra_info("socket")
    if opened is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


class _IgnoredTrailers(list[tuple[bytes, bytes]]):
    """Takes the place of a request's headers once its app has them."""

    def append(self, trailer: tuple[bytes, bytes], /) -> None:
        """Ignores a trailer, which must neither authorize a request nor fill the memory."""


class _RefusingApp:
    """An ASGI app that counts every request, and answers it with one error."""

    def __init__(self, error: ServiceError, limits: type[LimitedHttpProtocol]) -> None:
        self._code = error.code
        self._answer = limits.error_app(error)
        self._on_refused = limits.on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._on_refused(self._code)
        await self._answer(scope, receive, send)
