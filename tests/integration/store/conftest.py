"""A database that is not migrated."""

import secrets
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import execute
from throughline.local import LocalPostgres
from throughline.store.engine.pool import create_engine


@pytest.fixture
async def empty(postgres: LocalPostgres, template: str) -> AsyncIterator[str]:
    """The URL of a database without tables, on a server whose roles have passwords since the `template`."""
    name = f"empty_{secrets.token_hex(6)}"
    await execute(postgres.url, f"create database {name}")
    yield postgres.url_of(name)
    await execute(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
async def empty_engine(empty: str) -> AsyncIterator[AsyncEngine]:
    """An engine on that database."""
    engine = create_engine(empty)
    yield engine
    await engine.dispose()
