"""The HTTP protocol of a worker, guarded: heads that do not end, clients that do not go on, connections without number.

Imports no metrics (see `serve.py`): what it refuses is counted in `REFUSED`, which the worker's tally collects.
"""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.ingest.http import cors, responses
from throughline.kit.errors import ServiceError

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's line and headers. Trackers that send with GET put a whole event there."""
MAX_HEADERS = 200
SPARE_CONNECTIONS = 256
"""So many above the limit are still answered; further ones are closed unheard."""
LINGER_SECONDS = 1.0
"""How long a client is listened to, unheard, after its connection was refused."""

REFUSED: Counter[str] = Counter()
"""Reason -> how often, since the tally last looked."""

_CLOSE = {"Connection": "close"}
CROWDED = ServiceError(
    503,
    "too_many_connections",
    "this process has as many connections as it may; try again",
    headers={"Retry-After": "1", **_CLOSE},
)
FLOODED = ServiceError(
    431,
    "headers_too_large",
    f"the request's line and headers have more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields",
    headers=_CLOSE,
)
SLOW = ServiceError(408, "slow_headers", "the headers did not arrive in time", headers=_CLOSE)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. What it is limited to is set once, before the worker listens."""

    head_seconds: ClassVar[float] = 10.0
    """How long a request's line and headers may take."""
    body_seconds: ClassVar[float] = 30.0
    """How long the rest of a request is listened to that has been answered before its end."""
    max_connections: ClassVar[int] = 4096

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_message = True
    _began = 0.0
    _head_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        number = len(self.connections)
        if number > self.max_connections:
            if number > self.max_connections + SPARE_CONNECTIONS:
                REFUSED[CROWDED.code] += 1
                transport.abort()
                return
            self.app = _Refusal(CROWDED)
        self._began = self.loop.time()
        self._timer = self.loop.call_later(self.head_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(FLOODED)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = 0
        self._began = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > MAX_HEADERS:
            self.app = _Refusal(FLOODED)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def _look(self) -> None:
        """Every so often: whether the client still goes on."""
        if self.transport.is_closing():
            return
        waited = self.loop.time() - self._began
        if self._in_head and waited >= self.head_seconds:
            if self._head_bytes:
                self._refuse(SLOW)
            else:  # opened, perhaps in advance, and not used
                REFUSED["unused_connection"] += 1
                self.transport.close()
            return
        answered = self.cycle is not None and self.cycle.response_complete
        if self._in_message and answered and waited >= self.body_seconds:
            self.transport.close()
            return
        self._timer = self.loop.call_later(self.head_seconds, self._look)

    def _refuse(self, error: ServiceError) -> None:
        REFUSED[error.code] += 1
        body, headers = responses.problem(error)
        phrase = HTTPStatus(error.status).phrase.encode()
        head = [b"HTTP/1.1 %d %s" % (error.status, phrase), *(b"%s: %s" % header for header in headers)]
        self.transport.write(b"\r\n".join([*head, b"", body]))
        # Closed at once, with bytes of the client's unread, the answer would be lost on its way.
        self._refused = True
        self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


class _Refusal:
    """An app that gives every request the same answer."""

    def __init__(self, error: ServiceError) -> None:
        self._error = error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        REFUSED[self._error.code] += 1
        origin = cors.header(scope, b"origin")
        if origin is not None:
            send = cors.allowing(send, origin)
        body, headers = responses.problem(self._error)
        await send({"type": "http.response.start", "status": self._error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
