"""Feeds: the latest answer to each question that clients follow, polled only while somebody follows it.

A subscriber has no queue: a change wakes it, and it takes the latest answer. So a slow client skips answers in between
and holds nobody up.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from services.api.shared.answers import Answer, EncodedAnswer
from throughline.kit.errors import ServiceError
from throughline.kit.metrics import API_STREAM_SUBSCRIBERS

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

MAX_SUBSCRIBERS = 1000
MAX_SUBSCRIBERS_EACH = 100
POLL_SECONDS = 0.25


class Feed:
    """The latest answer to one question."""

    def __init__(self, latest: EncodedAnswer[Answer]) -> None:
        self.latest = latest
        self.changed = asyncio.Event()
        """Set, and replaced by a new one, whenever the answer changes or the feeds close."""
        self.closed = False
        self.subscribers = 0
        self.poller: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Wake every subscriber."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Feeds(Generic[K]):
    """All feeds of this process.

    Args:
        load: answers a question; asked four times a second for each question that is followed.
        limit: maximum number of subscribers.
        each: maximum number of subscribers with one token.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[EncodedAnswer[Answer]]],
        *,
        limit: int = MAX_SUBSCRIBERS,
        each: int = MAX_SUBSCRIBERS_EACH,
    ) -> None:
        self._load = load
        self._limit = limit
        self._each = each
        self._by_token: Counter[int] = Counter()
        self._feeds: dict[K, Feed] = {}
        self._subscribers = 0
        self._closed = False

    def close(self) -> None:
        """End every stream; new subscribers are refused."""
        self._closed = True
        for feed in self._feeds.values():
            feed.closed = True
            feed.wake()

    @contextlib.asynccontextmanager
    async def subscribe(self, question: K, token: int) -> AsyncIterator[Feed]:
        """The feed of a question, polled at least until the block ends.

        Args:
            question: what is asked again and again.
            token: id of the token that asks.

        Raises:
            ServiceError: 429 or 503 `too_many_streams`, 503 `stopping`, or what `load` raises.
        """
        if self._closed:
            raise ServiceError(503, "stopping", "the service is stopping; try again", headers={"Retry-After": "1"})
        if self._by_token[token] >= self._each:
            raise ServiceError(
                429,
                "too_many_streams",
                f"this token has {self._each} streams open, as many as it may; close one, or share one among readers",
                headers={"Retry-After": "5"},
            )
        if self._subscribers >= self._limit:
            raise ServiceError(
                503,
                "too_many_streams",
                f"this process already serves {self._limit} streams; try again, or poll instead",
                headers={"Retry-After": "5"},
            )
        self._subscribers += 1
        self._by_token[token] += 1
        API_STREAM_SUBSCRIBERS.inc()
        try:
            latest = await self._load(question)
            feed = self._feeds.setdefault(question, Feed(latest))
            feed.closed = self._closed  # the feeds may have closed during the load
            feed.subscribers += 1
            if feed.poller is None:
                feed.poller = asyncio.create_task(self._poll(question, feed))
            try:
                yield feed
            finally:
                feed.subscribers -= 1
                if not feed.subscribers:
                    feed.poller.cancel()
                    del self._feeds[question]
        finally:
            self._subscribers -= 1
            self._by_token[token] -= 1
            if not self._by_token[token]:
                del self._by_token[token]
            API_STREAM_SUBSCRIBERS.dec()

    async def _poll(self, question: K, feed: Feed) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                latest = await self._load(question)
            except ServiceError:
                # Logged where it was raised. Streams stay open; the `as_of` of their heartbeats stands still.
                continue
            except Exception:
                log.exception("the counts of a stream cannot be read")
                continue
            is_change = latest.etag != feed.latest.etag
            feed.latest = latest
            if is_change:
                feed.wake()
