"""uvicorn's HTTP protocol with limits: on the time and size of a request's head, trailers, idle clients, connections.

Must not import metrics (see supervisor.py): main.py gives `REFUSED_REQUESTS` to the metrics buffer. decisions/0010 says
why this is a subclass of uvicorn's protocol, and test_guards.py holds it to the installed version.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from throughline.kit.errors import ServiceError
from throughline.kit.problems import problem_response

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of a request's line and headers. Trackers that send with GET put a whole event there."""
MAX_HEADERS = 200
SPARE_CONNECTIONS = 256
"""Number of connections above the maximum that are still answered, with 503; further ones are closed at once."""
LINGER_SECONDS = 1.0
"""Time for which a refused client may still send: if a connection is closed with bytes unread, the answer is lost."""

REFUSED_REQUESTS: Counter[str] = Counter()
"""Number of refused requests by code, since the metrics buffer last emptied it."""

_CLOSE = {"Connection": "close"}
TOO_MANY_CONNECTIONS = ServiceError(
    503,
    "too_many_connections",
    "this process has as many connections as it may; try again",
    headers={"Retry-After": "1", **_CLOSE},
)
HEADERS_TOO_LARGE = ServiceError(
    431,
    "headers_too_large",
    f"the request's line and headers have more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields",
    headers=_CLOSE,
)
SLOW_HEADERS = ServiceError(408, "slow_headers", "the headers did not arrive in time", headers=_CLOSE)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. The limits are set on the class, before the worker listens."""

    head_seconds: ClassVar[float] = 10.0
    """Maximum time for a request's line and headers to arrive."""
    body_seconds: ClassVar[float] = 30.0
    """Maximum time for the rest of a request to arrive that was answered before its end."""
    max_connections: ClassVar[int] = 4096
    """Maximum number of connections of this worker."""
    error_app: ClassVar[Callable[[ServiceError], ASGIApp]] = problem_response
    """Returns an app that answers every request with one error."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_message = True
    _started_at = 0.0
    """Time of the event loop at which the message began, or before the first one the connection."""
    _head_bytes = 0
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connections = len(self.connections)
        if connections > self.max_connections:
            if connections > self.max_connections + SPARE_CONNECTIONS:
                REFUSED_REQUESTS[TOO_MANY_CONNECTIONS.code] += 1
                transport.abort()
                return
            self.app = _RefusingApp(TOO_MANY_CONNECTIONS, type(self).error_app)
        self._started_at = self.loop.time()
        self._timer = self.loop.call_later(self.head_seconds, self._check_timeouts)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(HEADERS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = 0
        self._started_at = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > MAX_HEADERS:
            self.app = _RefusingApp(HEADERS_TOO_LARGE, type(self).error_app)
        super().on_headers_complete()
        # uvicorn would add the trailers of a chunked body to the headers, as many as come.
        self.headers = _IgnoredTrailers()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def _check_timeouts(self) -> None:
        """Closes the connection if the client has stopped sending; else checks again after `head_seconds`."""
        if self.transport.is_closing():
            return
        seconds = self.loop.time() - self._started_at
        if self._in_head and seconds >= self.head_seconds:
            if self._head_bytes:
                self._refuse(SLOW_HEADERS)
            else:  # a browser may open a connection in advance, and never use it
                REFUSED_REQUESTS["unused_connection"] += 1
                self.transport.close()
            return
        is_answered = self.cycle is not None and self.cycle.response_complete
        if self._in_message and is_answered and seconds >= self.body_seconds:
            self.transport.close()
            return
        self._timer = self.loop.call_later(self.head_seconds, self._check_timeouts)

    def _refuse(self, error: ServiceError) -> None:
        """Answers without a request, and closes the connection after `LINGER_SECONDS`."""
        REFUSED_REQUESTS[error.code] += 1
        response = problem_response(error)
        phrase = HTTPStatus(error.status).phrase.encode()
        head = [b"HTTP/1.1 %d %s" % (error.status, phrase), *(b"%s: %s" % header for header in response.raw_headers)]
        self.transport.write(b"\r\n".join([*head, b"", response.body]))
        self._is_refused = True
        self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


class _IgnoredTrailers(list[tuple[bytes, bytes]]):
    """Takes the place of a request's headers once its app has them."""

    def append(self, trailer: tuple[bytes, bytes], /) -> None:
        """Ignores a trailer, which must neither authorize a request nor fill the memory."""


class _RefusingApp:
    """An ASGI app that counts every request, and answers it with one error."""

    def __init__(self, error: ServiceError, error_app: Callable[[ServiceError], ASGIApp]) -> None:
        self._code = error.code
        self._answer = error_app(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        REFUSED_REQUESTS[self._code] += 1
        await self._answer(scope, receive, send)
