"""Many askers, one question: a value is loaded once however many wait for it, and kept for a short while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(NamedTuple, Generic[V]):
    asked: float
    task: "asyncio.Task[V]"


class Cache(Generic[K, V]):
    """Per key, `load` starts at most once per `seconds`; askers in between share its answer.

    A value's age counts from the moment it was asked for, so nobody sees one older than `seconds` plus the time of one
    load. A failure reaches those who wait for it and is not kept. Holds at most `size` keys.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        seconds: float,
        size: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()

    async def get(self, key: K) -> V:
        """The value of `key`, at most `seconds` old, or loaded now. Raises what the load raises."""
        entry = self._entries.get(key)
        if entry is None or self._is_over(entry):
            entry = _Entry(self._clock(), asyncio.ensure_future(self._loaded(key)))
            # A failure nobody waits for any more (its asker hung up) is not worth a warning.
            entry.task.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._entries[key] = entry
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        # An asker who goes away must not take the answer from the others.
        return await asyncio.shield(entry.task)

    def _is_over(self, entry: _Entry[V]) -> bool:
        task = entry.task
        if not task.done():
            return False
        failed = task.cancelled() or task.exception() is not None
        return failed or self._clock() - entry.asked >= self._seconds

    def __len__(self) -> int:
        return len(self._entries)

    async def _loaded(self, key: K) -> V:
        return await self._load(key)
