"""The cache that many clients share."""

import asyncio
from typing import Any

from services.api.shared.cache import Cache, cached


async def test_many_requests_share_one_load_and_a_late_one_loads_again() -> None:
    now = 0.0
    loads = 0

    async def load(key: str) -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return loads

    cache = Cache(load, seconds=0.25, clock=lambda: now)
    assert await asyncio.gather(*(cache.get("a") for _ in range(50))) == [1] * 50
    now = 0.24
    assert await cache.get("a") == 1
    now = 0.25
    assert await cache.get("a") == 2
    assert await cache.get("b") == 3


async def test_a_failure_reaches_those_who_wait_and_is_not_kept() -> None:
    answers: list[Any] = [OSError("away"), "loaded"]

    async def load(_: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    cache = Cache(load, seconds=60)
    errors = await asyncio.gather(cache.get("a"), cache.get("a"), return_exceptions=True)
    assert [type(error) for error in errors] == [OSError, OSError]
    assert await cache.get("a") == "loaded"


async def test_a_client_that_hangs_up_takes_nothing_from_the_others() -> None:
    go = asyncio.Event()

    async def load(_: str) -> str:
        await go.wait()
        return "loaded"

    cache = Cache(load, seconds=60)
    leaving, staying = asyncio.create_task(cache.get("a")), asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    go.set()
    assert await staying == "loaded"


async def test_invented_keys_do_not_grow_memory() -> None:
    async def load(key: int) -> int:
        return key

    cache = Cache(load, seconds=60, size=8)
    for key in range(1000):
        assert await cache.get(key) == key
    assert len(cache) == 8


async def test_a_cached_function_tells_contexts_and_keys_apart() -> None:
    loads: list[tuple[str, int]] = []

    @cached(seconds=60)
    async def load(context: str, key: int) -> int:
        loads.append((context, key))
        return len(loads)

    places = [("a", 1), ("a", 1), ("b", 1), ("a", 2)]
    assert await asyncio.gather(*(load(*place) for place in places)) == [1, 1, 2, 3]
    assert await load("a", 1) == 1
    assert loads == [("a", 1), ("b", 1), ("a", 2)]
