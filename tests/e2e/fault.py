"""A proxy in front of ingest that fails on purpose: 503s for a while, or answers lost after the acknowledgement."""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

import h11
import httpx

from throughline.kit.errors import ServiceError

HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"host", b"expect"})
READ = 1 << 16
PROBLEM = ServiceError(503, "unavailable", "refused on purpose")


class Fault:
    """An HTTP/1.1 proxy. Preflights and GETs always pass; `refuse` and `drop` are for what carries events.

    `seen` counts the requests with events, `refused` those answered 503, `dropped` those the service acknowledged
    without their client being told, `taken` those whose client was told.
    """

    def __init__(self, target: str, *, methods: frozenset[str] = frozenset({"POST"})) -> None:
        self._target = target
        self._methods = methods
        self._refuse_seconds = 0.0
        self._refuse_until: float | None = None
        self._drop = 0
        self.seen = self.refused = self.dropped = self.taken = 0
        self.url = ""

    def refuse(self, seconds: float) -> None:
        """Answer 503 with `Retry-After: 1` for so long, counted from the next request with events."""
        self._refuse_seconds = seconds
        self._refuse_until = None

    def drop(self, requests: int) -> None:
        """Pass the next requests with events on, and close the connection in place of the answer."""
        self._drop = requests

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(timeout=30)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            await self._converse(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    writer.write(connection.send(go_on) or b"")
                connection.receive_data(await reader.read(READ))
            elif isinstance(event, h11.Request):
                request = event
                body.clear()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                answer = await self._answer(request, bytes(body))
                if answer is None:
                    writer.transport.abort()
                    return
                for part in (answer[0], h11.Data(data=answer[1]), h11.EndOfMessage()):
                    writer.write(connection.send(part) or b"")
                await writer.drain()
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            else:  # the client has hung up
                return

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[h11.Response, bytes] | None:
        """What the client is told; None: nothing, and the connection ends."""
        counts = request.method.decode() in self._methods
        if counts:
            self.seen += 1
            if self._refuses():
                self.refused += 1
                return self._refusal(request)
        answer = await self._client.request(
            request.method.decode(),
            self._target + request.target.decode(),
            headers=[(name, value) for name, value in request.headers if name not in HOP],
            content=body,
        )
        if counts:
            if self._drop:
                assert answer.status_code == 200, answer.text
                self._drop -= 1
                self.dropped += 1
                return None
            self.taken += 1
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in HOP]
        return h11.Response(status_code=answer.status_code, headers=headers), answer.content

    def _refuses(self) -> bool:
        if not self._refuse_seconds:
            return False
        if self._refuse_until is None:
            self._refuse_until = time.monotonic() + self._refuse_seconds
        return time.monotonic() < self._refuse_until

    def _refusal(self, request: h11.Request) -> tuple[h11.Response, bytes]:
        body = httpx.Response(503, json=PROBLEM.problem()).content
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"1"),
        ]
        origin = dict(request.headers).get(b"origin")
        if origin is not None:
            headers += [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", b"Retry-After"),
            ]
        return h11.Response(status_code=503, headers=headers), body
