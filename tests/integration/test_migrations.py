"""Migrations on a real server: many starters, a slow or absent server, other versions, and indexes without a lock."""

import asyncio
import logging
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.conftest import execute
from tests.stack import until
from throughline.local import LocalPostgres, free_port
from throughline.store.migrate import LOCK, MIGRATIONS, MigrateError, check, upgrade
from throughline.store.tables import metadata

# How a later revision adds an index to a partitioned table without stopping its writers (docs/store.md).
INDEX_REVISION = '''
"""An index on a table that is being written to."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX IF NOT EXISTS by_source ON ONLY touchpoints (source)")
        for leaf in range(8):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS by_source_p{leaf}")
            op.execute(f"CREATE INDEX CONCURRENTLY by_source_p{leaf} ON touchpoints_p{leaf} (source)")
            op.execute(f"ALTER INDEX by_source ATTACH PARTITION by_source_p{leaf}")
'''
BROKEN_REVISION = '''
"""Fails half way."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE half_way (id bigint)")
    op.execute("SELECT 1 / 0")
'''


@pytest.fixture
async def empty(postgres: LocalPostgres) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    name = f"empty_{secrets.token_hex(6)}"
    await execute(postgres.url, f"create database {name}")
    yield postgres.url_of(name)
    await execute(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """The migrations of a version with one more revision."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "r0002_index.py").write_text(INDEX_REVISION)
    return folder


async def fetch(url: str, query: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    return set(
        await fetch(
            url,
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition",
        )
    )


async def revision(url: str) -> str:
    return str((await fetch(url, "SELECT version_num FROM alembic_version"))[0])


async def test_eight_starters_at_once(empty: str) -> None:
    await asyncio.gather(*(upgrade(empty) for _ in range(8)))
    assert await tables(empty) == {*metadata.tables, "alembic_version"}
    assert await revision(empty) == "0001"


async def test_a_current_database_is_left_alone_even_while_another_process_has_the_lock(database: str) -> None:
    holder = await asyncpg.connect(database)
    try:
        await holder.execute("SELECT pg_advisory_lock($1)", LOCK)
        async with asyncio.timeout(20):
            await upgrade(database)
            await check(database)
    finally:
        await holder.close()


async def test_a_starter_waits_for_the_one_that_migrates_and_takes_over_when_that_dies(
    empty: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "throughline.store.migrate")

    async def said() -> bool:
        return "another process is migrating" in caplog.text

    holder = await asyncpg.connect(empty)
    await holder.execute("SELECT pg_advisory_lock($1)", LOCK)
    starter = asyncio.create_task(upgrade(empty))
    try:
        await until(said, what="the starter to say that it waits")
        assert not starter.done()
        assert await tables(empty) == set()
    finally:
        holder.terminate()
    async with asyncio.timeout(20):
        await starter
    assert "journeys" in await tables(empty)


async def test_an_index_is_built_without_a_lock_while_others_wait_to_start(empty: str, next_version: Path) -> None:
    await upgrade(empty)
    async with asyncio.timeout(60):
        await asyncio.gather(*(upgrade(empty, migrations=next_version) for _ in range(4)))
    assert await revision(empty) == "0002"
    assert await fetch(empty, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_source'::regclass") == [True]


async def test_a_newer_database_is_refused_in_plain_words(empty: str, next_version: Path) -> None:
    await upgrade(empty, migrations=next_version)
    for step in (upgrade, check):
        with pytest.raises(MigrateError, match=r"at schema revision 0002.* up to 0001: a newer version has migrated"):
            await step(empty)
    assert await revision(empty) == "0002"


async def test_a_revision_is_applied_wholly_or_not_at_all(empty: str, next_version: Path) -> None:
    (next_version / "versions" / "r0002_index.py").write_text(BROKEN_REVISION)
    with pytest.raises(Exception, match="division by zero"):
        await upgrade(empty, migrations=next_version)
    assert await revision(empty) == "0001"
    assert await tables(empty) == {*metadata.tables, "alembic_version"}
    await upgrade(empty)


async def test_an_empty_database_does_not_pass_the_check(empty: str) -> None:
    with pytest.raises(MigrateError, match="run `throughline migrate` first"):
        await check(empty)
    assert await tables(empty) == set()


async def test_it_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    late = LocalPostgres(tmp_path / "late")
    await late.start()
    url = late.url
    await late.stop()
    starter = asyncio.create_task(upgrade(url, wait_seconds=60))
    with pytest.raises(MigrateError, match="no PostgreSQL answers at"):
        await upgrade(url)
    assert not starter.done()
    await late.start()
    try:
        await starter
        assert "journeys" in await tables(url)
    finally:
        await late.stop()


async def test_what_cannot_work_is_said_at_once_and_without_the_password(postgres: LocalPostgres) -> None:
    nobody = f"postgresql://throughline:secret@127.0.0.1:{free_port()}/throughline"
    with pytest.raises(MigrateError, match="no PostgreSQL answers at postgresql://throughline@127") as absent:
        await upgrade(nobody)
    stranger = f"postgresql://throughline:secret@127.0.0.1:{postgres.port}/throughline"
    with pytest.raises(MigrateError, match="password authentication failed") as refused:
        await upgrade(stranger, wait_seconds=60)
    with pytest.raises(MigrateError, match='database "nowhere" does not exist'):
        await upgrade(postgres.url_of("nowhere"), wait_seconds=60)
    with pytest.raises(MigrateError, match="starts with postgresql://"):
        await upgrade("mysql://throughline:secret@127.0.0.1/throughline")
    assert "secret" not in f"{absent.value}{refused.value}"
