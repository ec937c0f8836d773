"""A feed as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from sse_starlette import EventSourceResponse, ServerSentEvent

from services.api.live.feeds import Feed
from services.api.shared.answers import Answer, EncodedAnswer, matches_etag

HEARTBEAT_SECONDS = 15.0
"""Time without an event after which a comment tells how far the answer reaches."""
RECHECK_SECONDS = 2.0
"""Interval at which an open stream checks its token."""
RETRY_MS = 1000
"""Time after which a client connects again."""
END_SECONDS = 5.0
"""Maximum time that a stream takes to end by itself when the service stops."""
_LINE_END = "\n"


def event_stream(
    feed: Feed, *, event: str, seen: str, still_allowed: Callable[[], Awaitable[bool]]
) -> EventSourceResponse:
    """The response that follows a feed until the client leaves, the feed closes or `still_allowed` answers False.

    Args:
        feed: stays subscribed while the response is sent.
        event: name of the events.
        seen: the client's Last-Event-ID; an answer with this ETag is not sent again.
        still_allowed: asked every `RECHECK_SECONDS`.
    """
    return EventSourceResponse(
        _follow(feed, event, seen, still_allowed),
        sep=_LINE_END,
        ping=0,  # the library's pings tell nothing and come however many events there are
        shutdown_grace_period=END_SECONDS,
    )


async def _follow(
    feed: Feed, event: str, seen: str, still_allowed: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    yield ServerSentEvent(retry=RETRY_MS, sep=_LINE_END).encode()
    sent_at = checked_at = time.monotonic()
    while not feed.closed:
        changed, latest = feed.changed, feed.latest
        if not matches_etag(seen, latest.etag):
            yield _answer_event(event, latest)
            seen = latest.etag
            sent_at = time.monotonic()
        elif time.monotonic() - sent_at >= HEARTBEAT_SECONDS:
            yield ServerSentEvent(comment=f"as_of {latest.as_of or '-'}", sep=_LINE_END).encode()
            sent_at = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), RECHECK_SECONDS)
        if time.monotonic() - checked_at >= RECHECK_SECONDS:
            checked_at = time.monotonic()
            if not await still_allowed():
                return


@functools.lru_cache(64)  # encoded once for all subscribers of a feed
def _answer_event(event: str, answer: EncodedAnswer[Answer]) -> bytes:
    return ServerSentEvent(answer.body.decode(), event=event, id=answer.etag, sep=_LINE_END).encode()
