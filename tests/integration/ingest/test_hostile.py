"""Many clients that mean no good, all at once: the others are served meanwhile, and the process stays as small."""

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import Awaitable, Callable

import httpx
import psutil

from services.ingest.event.verdict import MAX_BODY_BYTES
from tests.support.stack import Service, Stack, until
from throughline.kit.clock import now_us
from throughline.store.access.write_keys import revoke_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "timestamp": "2026-11-23T20:00:00Z"}
GOOD = b'{"type":"track","event":"E","userId":"u"}'
SECONDS = 4.0
HALF_OPEN = 100
MOST_BYTES = 300 * 1024 * 1024
"""By which the process may grow: the bodies that are waited for have 25 MB, each bomb some."""
BOMBS = [
    gzip.compress(bytes(200 * MAX_BODY_BYTES), 9),
    gzip.compress(b'{"batch":[' + b'[{"a":' * 80_000),
    gzip.compress(b'{"batch":[{"' + b"k" * 250_000 + b'":[' + b"0," * 120_000 + b"NaN]}]}"),
    gzip.compress(b'{"context":{"a":"' + b"x" * 30_000 + b'"},"batch":[' + b",".join([GOOD] * 2500) + b"]}"),
    gzip.compress(b'{"batch":[' + b",".join([b'{"event":"' + b"x" * 180 + b'"}'] * 2500) + b"]}"),
]


async def again(act: Callable[[], Awaitable[None]]) -> None:
    """Until the time is up; whatever becomes of the connection."""
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(OSError, httpx.HTTPError):
                await act()
            await asyncio.sleep(0.05)


async def bombs(ingest: Service, key: str, body: bytes) -> None:
    async with httpx.AsyncClient(base_url=ingest.url, auth=(key, ""), timeout=30) as client:

        async def send() -> None:
            answer = await client.post("/v1/batch", content=body)
            assert answer.status_code in (200, 400), answer.text

        await again(send)


async def raw(ingest: Service, head: bytes, part: bytes) -> None:
    """A connection that sends a head, and then one part after the other without end."""
    url = httpx.URL(ingest.url)

    async def send() -> None:
        _, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(head)
            while not writer.is_closing():
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            writer.close()

    await again(send)


async def half_open(ingest: Service, stack: Stack) -> None:
    """Half a body, and then nothing."""
    url = httpx.URL(ingest.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {stack.write_key}\r\nContent-Length: 500000\r\n\r\n"
    writer.write(head.encode() + bytes(250_000))
    try:
        async with asyncio.timeout(SECONDS):
            await reader.read()
    finally:
        writer.close()


async def test_all_at_once(stack: Stack) -> None:
    ingest = await stack.start("ingest", HEAD_SECONDS="2", BODY_SECONDS="10")
    process = psutil.Process(ingest.child.pid)
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=30) as client:
        for body in BOMBS:
            await client.post("/v1/batch", content=body)
        before = process.memory_info().rss
        peak, served, slowest = 0, 0, 0.0

        async def serve() -> None:
            nonlocal peak, served, slowest
            began = time.monotonic()
            answer = await client.post("/v1/batch", json={"batch": [EVENT]})
            assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text
            slowest = max(slowest, time.monotonic() - began)
            served += 1
            peak = max(peak, process.memory_info().rss)

        flood = b"GET / HTTP/1.1\r\nHost: x\r\n"
        attempts = await asyncio.gather(
            again(serve),
            *(bombs(ingest, stack.write_key, body) for body in BOMBS),
            *(half_open(ingest, stack) for _ in range(HALF_OPEN)),
            *(raw(ingest, flood, b"X-Flood: " + b"x" * 8000 + b"\r\n") for _ in range(4)),
            *(raw(ingest, flood, b"X: 1\r\n") for _ in range(4)),
            *(raw(ingest, b"", b"\x16\x03\x01" * 100) for _ in range(2)),
            return_exceptions=True,
        )
    unforeseen = [error for error in attempts if error is not None and not isinstance(error, TimeoutError)]
    assert not unforeseen
    assert served >= 5
    assert slowest < 10
    assert peak - before < MOST_BYTES, f"{(peak - before) / 1e6:.0f} MB"
    assert not [name for name in await ingest.metrics() if 'status="500"' in name]

    async def all_gone() -> bool:
        return len(process.net_connections()) < 20

    await until(all_gone)


async def test_a_revoked_key_is_not_let_in_for_long(stack: Stack, database: str) -> None:
    ingest = await stack.start("ingest")
    engine = create_engine(database)
    try:
        async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client:
            assert (await client.post("/v1/batch", json={"batch": [EVENT]})).status_code == 200
            async with transaction(engine) as connection:
                await revoke_write_key(connection, stack.write_key, now_us=now_us())

            async def refused() -> bool:
                answer = await client.post("/v1/batch", content=json.dumps({"batch": [EVENT]}))
                return answer.status_code == 401

            await until(refused, what="a 401")
    finally:
        await engine.dispose()
