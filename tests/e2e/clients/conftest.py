"""The ground of every client test: ingest and stager, a faulty proxy in front of ingest, a browser and a website.

`edge` belongs to one test: a source with its write key, the address of the proxy, and the touchpoints that arrived.
"""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, async_playwright

from tests.conftest import PARTITIONS, execute
from tests.e2e.clients.website import Website
from tests.e2e.conftest import run
from tests.e2e.faulty_proxy import FaultyProxy
from tests.support.stack import Service, Stack, until
from tests.support.topic import read_touchpoints
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.kit.kafka import ensure_topics
from throughline.local import LocalKafka, LocalPostgres
from throughline.store.access.sources import create_source
from throughline.store.access.write_keys import create_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

ARRIVE_SECONDS = 60.0
COMMAND_SECONDS = 60.0
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    # The name of a desktop browser: a HeadlessChrome is a crawler, whose events are in no journey.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
]


@dataclass
class Edge:
    """The source of one test, the proxy in front of ingest, and the touchpoints that arrived."""

    proxy: FaultyProxy
    ingest: Service
    write_key: str
    source: int
    kafka: str
    topic: str
    database: str

    @property
    def url(self) -> str:
        """The address to which clients send: the proxy's."""
        return self.proxy.url

    async def touchpoints(self) -> list[Touchpoint]:
        """The touchpoints of this test's source, each (actor, message id) once, as staging counts them."""
        everything = await read_touchpoints(self.kafka, self.topic)
        of_source = {(t.actor, t.message_id): t for t in everything if t.source == self.source}
        return sorted(of_source.values(), key=lambda touchpoint: (touchpoint.occurred_us, touchpoint.message_id))

    async def arrived(self, count: int) -> list[Touchpoint]:
        """The touchpoints, once exactly `count` of them are in Kafka and in PostgreSQL.

        Raises:
            AssertionError: fewer have arrived in time, or more.
        """
        arrived: list[Touchpoint] = []

        async def enough() -> bool:
            nonlocal arrived
            arrived = await self.touchpoints()
            return len(arrived) >= count

        await until(
            enough, seconds=ARRIVE_SECONDS, what=lambda: f"{count} touchpoints, not {len(arrived)}: {arrived[:3]}"
        )
        assert len(arrived) == count, arrived
        await self._staged(count)
        return arrived

    async def _staged(self, count: int) -> None:
        connection = await asyncpg.connect(self.database)
        staged = 0

        async def enough() -> bool:
            nonlocal staged
            staged = await connection.fetchval("select count(*) from touchpoints where source = $1", self.source)
            return bool(staged >= count)

        try:
            await until(enough, seconds=ARRIVE_SECONDS, what=lambda: f"{count} staged touchpoints, not {staged}")
        finally:
            await connection.close()
        assert staged == count

    async def wait_for(self, matches: Callable[[Touchpoint], bool]) -> list[Touchpoint]:
        """The touchpoints, once one of them matches."""
        arrived: list[Touchpoint] = []

        async def one_matches() -> bool:
            nonlocal arrived
            arrived = await self.touchpoints()
            return any(map(matches, arrived))

        await until(one_matches, seconds=ARRIVE_SECONDS, what=lambda: f"a touchpoint that matches among {arrived}")
        return arrived

    async def node(self, folder: Path, script: str, *arguments: str) -> str:
        """The output of a script of the Node project, run with `HOST` and `WRITE_KEY` in its environment."""
        return await run(
            "node", script, *arguments, folder=folder, seconds=COMMAND_SECONDS, HOST=self.url, WRITE_KEY=self.write_key
        )


@pytest.fixture(scope="session")
async def shared_stack(
    kafka: LocalKafka, postgres: LocalPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """Ingest and stager for all client tests, with their own topics and database."""
    name = f"clients-{uuid4().hex[:12]}"
    database = name.replace("-", "_")
    await execute(postgres.url, f"create database {database} template {template}")
    topics = (f"touchpoints-{name}", f"touchpoints-{name}.rejected")
    await ensure_topics(kafka.bootstrap, dict.fromkeys(topics, PARTITIONS))
    stack = Stack(kafka.bootstrap, postgres.url_of(database), *topics, tmp_path_factory.mktemp("clients"))
    await stack.provision()
    try:
        await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
        await stack.start("stager")
        yield stack
    finally:
        await stack.stop()
        await execute(postgres.url, f"drop database {database} with (force)")


@pytest.fixture
async def edge(shared_stack: Stack) -> AsyncIterator[Edge]:
    """A source and a proxy that no other test uses."""
    name = f"client-{uuid4().hex[:12]}"
    engine = create_engine(shared_stack.database)
    try:
        async with transaction(engine) as connection:
            source = await create_source(connection, shared_stack.workspace, name, now_us=now_us())
            key = await create_write_key(connection, shared_stack.workspace, name, now_us=now_us())
    finally:
        await engine.dispose()
    ingest = next(service for service in shared_stack.services if service.name == "ingest")
    async with httpx.AsyncClient(base_url=ingest.url) as client:

        async def key_is_accepted() -> bool:
            return (await client.get(f"/v1/projects/{key}/settings")).status_code == 200

        await until(key_is_accepted, what="the new key to be accepted by ingest")
    async with FaultyProxy(ingest.url) as proxy:
        yield Edge(proxy, ingest, key, source, shared_stack.kafka, shared_stack.touchpoints, shared_stack.database)


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A real browser."""
    executable = shutil.which("chromium") or "/usr/bin/chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def website(node_project: Path) -> AsyncIterator[Website]:
    """A website on another origin than ingest, whose pages use the SDKs."""
    async with Website(node_project) as site:
        yield site


def rest_value(touchpoint: Touchpoint, *path: str) -> Any:
    """The value at a path in the rest of a touchpoint."""
    value: Any = json.loads(touchpoint.rest)
    for name in path:
        value = value[name]
    return value
