"""Clients under load, as libraries behave: what is not acknowledged is sent again."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.events import event
from tests.support.stack import Service, until


class Load:
    """Clients that send one batch after the other, and again what was not acknowledged, as libraries do.

    `make` gives the event of a number; each client pauses for `pause_s` after a batch.
    """

    def __init__(
        self,
        ingest: Service,
        key: str,
        clients: int = 8,
        *,
        make: Callable[[int], dict[str, Any]] = event,
        pause_s: float = 0.0,
    ) -> None:
        self.acknowledged: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.retry_after: set[str | None] = set()
        self.longest_wait_s = 0.0
        """From sending a batch for the first time to its 200."""
        self._ingest = ingest
        self._key = key
        self._make = make
        self._pause_s = pause_s
        self._number = 0
        self._stopping = False
        self._tasks = [asyncio.create_task(self._send()) for _ in range(clients)]

    async def _send(self) -> None:
        async with httpx.AsyncClient(base_url=self._ingest.url, auth=(self._key, ""), timeout=60) as client:
            while not self._stopping:
                first = self._number
                self._number += 10
                events = [self._make(number) for number in range(first, first + 10)]
                first_sent = time.monotonic()
                while not self._stopping:
                    try:
                        answer = await client.post("/v1/batch", json={"batch": events})
                    except httpx.HTTPError:
                        self.statuses[0] += 1
                        await asyncio.sleep(0.05)
                        continue
                    self.statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        self.acknowledged.update(str(each["messageId"]) for each in events)
                        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - first_sent)
                        break
                    self.retry_after.add(answer.headers.get("retry-after"))
                    await asyncio.sleep(0.05)
                await asyncio.sleep(self._pause_s)

    async def reaches(self, status: int, more: int = 1, seconds: float = 60) -> None:
        """Wait until `status` was answered `more` times from now on."""
        before = self.statuses[status]

        async def reached() -> bool:
            return self.statuses[status] >= before + more

        await until(reached, seconds=seconds, what=lambda: f"{more} times {status}: {self.statuses}")

    async def stop(self) -> None:
        """End, after what is under way."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
