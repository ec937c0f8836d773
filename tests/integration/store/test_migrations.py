"""Migrations on a real server: many starters, a slow or absent server, other versions, and indexes without a lock."""

import asyncio
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.stager.stage.decode import prepare
from services.stager.stage.models import WorkspaceModels
from tests.conftest import Topics, execute
from tests.reference import Customer, replay
from tests.reference.funnel import Cells
from tests.reference.trail import Told, Trail
from tests.support.projection import assert_same, read_projection
from tests.support.stack import Stack, until
from throughline.journey.identity import ALIAS, IDENTIFY
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import MIN_US, now_us
from throughline.local import LocalKafka, LocalPostgres, free_port
from throughline.store.facts import TOUCHPOINT_COLUMNS
from throughline.store.migrate import LOCK, MIGRATIONS, MigrateError, check, upgrade
from throughline.store.schema import metadata
from throughline.wire.codec import encode

LAST = max(file.name[1:5] for file in (MIGRATIONS / "versions").glob("r*.py"))
"""The newest revision there is."""
NEXT = f"{int(LAST) + 1:04}"

# How a later revision adds an index to a partitioned table without stopping its writers (docs/reference/store.md).
INDEX_REVISION = f'''
"""An index on a table that is being written to."""

from alembic import op

revision = "{NEXT}"
down_revision = "{LAST}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX IF NOT EXISTS by_source ON ONLY touchpoints (source)")
        for leaf in range(8):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS by_source_p{{leaf}}")
            op.execute(f"CREATE INDEX CONCURRENTLY by_source_p{{leaf}} ON touchpoints_p{{leaf}} (source)")
            op.execute(f"ALTER INDEX by_source ATTACH PARTITION by_source_p{{leaf}}")
'''
BROKEN_REVISION = f'''
"""Fails half way."""

from alembic import op

revision = "{NEXT}"
down_revision = "{LAST}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE half_way (id bigint)")
    op.execute("SELECT 1 / 0")
'''


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """The migrations of a version with one more revision."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"r{NEXT}_index.py").write_text(INDEX_REVISION)
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
    assert await revision(empty) == LAST


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
    assert await revision(empty) == NEXT
    assert await fetch(empty, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_source'::regclass") == [True]


async def test_a_newer_database_is_refused_in_plain_words(empty: str, next_version: Path) -> None:
    await upgrade(empty, migrations=next_version)
    for step in (upgrade, check):
        with pytest.raises(
            MigrateError, match=f"at schema revision {NEXT}.* up to {LAST}: a newer version has migrated"
        ):
            await step(empty)
    assert await revision(empty) == NEXT


async def test_a_revision_is_applied_wholly_or_not_at_all(empty: str, next_version: Path) -> None:
    (next_version / "versions" / f"r{NEXT}_index.py").write_text(BROKEN_REVISION)
    with pytest.raises(Exception, match="division by zero"):
        await upgrade(empty, migrations=next_version)
    assert await revision(empty) == LAST
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


# --- from the first tables to journeys as a function of the facts -----------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A record as it stood in the log."""

    offset: int
    value: bytes
    key: bytes | None = None
    timestamp: int = 1_700_000_001_000


HOUR_US = 3_600_000_000
START_US = 1_700_000_000_000_000


def fact(hour: int, name: str, *, user: str = "", anonymous: str = "", previous: str = "") -> Touchpoint:
    return Touchpoint(
        START_US + hour * HOUR_US,
        0,
        f"m{hour}",
        user or anonymous,
        "alias" if previous else "track",
        name,
        1,
        1,
        "direct" if hour % 2 else "email",
        START_US,
        user_id=user,
        anonymous_id=anonymous,
        previous_id=previous,
    )


OLD_LOG = [
    fact(1, "Product Viewed", anonymous="phone"),
    fact(2, "Product Added", anonymous="laptop"),
    fact(3, "Order Completed", user="ada", anonymous="phone"),
    fact(4, "Product Added", user="bob", anonymous="phone"),  # ada's already
    fact(5, "", user="ada", previous="ada@mail"),
    fact(6, "Product Reviewed", user="ada@mail"),
    fact(7, "Product Added", user="cleo", anonymous="bob"),  # a user is nobody's anonymous id
    fact(8, "Product Viewed", anonymous="stranger"),
]


