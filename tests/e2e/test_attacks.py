"""One customer that would need all the work there is: it waits, and nobody waits for it.

Each attack is what anybody with a public write key can send. Meanwhile another workspace sends one event a second, and
every one of them must be visible soon.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import httpx
import psutil

from tests.support.stack import Service, Stack, until
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import create_read_token
from throughline.store.access.sources import create_source
from throughline.store.access.workspaces import create_workspace
from throughline.store.access.write_keys import create_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

IDS = 20_000
BATCH = 2_000
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
VISIBLE_SECONDS = 30.0
"""Wide, because tests share their processors. Before there were limits a neighbour waited for minutes."""
RESIDENT_BYTES = 512 * 1024 * 1024
LOOP_LAG_SECONDS = 1.0


class Neighbour:
    """Another workspace that sends an event a second, and what it saw."""

    def __init__(self, stack: Stack, ingest: Service, api: Service, stager: Service) -> None:
        self.visible_seconds: list[float] = []
        self.watermark_age_seconds: list[float] = []
        self.resident_bytes: list[int] = []
        self._stack, self._ingest, self._api, self._stager = stack, ingest, api, stager

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Neighbour"]:
        """Send and look while the block runs."""
        key, token = await self._provision()
        async with (
            httpx.AsyncClient(base_url=self._ingest.url, auth=(key, ""), timeout=10) as ingest,
            httpx.AsyncClient(base_url=self._api.url, headers={"Authorization": f"Bearer {token}"}, timeout=10) as api,
            asyncio.TaskGroup() as tasks,
        ):

            async def is_known() -> bool:
                return (await ingest.post("/v1/batch", json={"batch": []})).status_code == 200

            await until(is_known, what="the neighbour's key to take effect")
            watch = tasks.create_task(self._watch(ingest, api))
            try:
                yield self
            finally:
                watch.cancel()

    async def _provision(self) -> tuple[str, str]:
        engine = create_engine(self._stack.database)
        try:
            async with transaction(engine) as connection:
                now = now_us()
                await create_workspace(connection, "neighbour", now_us=now)
                await create_source(connection, "neighbour", "web", now_us=now)
                key = await create_write_key(connection, "neighbour", "web", now_us=now)
                token = await create_read_token(connection, "neighbour", "dashboard", now_us=now)
        finally:
            await engine.dispose()
        return key, token

    async def _watch(self, ingest: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
        process = psutil.Process(self._stager.child.pid)
        number = 0
        while True:
            began = time.monotonic()
            number += 1
            event = {"userId": f"n{number}", "event": "Product Viewed", "messageId": f"n{number}"}
            (await ingest.post("/v1/track", json=event)).raise_for_status()
            sent = time.monotonic()

            async def is_visible(customer: str = f"n{number}") -> bool:
                return (await api.get(f"/v1/customers/{customer}/journey")).status_code == 200

            await until(is_visible, seconds=60, what=f"event {number} of the neighbour")
            self.visible_seconds.append(time.monotonic() - sent)
            as_of = (await api.get("/v1/phases/counts")).json()["as_of"]
            if as_of is not None:
                age = datetime.now(UTC) - datetime.fromisoformat(as_of)
                self.watermark_age_seconds.append(age.total_seconds())
            self.resident_bytes.append(process.memory_info().rss)
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - began)))


def one_user_many_devices() -> Iterator[dict[str, Any]]:
    """One user id beside as many anonymous ids as there are events: a common bug of clients, too."""
    for number in range(IDS):
        yield {
            "type": "track",
            "event": "Product Viewed",
            "userId": "everybody",
            "anonymousId": f"device-{number}",
            "messageId": f"m{number}",
            "timestamp": (START + timedelta(seconds=number)).isoformat(),
        }


def chain_of_aliases() -> Iterator[dict[str, Any]]:
    """Each id becomes the next one."""
    for number in range(IDS):
        yield {
            "type": "alias",
            "previousId": f"link-{number}",
            "userId": f"link-{number + 1}",
            "messageId": f"a{number}",
            "timestamp": (START + timedelta(seconds=number)).isoformat(),
        }


async def attack(stack: Stack, events: Iterator[dict[str, Any]], sent: int) -> None:
    """Send events beside a neighbour, and check what the neighbour saw; in the end all of them are staged."""
    # As from several requests: ingest would refuse most of the links of one.
    ingest = await stack.start("ingest", MAX_REQUEST_LINKS=str(IDS))
    stager = await stack.start("stager")
    api = await stack.start("api")
    neighbour = Neighbour(stack, ingest, api, stager)
    async with neighbour.watching():
        async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=60) as client:
            while batch := list(islice(events, BATCH)):
                (await client.post("/v1/batch", json={"batch": batch})).raise_for_status()

        async def is_staged() -> bool:
            metrics = await stager.metrics()
            return metrics.get('throughline_stager_records_total{outcome="staged"}', 0) >= sent

        await until(is_staged, seconds=120, what="all events of the attack")
        seen = len(neighbour.resident_bytes)

        async def has_seen_more() -> bool:
            return len(neighbour.resident_bytes) > seen + 1

        await until(has_seen_more, seconds=60, what="the neighbour to be served after the attack, too")
    metrics = await stager.metrics()
    assert max(neighbour.visible_seconds) < VISIBLE_SECONDS, neighbour.visible_seconds
    assert max(neighbour.watermark_age_seconds) < VISIBLE_SECONDS, neighbour.watermark_age_seconds
    assert max(neighbour.resident_bytes) < RESIDENT_BYTES
    lag = "throughline_stager_loop_lag_seconds"
    assert metrics[f'{lag}_bucket{{le="{LOOP_LAG_SECONDS}"}}'] == metrics[f"{lag}_count"], metrics


async def test_one_user_with_twenty_thousand_devices(stack: Stack) -> None:
    await attack(stack, one_user_many_devices(), IDS)


async def test_an_alias_chain_of_twenty_thousand(stack: Stack) -> None:
    await attack(stack, chain_of_aliases(), IDS)
