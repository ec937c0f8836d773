"""One real Kafka and one real PostgreSQL for the whole session, in temporary folders, on free ports."""

import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import settings
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.memory_folder import memory_folder
from tests.support.stack import ROLE_PASSWORD, Stack
from tests.support.statement_rules import broken_on_citus
from throughline.kit.kafka import ensure_topics
from throughline.local import LocalKafka, LocalPostgres
from throughline.store import migrate
from throughline.store.engine.pool import create_engine
from throughline.store.roles import Role

PARTITIONS = 4

# The same cases at every `make test`, so that a failure comes from a change; new cases at every `make test-deep`.
# No more than these, since the laws on PostgreSQL stage a log for each, and the whole run has to take under 25 minutes.
settings.register_profile("steady", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("deep", max_examples=10_000, deadline=None)
settings.load_profile("steady")


_statements: set[str] = set()


@event.listens_for(Engine, "before_cursor_execute")
def require_rules(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    """Every statement that is sent in this process keeps Citus's rules; migrations run before tables are spread."""
    if statement not in _statements and (broken := broken_on_citus(statement)) and not _is_migrating():
        raise AssertionError(f"{'; '.join(broken)}:\n{statement}")
    _statements.add(statement)


def _is_migrating() -> bool:
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if "migrations" in Path(frame.f_code.co_filename).parts:
            return True
    return False


@dataclass(frozen=True)
class Topics:
    """The names of the topics of one test."""

    touchpoints: str
    rejected: str
    partitions: int = PARTITIONS


@pytest.fixture(scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalKafka]:
    """The session's broker. A test that kills it must start it again."""
    async with LocalKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalPostgres]:
    """The session's server. A test that kills it must start it again."""
    with memory_folder(tmp_path_factory.mktemp("postgres")) as folder:
        async with LocalPostgres(folder / "postgres") as server:
            yield server


@pytest.fixture(scope="session")
async def template(postgres: LocalPostgres) -> str:
    """The name of a migrated database that nobody connects to, to copy from."""
    await execute(postgres.url, "create database template_migrated")
    passwords = dict.fromkeys(Role, ROLE_PASSWORD)
    await migrate.upgrade(postgres.url_of("template_migrated"), passwords=passwords)
    return "template_migrated"


@pytest.fixture
async def database(postgres: LocalPostgres, template: str) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    await execute(postgres.url, f"create database {name} template {template}")
    yield postgres.url_of(name)
    await execute(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """An engine on this test's database."""
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest.fixture
async def topics(kafka: LocalKafka) -> Topics:
    """Fresh topics: `touchpoints-<hex>` and `touchpoints-<hex>.rejected`, four partitions each."""
    name = f"touchpoints-{secrets.token_hex(6)}"
    names = Topics(touchpoints=name, rejected=f"{name}.rejected")
    await ensure_topics(kafka.bootstrap, {names.touchpoints: PARTITIONS, names.rejected: PARTITIONS})
    return names


@pytest.fixture
async def stack(kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Stack]:
    """A provisioned workspace on this test's database and topics; what is started in it is stopped afterwards."""
    stack = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    yield stack
    await stack.stop()


async def execute(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