async def fill_first_schema(url: str, folder: Path) -> None:
    """A database as the first version left it: its facts, and what it derived of them."""
    first = folder / "first"
    shutil.copytree(MIGRATIONS, first, ignore=shutil.ignore_patterns("__pycache__", "r000[2-9]*", "r00[1-9]*"))
    await upgrade(url, migrations=first)
    records = [Kept(number, encode(event)) for number, event in enumerate(OLD_LOG)]
    batch = prepare({0: records}, {1: WorkspaceModels(0, MIN_US, [])}, topic="t")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            """
            INSERT INTO workspaces (name, created_us) VALUES ('shop', 1);
            INSERT INTO sources (workspace, name, created_us) VALUES (1, 'web', 1);
            INSERT INTO models (workspace, name, created_us) VALUES (1, 'seven_phase', 1);
            INSERT INTO phase_counts VALUES (1, 0, 1, 'direct', 2, 1, 0, 1, 0);
            INSERT INTO offsets VALUES ('t', 0, 8, 'digest', 5);
            """
        )
        rows = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'touchpoints'"
        )
        first_columns = {row[0] for row in rows}
        places = [place for place, name in enumerate(TOUCHPOINT_COLUMNS) if name in first_columns]
        await connection.copy_records_to_table(
            "touchpoints",
            columns=[TOUCHPOINT_COLUMNS[place] for place in places],
            records=[[row[place] for place in places] for row in batch.rows],
        )
    finally:
        await connection.close()


async def test_a_database_of_the_first_version_keeps_its_facts_and_is_filled_again(
    empty: str, kafka: LocalKafka, topics: Topics, tmp_path: Path
) -> None:
    await fill_first_schema(empty, tmp_path)
    await upgrade(empty)
    assert await fetch(empty, "SELECT count(*) FROM touchpoints WHERE NOT bot") == [len(OLD_LOG)]
    assert await fetch(empty, "SELECT next_offset FROM offsets WHERE topic = 't' AND swept_us = 0") == [8]
    query = "SELECT (i.name, o.name, i.is_user, i.members, i.links, i.link_by)::text FROM ids i "
    assert set(await fetch(empty, query + "LEFT JOIN ids o ON o.id = i.owner")) == {
        f"(phone,ada,f,1,2,{IDENTIFY})",
        f"(ada@mail,ada,t,1,1,{ALIAS})",
        "(ada,,t,3,0,)",
        "(bob,,t,1,1,)",
        "(cleo,,t,1,0,)",
        "(laptop,,f,1,0,)",
        "(stranger,,f,1,0,)",
    }
    pairs = "SELECT (i.name, o.name, by, occurred_us, message_id)::text FROM links "
    assert set(await fetch(empty, pairs + "JOIN ids i ON i.id = links.id JOIN ids o ON o.id = links.owner")) == {
        f"(phone,ada,{IDENTIFY},{START_US + 3 * HOUR_US},m3)",
        f"(phone,bob,{IDENTIFY},{START_US + 4 * HOUR_US},m4)",
        f"(ada@mail,ada,{ALIAS},{START_US + 5 * HOUR_US},m5)",
        f"(bob,cleo,{IDENTIFY},{START_US + 7 * HOUR_US},m7)",
    }
    slots = "SELECT (model, array_agg(slot ORDER BY slot), bool_or(done))::text FROM restage_slots GROUP BY model"
    assert await fetch(empty, slots) == [f'(1,"{{{",".join(map(str, range(16)))}}}",f)']
    assert await fetch(empty, "SELECT count(*) FROM journeys") == [0]

    stack = Stack(kafka.bootstrap, empty, topics.touchpoints, topics.rejected, tmp_path, workspace_id=1)
    began_us = now_us()

    async def filled() -> bool:
        done = "SELECT bool_and(done) FROM restage_slots"
        swept = f"SELECT min(swept_us) FROM offsets WHERE topic = '{topics.touchpoints}' HAVING count(*) = 4"
        return await fetch(empty, done) == [True] and any(us >= began_us for us in await fetch(empty, swept))

    try:
        await stack.start("stager")
        await until(filled, what="the journeys to be filled")
    finally:
        await stack.stop()
    # Funnels, conversions and trails are kept of generations that are computed from then on.
    expected = replay(OLD_LOG, "seven_phase", now_us())
    customers = {name: without_trail(customer) for name, customer in expected.customers.items()}
    expected = expected._replace(customers=customers, cells=Cells(), conversions={})
    assert_same(await read_projection(empty, 1), expected, now_us())


def without_trail(customer: Customer) -> Customer:
    moves = [move._replace(told=Told(0, 0, "", "", "")) for move in customer.transitions]
    return Customer(customer.members, replace(customer.state, trail=Trail()), moves)


async def test_an_empty_database_of_the_first_version_has_nothing_to_fill(empty: str, tmp_path: Path) -> None:
    await fill_first_schema(empty, tmp_path)
    await execute(empty, "DELETE FROM touchpoints")
    await upgrade(empty)
    assert await fetch(empty, "SELECT count(*) FROM restage_slots") == [0]
