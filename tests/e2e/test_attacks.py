"""One customer that would need all the work there is: it waits, and nobody waits for it.

Each attack is what anybody with a public write key can send. Meanwhile another workspace sends one event a second, and
every one of them must be visible soon.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import asyncpg
import httpx
import psutil
import pytest

from services.stager.stage.identity import MAX_CUSTOMER_IDS
from tests.support.shop import START_US, expect, expect_folded, send, staged_through
from tests.support.stack import Service, Stack, until
from tests.support.topic import read_touchpoints
from throughline.journey.durations import MINUTE_US
from throughline.journey.lapse import EVER
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import create_read_token
from throughline.store.access.sources import create_source
from throughline.store.access.workspaces import create_workspace
from throughline.store.access.write_keys import create_write_key
from throughline.store.digest import id_digest, message_digest
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction
from throughline.store.facts import insert_touchpoints, parameters_of, row_of
from throughline.store.generations import read_generations
from throughline.store.identity import lock_ids
from throughline.store.recomputations import mark

IDS = 20_000
BATCH = 2_000
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
VISIBLE_SECONDS = 2.0
WATERMARK_SECONDS = 5.0
PATIENCE, PATIENCE_WHEN_BUSY = 2, 8
"""How many times as long an event may wait, and how many per cent of the loop's ticks may be late, on two processors,
which an attack shares with all that it attacks; and when others use these processors too."""
RESIDENT_BYTES = 512 * 1024 * 1024
LOOP_LAG_SECONDS = 0.2


class Neighbour:
    """Another workspace that sends an event a second, and what it saw."""

    def __init__(self, stack: Stack, services: "Services") -> None:
        self.visible_seconds: list[float] = []
        self.watermark_age_seconds: list[float] = []
        self.resident_bytes: list[int] = []
        self._stack = stack
        self._ingest, self._stager, self._api = services

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

    def _log_of_stager(self) -> str:
        return f"an event of the neighbour\n{self._stager.child.tail(20)}"

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

            await until(is_visible, seconds=60, what=self._log_of_stager)
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


class Services(NamedTuple):
    """What runs."""

    ingest: Service
    stager: Service
    api: Service


async def start(stack: Stack) -> Services:
    """Start one process of each service."""
    # As from several requests: ingest would refuse most of the links of one.
    ingest = await stack.start("ingest", MAX_REQUEST_LINKS=str(IDS))
    return Services(ingest, await stack.start("stager"), await stack.start("api"))


async def attack(services: Services, stack: Stack, send: Callable[[], Awaitable[None]]) -> None:
    """Attack beside a neighbour, and check what the neighbour saw. `send` returns when nothing is left to do."""
    has_company = "PYTEST_XDIST_WORKER" in os.environ  # the other half of the tests
    is_busy = has_company or os.getloadavg()[0] > (os.cpu_count() or 1)
    patience = PATIENCE_WHEN_BUSY if is_busy else PATIENCE
    neighbour = Neighbour(stack, services)
    async with neighbour.watching():
        await send()
        seen = len(neighbour.resident_bytes)

        async def has_seen_more() -> bool:
            return len(neighbour.resident_bytes) > seen + 1

        await until(has_seen_more, seconds=60, what="the neighbour to be served after the attack, too")
    metrics = await services.stager.metrics()
    lag = "throughline_stager_loop_lag_seconds"
    late = metrics[f"{lag}_count"] - metrics[f'{lag}_bucket{{le="{LOOP_LAG_SECONDS}"}}']
    print(
        f"visible {max(neighbour.visible_seconds):.2f} s, as_of {max(neighbour.watermark_age_seconds):.2f} s old, "
        f"resident {max(neighbour.resident_bytes) >> 20} MB, {late:.0f} of {metrics[f'{lag}_count']:.0f} ticks late, "
        f"{len(neighbour.visible_seconds)} events"
    )
    assert max(neighbour.visible_seconds) < patience * VISIBLE_SECONDS, neighbour.visible_seconds
    assert max(neighbour.watermark_age_seconds) < patience * WATERMARK_SECONDS, neighbour.watermark_age_seconds
    assert max(neighbour.resident_bytes) < RESIDENT_BYTES
    assert late <= patience * metrics[f"{lag}_count"] / 100, metrics


async def attack_by_requests(stack: Stack, events: Iterator[dict[str, Any]], sent: int) -> None:
    """Send events; in the end all of them are staged."""
    services = await start(stack)

    async def send_all() -> None:
        async with httpx.AsyncClient(base_url=services.ingest.url, auth=(stack.write_key, ""), timeout=60) as client:
            while batch := list(islice(events, BATCH)):
                (await client.post("/v1/batch", json={"batch": batch})).raise_for_status()

        async def is_staged() -> bool:
            metrics = await services.stager.metrics()
            return metrics.get('throughline_stager_records_total{outcome="staged"}', 0) >= sent

        await until(is_staged, seconds=120, what="all events of the attack")

    await attack(services, stack, send_all)


async def test_one_user_with_twenty_thousand_devices(stack: Stack) -> None:
    await attack_by_requests(stack, one_user_many_devices(), IDS)
    assert len(await links_made(stack)) == MAX_CUSTOMER_IDS - 1
    await expect_folded(stack, await log_of(stack))


async def test_an_alias_chain_of_twenty_thousand(stack: Stack) -> None:
    await attack_by_requests(stack, chain_of_aliases(), IDS)
    links = await links_made(stack)

    def without_refused_link(t: Touchpoint) -> Touchpoint:
        link = id_digest(t.workspace, t.previous_id), id_digest(t.workspace, t.user_id)
        return t if link in links else t._replace(previous_id="")

    # Which links are refused, because a customer has as many ids as it may have, is a matter of their order.
    assert len(links) > IDS * 0.9
    await expect(stack, [without_refused_link(t) for t in await log_of(stack)])


async def links_made(stack: Stack) -> set[tuple[bytes, bytes]]:
    """The links that were not refused: (digest of an id, digest of its owner)."""
    connection = await asyncpg.connect(stack.database)
    try:
        return {(row["id"], row["owner"]) for row in await connection.fetch("SELECT id, owner FROM links")}
    finally:
        await connection.close()


async def log_of(stack: Stack) -> list[Touchpoint]:
    """What is on the topic of the workspace that is attacked."""
    return [t for t in await read_touchpoints(stack.kafka, stack.touchpoints) if t.workspace == stack.workspace_id]


@pytest.mark.parametrize("touchpoints", [100_000, pytest.param(1_000_000, marks=pytest.mark.deep)])
async def test_a_late_first_order_before_a_long_history(stack: Stack, touchpoints: int) -> None:
    history = long_history(stack, touchpoints)
    await store(stack, history)
    services = await start(stack)
    await until(lambda: is_computed(stack), seconds=400, what="the history to be computed")
    late = history[0]._replace(
        occurred_us=history[0].occurred_us - MINUTE_US, message_id="late", name="Order Completed", order_id="first"
    )
    recomputing: list[bool] = []

    async def send_late() -> None:
        await send(stack, [late])
        await staged_through(stack)

        async with stack.api(services.api) as client:

            async def is_recomputed() -> bool:
                recomputing.append((await client.get("/v1/customers/regular/journey?limit=1")).json()["recomputing"])
                return not recomputing[-1]

            await until(is_recomputed, seconds=400, what="the long history to be recomputed")

    await attack(services, stack, send_late)
    assert recomputing[0]
    await expect_folded(stack, [*history, late])


async def store(stack: Stack, history: list[Touchpoint]) -> None:
    """Store the touchpoints of one customer as if they were staged, and leave its journey to be computed."""
    engine = create_engine(stack.database)
    digest = id_digest(stack.workspace_id, history[0].actor)
    try:
        for first in range(0, len(history), 10_000):
            rows = sorted(row_of(digest, message_digest(t.message_id), t) for t in history[first : first + 10_000])
            async with transaction(engine) as connection:
                await insert_touchpoints(connection, rows, parameters_of(rows))
        async with transaction(engine) as connection:
            await lock_ids(connection, [(stack.workspace_id, digest, history[0].actor, True)])
            of_workspace = (await read_generations(connection))[stack.workspace_id]
            await mark(connection, [(digest, g.id, g.workspace, EVER) for g in of_workspace.generations], now_us())
    finally:
        await engine.dispose()


async def is_computed(stack: Stack) -> bool:
    """Whether no journey waits to be recomputed."""
    connection = await asyncpg.connect(stack.database)
    try:
        return not await connection.fetchval("SELECT count(*) FROM recomputations")
    finally:
        await connection.close()


def long_history(stack: Stack, count: int) -> list[Touchpoint]:
    """What a regular customer does in years: looks, carts, and now and then an order."""
    viewed = Touchpoint(
        START_US,
        0,
        "",
        "regular",
        "track",
        "Product Viewed",
        stack.workspace_id,
        1,
        "direct",
        START_US,
        user_id="regular",
    )
    log = []
    for number in range(count):
        name, order = (
            ("Order Completed", f"o{number // 20_000}") if number % 20_000 == 19_999 else ("Product Viewed", "")
        )
        at_us = START_US + number * MINUTE_US
        log.append(viewed._replace(occurred_us=at_us, message_id=f"h{number}", name=name, order_id=order))
    return log
