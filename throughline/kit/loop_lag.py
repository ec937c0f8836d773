"""How long an event loop keeps its tasks waiting: what holds it holds health checks, heartbeats and neighbours too."""

import asyncio
from collections.abc import Callable

INTERVAL_SECONDS = 0.1


async def measure_loop_lag(observe: Callable[[float], object]) -> None:
    """Observe until cancelled how many seconds later than due a task of the running loop goes on."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_SECONDS
        await asyncio.sleep(INTERVAL_SECONDS)
        observe(max(0.0, loop.time() - due))
