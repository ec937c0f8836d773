"""Strangers at the ports of all three services, over real sockets: what they send is bounded, and what they hold."""

import asyncio
import contextlib
import socket
from dataclasses import replace

import httpx
import psutil
import pytest

from tests.support.stack import HOST, Service, Stack, until
from tests.support.wire import SECONDS, Wire
from throughline.local import free_port

SERVICES = ("ingest", "stager", "api")
PATHS = {"ingest": "/v1/batch", "stager": "/metrics", "api": "/v1/phases/counts"}
REQUEST = b"POST %s HTTP/1.1\r\nHost: x\r\n"
MB = 1024 * 1024
SENT_BYTES = 64 * MB

pytestmark = pytest.mark.parametrize("name", SERVICES)


def memory_of(service: Service) -> int:
    return psutil.Process(service.child.pid).memory_info().rss


async def refused(service: Service, reason: str) -> None:
    metric = "throughline_refused_connections_total"
    if service.name == "ingest":
        metric = "throughline_ingest_refused_requests_total"

    async def is_counted() -> bool:
        return (await service.metrics()).get(f'{metric}{{reason="{reason}"}}', 0) >= 1

    await until(is_counted, what=reason)


async def send_until_closed(wire: Wire, piece: bytes) -> int:
    """Returns the number of bytes that were sent before the service closed the connection."""
    sent = 0
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(ConnectionError):
            while sent < SENT_BYTES:
                await wire.send(piece)
                sent += len(piece)
    return sent


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"0\r\n", (b"X-Flood: " + b"x" * 1000 + b"\r\n") * 60),
        (b"0\r\nX-Flood: ", b"x" * 60_000),
        (b"2\r\n{}\r\n1;", b"x" * 60_000),
    ],
    ids=["trailers", "one trailer", "a chunk's extension"],
)
async def test_trailers_without_end(stack: Stack, name: str, start: bytes, piece: bytes) -> None:
    service = await stack.start(name)
    before = memory_of(service)
    async with Wire(service) as wire:
        await wire.send(REQUEST % PATHS[name].encode() + b"Transfer-Encoding: chunked\r\n\r\n" + start)
        assert await send_until_closed(wire, piece) < SENT_BYTES // 2
    assert memory_of(service) - before < 16 * MB
    await refused(service, "headers_too_large")


async def test_a_head_without_end(stack: Stack, name: str) -> None:
    service = await stack.start(name, HEAD_SECONDS="0.5")
    async with Wire(service) as unused, Wire(service) as slow, Wire(service) as large:
        await slow.send(b"GET / HTTP/1.1\r\nHost")
        await large.send(b"GET / HTTP/1.1\r\n" + b"X-Flood: x\r\n" * 6_000)
        assert (await large.answer())[0] == 431
        assert (await slow.answer())[0] == 408
        assert (await unused.answer())[0] == 0
    for reason in ("unused_connection", "slow_headers", "headers_too_large"):
        await refused(service, reason)


async def test_an_idle_connection_ends(stack: Stack, name: str) -> None:
    service = await stack.start(name)
    async with Wire(service) as wire:
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await wire.answer())[0] == 200  # `answer` reads until the service has closed the connection


async def test_connections_without_number(stack: Stack, name: str) -> None:
    service = await stack.start(name, MAX_CONNECTIONS="5", HEAD_SECONDS="60")
    wires = [Wire(service) for _ in range(300)]
    async with contextlib.AsyncExitStack() as stack_of_wires:
        for wire in wires:
            await stack_of_wires.enter_async_context(wire)
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await wires[20].send(request)
        status, headers, _ = await wires[20].answer()
        assert (status, headers["retry-after"]) == (503, "1")
        # On a slow machine those that wait in vain have made room for the last ones: one of them is closed at least.
        closing = [asyncio.create_task(wire.answer()) for wire in wires[261:]]
        closed, others = await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        assert {task.result()[0] for task in closed} == {0}
        await wires[0].send(request)
        assert (await wires[0].answer())[0] == 200
    await refused(service, "too_many_connections")


async def test_requests_before_the_first_answer(stack: Stack, name: str) -> None:
    service = await stack.start(name)
    before = memory_of(service)
    async with Wire(service) as wire:
        await send_until_closed(wire, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)
    assert memory_of(service) - before < 16 * MB
    await service.ready()


async def test_bodies_without_end_share_one_memory(stack: Stack, name: str) -> None:
    """Those that hold much for longest are given up; a small request is served meanwhile."""
    service = await stack.start(name, MEMORY_BYTES="1000000", BODY_SECONDS="5")
    head = REQUEST % PATHS[name].encode() + b"Content-Length: 400000\r\n\r\n"
    async with contextlib.AsyncExitStack() as wires:
        for _ in range(40):
            wire = await wires.enter_async_context(Wire(service))
            with contextlib.suppress(ConnectionError):
                await wire.send(head + bytes(60_000))
        async with httpx.AsyncClient(base_url=service.url) as client:
            assert (await client.get("/healthz")).status_code == 200
        if name == "ingest":  # the others answer before the body has come
            await refused(service, "unavailable")


async def test_an_answer_that_nobody_reads(stack: Stack, name: str) -> None:
    service = await stack.start(name, HEAD_SECONDS="0.5", BODY_SECONDS="0.5")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((HOST, httpx.URL(service.url).port))
        client.setblocking(False)
        loop = asyncio.get_running_loop()

        async def is_closed() -> bool:
            try:
                async with asyncio.timeout(0.2):
                    await loop.sock_sendall(client, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return False

        await until(is_closed, what="the connection closed")

    async def are_gone() -> bool:
        return len(psutil.Process(service.child.pid).net_connections("tcp")) < 20

    await until(are_gone, what="its connections closed")


async def test_the_port_of_metrics_has_the_guards_too(stack: Stack, name: str) -> None:
    port = free_port()
    service = await stack.start(name, METRICS_PORT=str(port))
    metrics = replace(service, url=f"http://{HOST}:{port}")
    before = memory_of(service)
    async with Wire(metrics) as wire:
        await wire.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        assert await send_until_closed(wire, (b"X-Flood: " + b"x" * 1000 + b"\r\n") * 60) < SENT_BYTES // 2
    assert memory_of(service) - before < 16 * MB
    await refused(metrics, "headers_too_large")


async def test_no_answer_is_taken_for_another_type(stack: Stack, name: str) -> None:
    service = await stack.start(name)
    async with httpx.AsyncClient(base_url=service.url) as client:
        requests = [("GET", path) for path in ("/", "/healthz", "/metrics", "/nothing")]
        for method, path in (*requests, ("POST", PATHS[name])):
            answer = await client.request(method, path, content=b"{")
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"], (path, answer.status_code)
    async with Wire(service) as wire:
        await wire.send(b"x" * 100)
        assert (await wire.answer())[1].get("x-content-type-options") == "nosniff"
    await refused(service, "invalid_http")
    assert "Invalid HTTP" not in service.child.tail(50), "a client that means no good can fill the log"
