"""Feeds and the stream of events, without a database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Message

from services.api.live import sse
from services.api.live.feeds import Feed, Feeds
from services.api.live.sse import event_stream
from services.api.shared.answers import Answer, EncodedAnswer
from services.api.shared.cache import Cache
from throughline.kit.errors import ServiceError
from throughline.kit.metrics import API_REGISTRY

SUBSCRIBERS = "throughline_api_stream_subscribers"
SCOPE = {"type": "http", "method": "GET"}
RETRY = b"retry: 1000\n\n"


def answer(number: int) -> EncodedAnswer[Answer]:
    return EncodedAnswer(b'{"customers":%d}' % number, f'W/"{number}"', "2026-09-21T14:13:20Z")


def event(number: int) -> bytes:
    return b'id: W/"%d"\nevent: counts\ndata: {"customers":%d}\n\n' % (number, number)


async def load(question: str) -> EncodedAnswer[Answer]:
    return answer(1)


@pytest.fixture
async def feeds() -> AsyncIterator[Feeds[str]]:
    feeds = Feeds(Cache(load, seconds=60).get)
    yield feeds
    feeds.close()


# --- feeds ------------------------------------------------------------------------------------------------------------


async def test_subscribers_are_bounded_and_counted() -> None:
    feeds = Feeds(Cache(load, seconds=60).get, limit=1)
    async with feeds.subscribe("a", 1):
        assert API_REGISTRY.get_sample_value(SUBSCRIBERS) == 1
        with pytest.raises(ServiceError) as caught:
            async with feeds.subscribe("a", 1):
                pass
        assert (caught.value.status, caught.value.code) == (503, "too_many_streams")
        assert caught.value.headers["Retry-After"]
    async with feeds.subscribe("a", 1):
        pass
    assert API_REGISTRY.get_sample_value(SUBSCRIBERS) == 0


async def test_one_token_leaves_streams_to_others() -> None:
    feeds = Feeds(Cache(load, seconds=60).get, each=1)
    async with feeds.subscribe("a", 1):
        with pytest.raises(ServiceError) as caught:
            async with feeds.subscribe("b", 1):
                pass
        assert (caught.value.status, caught.value.code) == (429, "too_many_streams")
        assert "1 streams" in caught.value.message
        assert caught.value.headers["Retry-After"]
        async with feeds.subscribe("a", 2):
            pass
    async with feeds.subscribe("a", 1):
        pass


async def test_a_poller_runs_only_while_somebody_listens(feeds: Feeds[str]) -> None:
    before = asyncio.all_tasks()
    async with feeds.subscribe("a", 1) as first, feeds.subscribe("a", 1) as second:
        assert first is second
        pollers = [task for task in asyncio.all_tasks() - before if task is first.poller]
        assert len(pollers) == 1
    with pytest.raises(asyncio.CancelledError):
        await pollers[0]
    async with feeds.subscribe("a", 1) as again:
        assert again is not first
        assert again.poller is not None
        assert not again.poller.done()


async def test_who_subscribes_while_the_feeds_close_is_not_left_waiting() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: str) -> EncodedAnswer[Answer]:
        started.set()
        await go_on.wait()
        return answer(1)

    feeds = Feeds(slow)

    async def subscribe() -> bool:
        async with feeds.subscribe("a", 1) as feed:
            return feed.closed

    subscribing = asyncio.create_task(subscribe())
    await started.wait()
    feeds.close()
    go_on.set()
    assert await subscribing
    with pytest.raises(ServiceError) as caught:
        await subscribe()
    assert (caught.value.status, caught.value.code) == (503, "stopping")


# --- the stream of events ---------------------------------------------------------------------------------------------


class Client:
    """A client of a stream, which reads only while `reads` is set."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.chunks: list[bytes] = []
        self.ended = False
        self.leaves = asyncio.Event()
        self._grew = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.body":
            self.ended = not message["more_body"]
            self.chunks += [message["body"]] if message["body"] else []
            self._grew.set()

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def has(self, number: int) -> None:
        """Wait for that many chunks."""
        async with asyncio.timeout(30):
            while len(self.chunks) < number:
                self._grew.clear()
                await self._grew.wait()


def follow(feed: Feed, client: Client, *, seen: str = "", is_allowed: bool = True) -> "asyncio.Task[None]":
    async def still_allowed() -> bool:
        return is_allowed

    response = event_stream(feed, event="counts", seen=seen, still_allowed=still_allowed)
    return asyncio.create_task(response(SCOPE, client.receive, client.send))


def change(feed: Feed, number: int) -> None:
    feed.latest = answer(number)
    feed.wake()


async def test_a_stream_ends_whole_when_the_feeds_close(feeds: Feeds[str]) -> None:
    client = Client()
    async with feeds.subscribe("a", 1) as feed:
        following = follow(feed, client)
        await client.has(2)
        change(feed, 2)
        await client.has(3)
        assert not client.ended
        feeds.close()
        await asyncio.wait_for(following, 30)
    assert client.chunks == [RETRY, event(1), event(2)]
    assert client.ended


async def test_what_a_client_has_seen_is_not_sent_again(feeds: Feeds[str]) -> None:
    client = Client()
    async with feeds.subscribe("a", 1) as feed:
        following = follow(feed, client, seen='W/"1"')
        await client.has(1)
        change(feed, 2)
        await client.has(2)
        feeds.close()
        await following
    assert client.chunks == [RETRY, event(2)]


async def test_a_slow_client_gets_the_latest_answer_and_not_those_in_between(feeds: Feeds[str]) -> None:
    slow, fast = Client(), Client()
    async with feeds.subscribe("a", 1) as feed:
        following = [follow(feed, slow), follow(feed, fast)]
        await slow.has(2)
        await fast.has(2)
        slow.reads.clear()
        for number in range(2, 9):
            change(feed, number)
            await fast.has(number + 1)
        slow.reads.set()
        await slow.has(4)
        feeds.close()
        await asyncio.gather(*following)
    assert slow.chunks == [RETRY, event(1), event(2), event(8)]  # the second was under way when it stopped reading


async def test_a_client_that_leaves_ends_its_stream(feeds: Feeds[str]) -> None:
    client = Client()
    async with feeds.subscribe("a", 1) as feed:
        following = follow(feed, client)
        await client.has(2)
        client.leaves.set()
        await asyncio.wait_for(following, 30)


async def test_a_revoked_token_ends_the_stream(feeds: Feeds[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "RECHECK_SECONDS", 0.02)
    client = Client()
    async with feeds.subscribe("a", 1) as feed:
        await asyncio.wait_for(follow(feed, client, is_allowed=False), 30)
    assert client.ended


async def test_a_silent_stream_says_the_time(feeds: Feeds[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(sse, "RECHECK_SECONDS", 0.02)
    client = Client()
    async with feeds.subscribe("a", 1) as feed:
        following = follow(feed, client, seen='W/"1"')
        await client.has(3)
        feeds.close()
        await following
    assert client.chunks[:3] == [RETRY, *[b": as_of 2026-09-21T14:13:20Z\n\n"] * 2]
