"""The api as a process: the live stream, a database that goes away, starting and stopping."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.api.live import feeds as feeds_module
from services.api.live.cache import Cache
from services.api.live.feeds import CountsStream, Feeds
from services.api.phases.answers import Snapshot
from services.api.shared.context import CountsKey
from tests.conftest import execute
from tests.support.rows import AT_US, Rows
from tests.support.stack import Service, Stack, until
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.local import LocalPostgres, free_port
from throughline.store.access.read_tokens import revoke_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

STREAM = "/v1/phases/counts/stream"
SUBSCRIBERS = "throughline_api_stream_subscribers"
QUERIES = 'throughline_api_query_seconds_count{query="counts"}'


class Events:
    """The blocks of an open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = self._split()

    async def _split(self) -> AsyncIterator[dict[str, str]]:
        block: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                block[name or "comment"] = value
            else:
                yield block
                block = {}

    async def next(self) -> dict[str, str]:
        return await asyncio.wait_for(anext(self._blocks), 30)

    async def counts(self) -> httpx.Response:
        """The next counts event's data, as an answer to read JSON from."""
        while True:
            block = await self.next()
            if block.get("event") == "counts":
                return httpx.Response(200, headers={"etag": block["id"]}, text=block["data"])

    async def end(self) -> None:
        async with asyncio.timeout(30):
            async for _ in self._blocks:
                pass


@asynccontextmanager
async def following(stack: Stack, service: Service, seen: str = "", **which: str) -> AsyncIterator[Events]:
    headers = {"Last-Event-ID": seen} if seen else {}
    async with (
        stack.api(service) as client,
        client.stream("GET", STREAM, params=which, headers=headers, timeout=30) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Events(response)


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
    async with following(stack, service) as one:
        await one.counts()
        followers = [following(stack, service) for _ in range(20)]
        events = [await follower.__aenter__() for follower in followers]
        for follower in events:
            await follower.counts()
        started, before = clock(), (await service.metrics())[QUERIES]
        for number in range(1, 4):
            await rows.count(1, 1)
            for follower in [one, *events]:
                assert (await follower.counts()).json()["customers"] == number
        asked = (await service.metrics())[QUERIES] - before
        assert asked <= (clock() - started) / 0.25 + 1
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


async def test_a_database_that_goes_away_is_a_503_and_comes_back(
    stack: Stack, rows: Rows, postgres: LocalPostgres
) -> None:
    service = await stack.start("api")
    await rows.count(1, 3)
    async with stack.api(service) as api, following(stack, service) as events:
        assert (await events.counts()).json()["customers"] == 3
        await postgres.kill()
        try:

            async def away() -> bool:
                # Not before what is remembered of the counts is over.
                return (await api.get("/v1/phases/counts")).status_code == 503

            await until(away)
            for path in ("/v1/phases/counts", "/v1/customers", "/v1/journey?customer=x", "/v1/phases", STREAM):
                response = await api.get(path)
                assert (response.status_code, response.json()["code"]) == (503, "database_away"), path
                assert int(response.headers["retry-after"]) >= 1
                assert "postgresql" not in response.text.lower()
            assert (await api.get("/healthz")).status_code == 200
            ready = await api.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        finally:
            await postgres.start()
        await service.ready()
        async with Rows(stack.database, stack.workspace_id) as again:
            await again.count(1, 1)
        assert (await events.counts()).json()["customers"] == 4
        assert (await api.get("/v1/phases/counts")).json()["customers"] == 4


async def test_it_waits_for_its_database_and_brings_the_schema_up_to_date(
    postgres: LocalPostgres, tmp_path: Path
) -> None:
    port = free_port()
    url = postgres.url_of("started_late")
    late = url.replace(f":{postgres.port}/", f":{port}/")
    stack = Stack("127.0.0.1:1", late, "touchpoints", "touchpoints.rejected", tmp_path)
    try:
        service = await stack.start("api", ready=False)
        async with httpx.AsyncClient(base_url=service.url) as client:

            async def listens() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(listens)
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert "database" in ready.json()["checks"]["database"]
            answer = await client.get("/v1/phases", headers={"Authorization": "Bearer tlr_x"})
            assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
            await execute(postgres.url, "create database started_late")
            # The server starts to listen where the service looks for it.
            forwarded = await asyncio.start_server(lambda r, w: _forward(r, w, postgres.port), "127.0.0.1", port)
            async with forwarded:
                await service.ready()
                answer = await client.get("/v1/phases", headers={"Authorization": "Bearer tlr_x"})
                assert answer.status_code == 401
                await stack.stop()
    finally:
        await stack.stop()
        await execute(postgres.url, "drop database if exists started_late with (force)")


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()

    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)
    for ended in (writer, up_writer):
        ended.close()
        await asyncio.gather(ended.wait_closed(), return_exceptions=True)


async def test_a_database_that_refuses_ends_it_with_the_reason(postgres: LocalPostgres, tmp_path: Path) -> None:
    stack = Stack("127.0.0.1:1", postgres.url_of("no_such_database"), "touchpoints", "r", tmp_path)
    service = await stack.start("api", ready=False)
    assert await service.child.wait() == 1
    assert "no_such_database" in service.child.tail(20)


# --- what takes too long, or too many clients, for a process ----------------------------------------------------------

KEY = CountsKey(1, "seven_phase", None, None)


async def _snapshot(_: CountsKey) -> Snapshot:
    return Snapshot(b'{"customers":1}', 'W/"a"', "2026-09-21T14:13:20Z")


async def test_subscribers_are_bounded() -> None:
    feeds = Feeds(Cache(_snapshot, seconds=60), limit=1)
    async with feeds.subscribe(KEY):
        with pytest.raises(ServiceError) as caught:
            async with feeds.subscribe(KEY):
                pass
        assert (caught.value.status, caught.value.code) == (503, "too_many_streams")
        assert caught.value.headers["Retry-After"]
    async with feeds.subscribe(KEY):
        pass


async def test_a_poller_runs_only_while_somebody_listens() -> None:
    feeds = Feeds(Cache(_snapshot, seconds=60))
    before = asyncio.all_tasks()
    async with feeds.subscribe(KEY) as first, feeds.subscribe(KEY) as second:
        assert first is second
        pollers = [task for task in asyncio.all_tasks() - before if task is first.poller]
        assert len(pollers) == 1
    with pytest.raises(asyncio.CancelledError):
        await pollers[0]
    async with feeds.subscribe(KEY) as again:
        assert again is not first
        assert again.poller is not None
        assert not again.poller.done()


async def test_a_silent_stream_says_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(feeds_module, "RECHECK_SECONDS", 0.02)
    feeds = Feeds(Cache(_snapshot, seconds=60))
    sent: list[bytes] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message.get("body", b""))
        if sent.count(b": as_of 2026-09-21T14:13:20Z\n\n") == 2:
            feeds.close()

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def allowed() -> bool:
        return True

    async with AsyncExitStack() as exits:
        feed = await exits.enter_async_context(feeds.subscribe(KEY))
        response = CountsStream(feeds, feed, exits.pop_all(), seen='W/"a"', still_allowed=allowed)
        await asyncio.wait_for(response({}, receive, send), 30)
    assert not [chunk for chunk in sent if chunk.startswith(b"event")]
