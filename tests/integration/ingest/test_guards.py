"""Clients that mean no good, over real sockets: each is answered, counted, and in nobody's way."""

import gzip
import json

import httpx
import psutil
import pytest

from tests.support.stack import Service, Stack, until
from tests.support.wire import SECONDS, Wire

EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "timestamp": "2026-11-23T20:00:00Z"}


async def counted(ingest: Service, reason: str, at_least: int = 1) -> None:
    name = f'throughline_ingest_refused_requests_total{{reason="{reason}"}}'

    async def there() -> bool:
        return (await ingest.metrics()).get(name, 0) >= at_least

    await until(there, what=name)


async def goes_on(ingest: Service, stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client:
        assert (await client.post("/v1/batch", json={"batch": [EVENT]})).status_code == 200


def head(stack: Stack, *lines: str) -> bytes:
    return "\r\n".join(["POST /v1/batch HTTP/1.1", "Host: x", f"Authorization: {stack.write_key}", *lines, ""]).encode()


async def test_a_keys_rate(stack: Stack) -> None:
    ingest = await stack.start("ingest", RATE_LIMIT_EVENTS="1", RATE_LIMIT_BURST="5")
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client:
        assert (await client.post("/v1/batch", json={"batch": [EVENT] * 7})).status_code == 200
        refused = await client.post("/v1/batch", json={"batch": [EVENT]}, headers={"Origin": "https://shop.example"})
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert "Retry-After" in refused.headers["access-control-expose-headers"]

        async def paid() -> bool:
            return (await client.post("/v1/batch", json={"batch": [EVENT]})).status_code == 200

        await until(paid)
    await counted(ingest, "rate_limited")


async def test_slow_clients(stack: Stack) -> None:
    ingest = await stack.start("ingest", HEAD_SECONDS="0.5", BODY_SECONDS="0.5")
    async with Wire(ingest) as unused, Wire(ingest) as headers, Wire(ingest) as body, Wire(ingest) as no_body:
        await headers.send(head(stack)[:40])
        await body.send(head(stack, "Content-Length: 1000", "Origin: https://shop.example", "") + b'{"batch"')
        await no_body.send(head(stack, "Content-Length: 1000", ""))
        assert (await unused.answer())[0] == 0
        status, _, problem = await headers.answer()
        assert (status, json.loads(problem)["code"]) == (408, "slow_headers")
        for wire in (body, no_body):
            status, answer_headers, problem = await wire.answer()
            assert (status, json.loads(problem)["code"]) == (408, "slow_body")
            assert answer_headers["connection"] == "close"
    for reason in ("unused_connection", "slow_headers"):
        await counted(ingest, reason)
    await counted(ingest, "slow_body", 2)
    await goes_on(ingest, stack)


async def test_a_keep_alive_connection_is_watched_again(stack: Stack) -> None:
    ingest = await stack.start("ingest", HEAD_SECONDS="0.5")
    body = json.dumps({"batch": [EVENT]}).encode()
    async with Wire(ingest) as wire:
        whole = head(stack, f"Content-Length: {len(body)}", "") + body
        await wire.send(whole + whole + head(stack)[:20])
        text = await wire.rest()
    assert text.count(b"HTTP/1.1 200") == 2
    assert text.count(b"HTTP/1.1 408") == 1


async def test_an_endless_body_after_its_answer(stack: Stack) -> None:
    """What is too large is answered at once; what still comes is not listened to for ever."""
    ingest = await stack.start("ingest", HEAD_SECONDS="0.5", BODY_SECONDS="1")
    async with Wire(ingest) as wire:
        await wire.send(head(stack, "Content-Length: 1000000000", "") + bytes(600_000))
        await wire.gone()
    await counted(ingest, "body_too_large")
    await goes_on(ingest, stack)


@pytest.mark.parametrize("line", ["X-Flood: " + "x" * 1000, "X-Flood: x"], ids=["bytes", "fields"])
async def test_a_flood_of_headers(stack: Stack, line: str) -> None:
    ingest = await stack.start("ingest")
    process = psutil.Process(ingest.child.pid)
    before = process.memory_info().rss
    async with Wire(ingest) as wire:
        if len(line) > 100:
            await wire.send(head(stack))
            for _ in range(70):
                await wire.send(f"{line}\r\n".encode())
        else:
            await wire.send(head(stack, *[line] * 300, ""))
        status, _, problem = await wire.answer()
    assert (status, json.loads(problem)["code"]) == (431, "headers_too_large")
    await counted(ingest, "headers_too_large")
    assert process.memory_info().rss - before < 20 * 1024 * 1024
    await goes_on(ingest, stack)


async def test_trailers_are_no_headers(stack: Stack) -> None:
    ingest = await stack.start("ingest")
    process = psutil.Process(ingest.child.pid)
    body = json.dumps({"batch": [EVENT]}).encode()
    request = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    key = f"Authorization: {stack.write_key}\r\n".encode()
    before = process.memory_info().rss
    for headers, trailers, expected in ((b"", key, 401), (key, (b"X-Flood: " + b"x" * 1_000 + b"\r\n") * 40, 200)):
        async with Wire(ingest) as wire:
            await wire.send(request + headers + b"\r\n" + chunks + trailers + b"\r\n")
            assert (await wire.answer())[0] == expected
    assert process.memory_info().rss - before < 20 * 1024 * 1024
    await goes_on(ingest, stack)


async def test_what_is_no_http(stack: Stack) -> None:
    ingest = await stack.start("ingest")
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET \xff HTTP/1.1\r\n\r\n", b"x" * 100 + b"\r\n\r\n"):
        async with Wire(ingest) as wire:
            await wire.send(noise)
            assert (await wire.answer())[0] == 400
    await goes_on(ingest, stack)


async def test_connections_without_number(stack: Stack) -> None:
    ingest = await stack.start("ingest", MAX_CONNECTIONS="5", HEAD_SECONDS="5")
    wires = [Wire(ingest) for _ in range(300)]
    try:
        for wire in wires:
            await wire.__aenter__()
        first, crowded = wires[0], wires[20]
        body = json.dumps({"batch": [EVENT]}).encode()
        request = head(stack, f"Content-Length: {len(body)}", "Connection: close", "") + body
        await crowded.send(request)
        status, headers, problem = await crowded.answer()
        assert (status, json.loads(problem)["code"]) == (503, "too_many_connections")
        assert headers["retry-after"] == "1"
        # Those that were there first are served; those far beyond the limit are closed.
        await first.send(request)
        assert (await first.answer())[0] == 200
        assert (await wires[-1].answer())[0] == 0
    finally:
        for wire in wires:
            await wire.__aexit__()

    async def served() -> bool:
        async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client:
            return (await client.post("/v1/batch", json={"batch": [EVENT]})).status_code == 200

    await until(served)
    await counted(ingest, "too_many_connections")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (gzip.compress(bytes(200_000_000), 9), "body_too_large"),
        (gzip.compress(b"") * 20_000, "unreadable_gzip"),
        (b"[" * 400_000, "nested_too_deeply"),
        (b'{"batch":' + b'[{"a":' * 60_000, "nested_too_deeply"),
        (gzip.compress(b'{"batch":[' + b"[" * 500_000), "nested_too_deeply"),
    ],
    ids=["gzip", "parts", "depth", "objects", "both"],
)
async def test_bombs(stack: Stack, body: bytes, code: str) -> None:
    ingest = await stack.start("ingest")
    process = psutil.Process(ingest.child.pid)
    await goes_on(ingest, stack)
    before = process.memory_info().rss
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=SECONDS) as client:
        for path in ("/v1/batch", "/v1/track", "/e", "/com.snowplowanalytics.snowplow/tp2", "/v1/cloudevents"):
            answer = await client.post(path, content=body)
            # Where the body is one event it is that event which is refused.
            assert answer.status_code == 400 or answer.json()["accepted"] == 0, (path, answer.text)
        assert (await client.post("/v1/batch", content=body)).json()["code"] == code
    assert process.memory_info().rss - before < 60 * 1024 * 1024
    await counted(ingest, code)
    await goes_on(ingest, stack)
