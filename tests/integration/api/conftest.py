"""The api alone: a database with rows that tests write, and no Kafka."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.rows import Rows
from tests.support.stack import Service, Stack


@pytest.fixture
async def stack(database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A provisioned workspace; nothing answers at the address of its Kafka."""
    stack = Stack("127.0.0.1:1", database, "touchpoints", "touchpoints.rejected", tmp_path)
    await stack.provision()
    yield stack
    await stack.stop()


@pytest.fixture
async def rows(stack: Stack) -> AsyncIterator[Rows]:
    """What stager would have written to the workspace."""
    async with Rows(stack.database, stack.workspace_id) as rows:
        yield rows


@pytest.fixture
async def service(stack: Stack) -> Service:
    """The api's process."""
    return await stack.start("api")


@pytest.fixture
async def api(stack: Stack, service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the api with the workspace's read token."""
    async with stack.api(service) as client:
        yield client
