"""Many clients, one question: a value is loaded once however many wait for it, and is kept for a short time."""

import asyncio
import functools
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

C = TypeVar("C", bound=Hashable)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(NamedTuple, Generic[V]):
    requested_at: float
    load: "asyncio.Task[V]"


class Cache(Generic[K, V]):
    """Values by key. `load` starts at most once per key and `seconds`; requests in between share its value.

    The age of a value counts from its first request, so that nobody gets a value older than `seconds` plus the time of
    one load. A failure reaches those who wait for the load, and is not kept. Holds at most `size` keys.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        seconds: float,
        size: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load_value = load
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()

    async def get(self, key: K) -> V:
        """The value of `key`, at most `seconds` old or loaded for this request. Raises what the load raises."""
        entry = self._entries.get(key)
        if entry is None or self._is_expired(entry):
            entry = _Entry(self._clock(), asyncio.ensure_future(self._load(key)))
            # Without this, asyncio would log a failure that nobody waits for any more, because its client hung up.
            entry.load.add_done_callback(lambda load: load.cancelled() or load.exception())
            self._entries[key] = entry
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        # A client that hangs up must not cancel the load, for which others may wait.
        return await asyncio.shield(entry.load)

    def _is_expired(self, entry: _Entry[V]) -> bool:
        load = entry.load
        if not load.done():
            return False
        has_failed = load.cancelled() or load.exception() is not None
        return has_failed or self._clock() - entry.requested_at >= self._seconds

    def __len__(self) -> int:
        return len(self._entries)

    async def _load(self, key: K) -> V:
        return await self._load_value(key)


def cached(*, seconds: float) -> Callable[[Callable[[C, K], Awaitable[V]]], Callable[[C, K], Awaitable[V]]]:
    """Decorator of `load(context, key)`: the values are kept in a `Cache` for `seconds`, by context and key."""

    def decorate(load: Callable[[C, K], Awaitable[V]]) -> Callable[[C, K], Awaitable[V]]:
        cache: Cache[tuple[C, K], V] = Cache(lambda place: load(*place), seconds=seconds)

        @functools.wraps(load)
        async def get(context: C, key: K) -> V:
            return await cache.get((context, key))

        return get

    return decorate
