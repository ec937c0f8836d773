"""Turns of large requests: the loop works off one at a time, each sender's in turn, and small ones in between.

Without turns, as many large requests as one sender has ready at once would be parsed before anybody else's event.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LARGE_BODY_BYTES = 8 * 1024
"""Number of bytes above which a request has to wait for its turn."""


class Turns:
    """Who works, and who waits. Of one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, deque[asyncio.Future[None]]] = {}
        """Sender -> its requests; the sender whose turn is next stands first."""
        self._is_taken = False

    @asynccontextmanager
    async def turn(self, sender: bytes) -> AsyncIterator[None]:
        """Wait for the turn of one request of a sender; the block must not wait for anything."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            future = loop.create_future()
            self._waiting.setdefault(sender, deque()).append(future)
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled():  # it had its turn already
                    loop.call_soon(self._pass_on)
                raise
        self._is_taken = True
        try:
            yield
        finally:
            loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            sender, requests = next(iter(self._waiting.items()))
            del self._waiting[sender]
            future = requests.popleft()
            if requests:
                self._waiting[sender] = requests
            if not future.done():  # it may have been cancelled
                self._is_taken = True
                future.set_result(None)
