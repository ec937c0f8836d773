"""The live stream of the counts."""

import asyncio
import os
import signal

import pytest

from tests.support.rows import AT_US, Rows
from tests.support.stack import Stack, until
from tests.support.stream import STREAM, following
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import revoke_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

SUBSCRIBERS = "throughline_api_stream_subscribers"
QUERIES = 'throughline_api_query_seconds_count{query="counts"}'


async def test_a_stream_sends_the_counts_at_once_and_on_change(stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")
    await rows.through(AT_US)
    await rows.count(1, 3)
    async with following(stack, service) as events, following(stack, service, channel="email") as others:
        first = await events.counts()
        assert first.json()["customers"] == 3
        assert (await others.counts()).json()["customers"] == 0
        async with stack.api(service) as api:
            polled = await api.get("/v1/phases/counts")
        assert (polled.headers["etag"], polled.content) == (first.headers["etag"], first.content)
        await rows.count(1, 1)
        second = await events.counts()
        assert second.json()["customers"] == 4
        # Nothing was sent to those whose counts did not change.
        await rows.count(1, 1, channel="email")
        assert (await others.counts()).json()["customers"] == 1
        async with following(stack, service, seen=(await events.counts()).headers["etag"]) as resumed:
            assert await resumed.next() == {"retry": "1000"}
            await rows.count(2, 1)
            assert (await resumed.counts()).json()["customers"] == 6
        assert (await service.metrics())[SUBSCRIBERS] >= 2

    async def nobody_listens() -> bool:
        return (await service.metrics())[SUBSCRIBERS] == 0

    await until(nobody_listens, what="the streams to be noticed as closed")


async def test_one_poller_serves_all(stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")
    clock = asyncio.get_running_loop().time
    async with following(stack, service) as first:
        await first.counts()
        followers = [following(stack, service) for _ in range(20)]
        events = [await follower.__aenter__() for follower in followers]
        for follower in events:
            await follower.counts()
        started, before = clock(), (await service.metrics())[QUERIES]
        for number in range(1, 4):
            await rows.count(1, 1)
            for follower in [first, *events]:
                assert (await follower.counts()).json()["customers"] == number
        questions = (await service.metrics())[QUERIES] - before
        assert questions <= (clock() - started) / 0.25 + 1
        for closing in followers:
            await closing.__aexit__(None, None, None)


async def test_a_client_that_does_not_read_holds_nobody_up(stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    request = f"GET {STREAM} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {stack.read_token}\r\n\r\n"
    writer.write(request.encode())
    await reader.readuntil(b"\r\n\r\n")
    async with following(stack, service) as events:
        assert (await events.counts()).json()["customers"] == 0
        for number in range(1, 9):
            await rows.count(1, 1)
            assert (await events.counts()).json()["customers"] == number
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_revoked_token_ends_its_streams(stack: Stack) -> None:
    service = await stack.start("api")
    async with following(stack, service) as events:
        await events.counts()
        engine = create_engine(stack.database)
        async with transaction(engine) as connection:
            await revoke_read_token(connection, stack.read_token, now_us=now_us())
        await engine.dispose()
        await events.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_ends_the_streams_and_exits_0(stack: Stack, number: signal.Signals) -> None:
    service = await stack.start("api")
    async with following(stack, service) as events:
        await events.counts()
        os.kill(service.child.pid, number)
        await events.end()
    assert await service.child.wait() == 0
