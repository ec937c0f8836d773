"""Scripted customers: clients that send what a seed says, and each batch again until it is answered 200."""

import asyncio
import random
import time
from collections import Counter
from typing import Any, NamedTuple

import httpx

from tests.strategies.touchpoints import NAMES
from throughline.kit.clock import now_us, rfc3339

CLIENTS = 8
BATCH_EVENTS = 6
RETRY_S = 0.2
REPEATED = 0.03
"""Share of batches sent once more although they were answered 200, as by a client that lost the answer."""
DAY_US = 86_400_000_000
LONG_AGO_US = 1_700_000_000_000_000
RECENT = 0.2
"""Share of events of the last hour, whose journeys must not lapse; all others lapsed long ago."""


class Sent(NamedTuple):
    """What an event said that must be on the log."""

    actor: str
    name: str


class Customers:
    """`count` customers behind a few clients; `events_per_second` over all of them."""

    def __init__(self, url: str, key: str, *, seed: int, count: int, events_per_second: float) -> None:
        self.acknowledged: dict[str, Sent] = {}
        self.statuses: Counter[int] = Counter()
        """0: no answer."""
        self.longest_wait_s = 0.0
        """From sending a batch for the first time to its 200."""
        self._url = url
        self._auth = (key, "")
        self._seed = seed
        self._count = count
        self._pause_s = CLIENTS * BATCH_EVENTS / 2 / events_per_second
        self._stopping = False
        self._clients: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send."""
        self._clients = [asyncio.create_task(self._send(number)) for number in range(CLIENTS)]

    async def stop(self) -> None:
        """End once every event is acknowledged."""
        self._stopping = True
        await asyncio.gather(*self._clients)

    async def _send(self, client: int) -> None:
        dice = random.Random(self._seed * 1_000 + client)
        number = 0
        async with httpx.AsyncClient(base_url=self._url, auth=self._auth, timeout=30) as http:
            while not self._stopping:
                batch = []
                for _ in range(dice.randint(1, BATCH_EVENTS)):
                    batch.append(self._event(dice, f"s{self._seed}-{client}-{number}"))
                    number += 1
                await self._deliver(http, batch)
                if dice.random() < REPEATED:
                    await self._deliver(http, batch)
                await asyncio.sleep(dice.uniform(0, 2 * self._pause_s))

    async def _deliver(self, http: httpx.AsyncClient, batch: list[dict[str, Any]]) -> None:
        began = time.monotonic()
        status = -1
        while status != 200:
            try:
                status = (await http.post("/v1/batch", json={"batch": batch})).status_code
            except httpx.HTTPError:
                status = 0
            self.statuses[status] += 1
            if status != 200:
                await asyncio.sleep(RETRY_S)
        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - began)
        for event in batch:
            actor = event.get("userId") or event["anonymousId"]
            self.acknowledged[event["messageId"]] = Sent(actor, event.get("event", ""))

    def _event(self, dice: random.Random, message_id: str) -> dict[str, Any]:
        number = dice.randrange(self._count)
        # A device is usually its owner's, and now and then somebody else's.
        device = number if dice.random() < 0.97 else dice.randrange(self._count)
        recent = dice.random() < RECENT
        at_us = now_us() - dice.randrange(3_600_000_000) if recent else LONG_AGO_US + dice.randrange(200 * DAY_US)
        event: dict[str, Any] = {"messageId": message_id, "timestamp": rfc3339(at_us)}
        who = dice.choice(["user"] * 10 + ["anonymous"] * 8 + ["both"] * 2)
        if who != "anonymous":
            event["userId"] = f"customer-{number}"
        if who != "user":
            event["anonymousId"] = f"device-{device}"
        if dice.random() < 0.01:
            previous = f"customer-{dice.randrange(self._count)}"
            return event | {"type": "alias", "userId": f"customer-{number}", "previousId": previous}
        event |= {"type": "track", "event": dice.choice(NAMES)}
        if "Order" in event["event"]:
            order = f"{number}-{dice.randrange(2)}"
            event["properties"] = {"order_id": order, "revenue": dice.randrange(1, 90), "currency": "EUR"}
        return event
