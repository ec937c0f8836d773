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


class FaultyProxy:
    """An HTTP/1.1 proxy. Only requests of `methods`, which carry events, are refused or lose their answers.

    `events_requests` counts the requests with events; of these, `refused` those answered 503, `dropped` those that the
    service acknowledged and whose answer was lost, `forwarded` those whose answer reached the client.
    """

    def __init__(self, target: str, *, methods: frozenset[str] = frozenset({"POST"})) -> None:
        self._target = target
        self._methods = methods
        self._refuse_seconds = 0.0
        self._refuse_until: float | None = None
        self._drop = 0
        self.events_requests = self.refused = self.dropped = self.forwarded = 0
        self.url = ""

    def refuse(self, seconds: float) -> None:
        """Answer 503 with `Retry-After: 1` for `seconds`, from the next request with events on."""
        self._refuse_seconds = seconds
        self._refuse_until = None

    def drop(self, requests: int) -> None:
        """Forward the next `requests` requests with events, and close the connection in place of the answer."""
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
            await self._serve_requests(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _serve_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    proceed = h11.InformationalResponse(status_code=100, headers=[])
                    writer.write(connection.send(proceed) or b"")
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
            else:  # the client has closed the connection
                return

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[h11.Response, bytes] | None:
        """The answer to the client; None if the connection is to be closed without one."""
        has_events = request.method.decode() in self._methods
        if has_events:
            self.events_requests += 1
            if self._is_refusing():
                self.refused += 1
                return self._refusal(request)
        answer = await self._client.request(
            request.method.decode(),
            self._target + request.target.decode(),
            headers=[(name, value) for name, value in request.headers if name not in HOP],
            content=body,
        )
        if has_events:
            if self._drop:
                assert answer.status_code == 200, answer.text
                self._drop -= 1
                self.dropped += 1
                return None
            self.forwarded += 1
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in HOP]
        return h11.Response(status_code=answer.status_code, headers=headers), answer.content

    def _is_refusing(self) -> bool:
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
