"""What every client test stands on: ingest and stager on real parts, a faulty proxy in front, a browser, a website.

`edge` is one test's own: a source with its key, the proxy's address, and what arrived of it.
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
from tests.e2e.fault import Fault
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
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"),
    # As people's browsers call themselves: what says HeadlessChrome is a crawler, and in nobody's journey.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
]


@dataclass
class Edge:
    """One test's way into the system."""

    fault: Fault
    ingest: Service
    write_key: str
    source: int
    kafka: str
    topic: str
    database: str

    @property
    def url(self) -> str:
        """Where clients send: the proxy."""
        return self.fault.url

    async def facts(self) -> list[Touchpoint]:
        """What came of this test's source, each event once: for its actor and message id, as staging counts it."""
        everything = await read_touchpoints(self.kafka, self.topic)
        own = {(t.actor, t.message_id): t for t in everything if t.source == self.source}
        return sorted(own.values(), key=lambda fact: (fact.occurred_us, fact.message_id))

    async def arrived(self, count: int) -> list[Touchpoint]:
        """The facts, once there are `count` of them, in Kafka and in PostgreSQL.

        Raises:
            AssertionError: there are not in time, or there are more.
        """
        found: list[Touchpoint] = []

        async def enough() -> bool:
            nonlocal found
            found = await self.facts()
            return len(found) >= count

        await until(enough, seconds=ARRIVE_SECONDS, what=lambda: f"{count} facts, not {len(found)}: {found[:3]}")
        assert len(found) == count, found
        await self._staged(count)
        return found

    async def _staged(self, count: int) -> None:
        connection = await asyncpg.connect(self.database)
        staged = 0

        async def enough() -> bool:
            nonlocal staged
            staged = await connection.fetchval("select count(*) from touchpoints where source = $1", self.source)
            return bool(staged >= count)

        try:
            await until(enough, seconds=ARRIVE_SECONDS, what=lambda: f"{count} staged facts, not {staged}")
        finally:
            await connection.close()
        assert staged == count

    async def some(self, wanted: Callable[[Touchpoint], bool]) -> list[Touchpoint]:
        """The facts, once one of them is wanted."""
        found: list[Touchpoint] = []

        async def there() -> bool:
            nonlocal found
            found = await self.facts()
            return any(wanted(fact) for fact in found)

        await until(there, seconds=ARRIVE_SECONDS, what=lambda: f"a wanted fact among {found}")
        return found

    async def node(self, folder: Path, script: str, *arguments: str) -> str:
        """Run a script of the Node project with `HOST` and `WRITE_KEY` in its environment; gives what it printed."""
        return await run(
            "node", script, *arguments, folder=folder, seconds=COMMAND_SECONDS, HOST=self.url, WRITE_KEY=self.write_key
        )


@pytest.fixture(scope="session")
async def stand(
    kafka: LocalKafka, postgres: LocalPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The services all client tests share, with topics and a database of their own."""
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
async def edge(stand: Stack) -> AsyncIterator[Edge]:
    """A source of this test's own, behind a proxy of its own."""
    name = f"client-{uuid4().hex[:12]}"
    engine = create_engine(stand.database)
    try:
        async with transaction(engine) as connection:
            source = await create_source(connection, stand.workspace, name, now_us=now_us())
            key = await create_write_key(connection, stand.workspace, name, now_us=now_us())
    finally:
        await engine.dispose()
    ingest = next(service for service in stand.services if service.name == "ingest")
    async with httpx.AsyncClient(base_url=ingest.url) as client:

        async def known() -> bool:
            return (await client.get(f"/v1/projects/{key}/settings")).status_code == 200

        await until(known, what="the new key known to ingest")
    async with Fault(ingest.url) as fault:
        yield Edge(fault, ingest, key, source, stand.kafka, stand.touchpoints, stand.database)


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
    """A website at an address of its own, whose pages use the SDKs."""
    async with Website(node_project) as site:
        yield site


def inside(fact: Touchpoint, *path: str) -> Any:
    """What stands at a path in a fact's rest."""
    value: Any = json.loads(fact.rest)
    for name in path:
        value = value[name]
    return value
