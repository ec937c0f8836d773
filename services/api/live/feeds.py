"""Live counts as server-sent events: one poller per distinct question, only while somebody listens.

A subscriber holds no queue: it is woken by a change and takes the latest counts, so that a slow client skips
intermediate ones and holds nobody up.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.api.live.cache import Cache
from services.api.phases.answers import Snapshot, names_same_state
from services.api.shared.context import COUNTS_SECONDS, CountsKey
from throughline.kit.errors import ServiceError
from throughline.kit.metrics import API_STREAM_SUBSCRIBERS

log = logging.getLogger(__name__)

MAX_SUBSCRIBERS = 1000
HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 2.0
"""How often an open stream asks whether its token still holds."""
RETRY_MS = 1000


class Feed:
    """The latest counts of one question; `changed` is set, and replaced, whenever they change or the feed ends."""

    def __init__(self, latest: Snapshot) -> None:
        self.latest = latest
        self.changed = asyncio.Event()
        self.subscribers = 0
        self.poller: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Wake every subscriber."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Feeds:
    """All feeds of this process."""

    def __init__(self, counts: Cache[CountsKey, Snapshot], *, limit: int = MAX_SUBSCRIBERS) -> None:
        self._counts = counts
        self._limit = limit
        self._feeds: dict[CountsKey, Feed] = {}
        self._subscribers = 0
        self.closed = False

    def close(self) -> None:
        """End every stream; new ones are refused."""
        self.closed = True
        for feed in self._feeds.values():
            feed.wake()

    @contextlib.asynccontextmanager
    async def subscribe(self, key: CountsKey) -> AsyncIterator[Feed]:
        """A feed to follow, polled at least until the block ends.

        Raises:
            ServiceError: 503 `too_many_streams` or `stopping`, or why the counts cannot be read.
        """
        if self.closed:
            raise ServiceError(503, "stopping", "the service is stopping; try again", headers={"Retry-After": "1"})
        if self._subscribers >= self._limit:
            raise ServiceError(
                503,
                "too_many_streams",
                f"this process already serves {self._limit} streams; try again, or poll /v1/phases/counts",
                headers={"Retry-After": "5"},
            )
        self._subscribers += 1
        API_STREAM_SUBSCRIBERS.inc()
        try:
            latest = await self._counts.get(key)
            feed = self._feeds.setdefault(key, Feed(latest))
            feed.subscribers += 1
            if feed.poller is None:
                feed.poller = asyncio.create_task(self._poll(key, feed))
            try:
                yield feed
            finally:
                feed.subscribers -= 1
                if not feed.subscribers:
                    feed.poller.cancel()
                    del self._feeds[key]
        finally:
            self._subscribers -= 1
            API_STREAM_SUBSCRIBERS.dec()

    async def _poll(self, key: CountsKey, feed: Feed) -> None:
        while True:
            await asyncio.sleep(COUNTS_SECONDS)
            try:
                latest = await self._counts.get(key)
            except ServiceError:
                # Already said where it was noticed. Streams stay open: as_of in their heartbeats stands still.
                continue
            except Exception:
                log.exception("the counts of a stream cannot be read")
                continue
            is_change = latest.etag != feed.latest.etag
            feed.latest = latest
            if is_change:
                feed.wake()


class CountsStream(Response):
    """The response that follows a feed until the client leaves, the service stops or the token is revoked.

    `feed` must stay subscribed while it runs, so it takes the open subscription and ends it itself.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        feeds: Feeds,
        feed: Feed,
        subscription: contextlib.AsyncExitStack,
        *,
        seen: str,
        still_allowed: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feeds = feeds
        self._feed = feed
        self._subscription = subscription
        self._seen = seen
        self._still_allowed = still_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._subscription:
            gone = asyncio.create_task(_disconnected(receive))
            follow = asyncio.create_task(self._follow(send))
            try:
                await asyncio.wait({gone, follow}, return_when=asyncio.FIRST_COMPLETED)
                if follow.done():
                    follow.result()
            finally:
                for task in (gone, follow):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, OSError):
                        await task

    async def _follow(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, f"retry: {RETRY_MS}\n\n".encode())
        feed = self._feed
        seen = self._seen
        spoke = checked = time.monotonic()
        while not self._feeds.closed:
            changed = feed.changed
            latest = feed.latest
            if not names_same_state(seen, latest.etag):
                await _send(send, b"event: counts\nid: %s\ndata: %s\n\n" % (latest.etag.encode(), latest.body))
                seen = latest.etag
                spoke = time.monotonic()
            elif time.monotonic() - spoke >= HEARTBEAT_SECONDS:
                await _send(send, b": as_of %s\n\n" % (latest.as_of or "-").encode())
                spoke = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), RECHECK_SECONDS)
            if time.monotonic() - checked >= RECHECK_SECONDS:
                checked = time.monotonic()
                if not await self._still_allowed():
                    break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
