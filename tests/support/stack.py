"""The services as a user runs them: each its own process, on the session's Kafka and PostgreSQL."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.fork_server import ForkedChild
from throughline.kit.clock import now_us
from throughline.local import Child, free_port
from throughline.store.access.modes import Scope
from throughline.store.access.read_tokens import create_read_token
from throughline.store.access.sources import create_source
from throughline.store.access.workspaces import create_workspace
from throughline.store.access.write_keys import create_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction
from throughline.store.roles import Role, url_in_role

HOST = "127.0.0.1"
OPERATOR_SECRET = "an-operator-of-the-tests"
"""What the tests' ingest believes replays by."""
ROLE_PASSWORD = "role/pass:word@%42?&#"
"""With which the services of every test log in: its signs mean something in a URL."""
ENCRYPTION_KEY = "dGhpcnR5LXR3byBieXRlcywgb2Ygbm8gc2VjcmVjeSE="
"""Of ingest and of the command in every test."""


@dataclass
class Service:
    """One running service process."""

    name: str
    url: str
    child: Child

    async def ready(self, *, seconds: float = 60) -> None:
        """Wait until /readyz says so."""
        async with httpx.AsyncClient(timeout=5) as client:

            async def answers() -> bool:
                assert self.child.running, f"{self.name} has ended:\n{self.child.tail(40)}"
                try:
                    return (await client.get(f"{self.url}/readyz")).status_code == 200
                except httpx.HTTPError:
                    return False

            await until(answers, seconds=seconds, what=lambda: f"{self.name} ready:\n{self.child.tail(40)}")

    async def metrics(self) -> dict[str, float]:
        """Samples by name and labels, as Prometheus would scrape them."""
        async with httpx.AsyncClient(timeout=30) as client:
            text = (await client.get(f"{self.url}/metrics")).text
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


@dataclass
class Stack:
    """The processes of one test, and the workspace they serve."""

    kafka: str
    database: str
    touchpoints: str
    rejected: str
    folder: Path
    workspace: str = "shop"
    write_key: str = ""
    read_token: str = ""
    workspace_id: int = 0
    model: int = 0
    services: list[Service] = field(default_factory=list)
    partitions: int = 4
    """Of the touchpoints topic."""

    async def provision(self, *, with_read_token: bool = True) -> None:
        """A workspace with one source, one write key and one read token."""
        engine = create_engine(self.database)
        try:
            async with transaction(engine) as connection:
                now = now_us()
                self.workspace_id = await create_workspace(connection, self.workspace, now_us=now)
                await create_source(connection, self.workspace, "web", now_us=now)
                self.write_key = await create_write_key(connection, self.workspace, "web", now_us=now)
                if with_read_token:
                    self.read_token = await create_read_token(connection, self.workspace, "dashboard", now_us=now)
        finally:
            await engine.dispose()

    async def admin_token(self) -> str:
        """A new token of the workspace that may administer."""
        engine = create_engine(self.database)
        try:
            async with transaction(engine) as connection:
                return await create_read_token(connection, self.workspace, "office", scope=Scope.ADMIN, now_us=now_us())
        finally:
            await engine.dispose()

    async def start(self, name: str, *, ready: bool = True, **variables: str) -> Service:
        """Start `python -m services.NAME` on a free port."""
        port = free_port()
        environment = {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "PYTHONPATH")},
            "KAFKA": self.kafka,
            "DATABASE_URL": url_in_role(self.database, Role[name.upper()], ROLE_PASSWORD),
            "TOUCHPOINTS_TOPIC": self.touchpoints,
            "REJECTED_TOPIC": self.rejected,
            "CONSUMER_GROUP": f"group-{self.touchpoints}",
            "OPERATOR_SECRET": OPERATOR_SECRET,
            "ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "HOST": HOST,
            "PORT": str(port),
            **variables,
        }
        number = sum(service.name == name for service in self.services)
        child = ForkedChild(
            name,
            [sys.executable, "-m", f"services.{name}"],
            log=self.folder / f"{name}-{number}.log",
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        await child.start()
        service = Service(name, f"http://{HOST}:{port}", child)
        self.services.append(service)
        if ready:
            await service.ready()
        return service

    async def stop(self) -> None:
        """Stop everything, newest first."""
        for service in reversed(self.services):
            await service.child.stop()

    def api(self, service: Service) -> httpx.AsyncClient:
        """A client of a running api, with the workspace's read token."""
        return httpx.AsyncClient(
            base_url=service.url, headers={"Authorization": f"Bearer {self.read_token}"}, timeout=30
        )


async def until(
    condition: Callable[[], Awaitable[Any]], *, seconds: float = 60, what: Callable[[], str] | str = "it"
) -> Any:
    """Wait until a condition is true. Returns its value.

    Raises:
        AssertionError: it is still false after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.05)
