"""Connections and units of work on a real server."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import execute
from throughline.store import identity
from throughline.store.engine.driver import DriverStatement, write_together
from throughline.store.engine.errors import ContendedError
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading, transaction

OFFSET = text("INSERT INTO offsets VALUES ('t', 0, 1, '', 0, 0)")
COUNT = text("SELECT count(*) FROM offsets")


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, pool_size=1, application_name="engine test")
    yield engine
    await engine.dispose()


async def test_a_transaction_is_committed_or_rolled_back_whole(engine: AsyncEngine) -> None:
    async def fail() -> None:
        async with transaction(engine) as connection:
            await connection.execute(OFFSET)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with reading(engine) as connection:
        assert await connection.scalar(COUNT) == 0
    async with transaction(engine) as connection:
        await connection.execute(OFFSET)
    async with reading(engine) as connection:
        assert await connection.scalar(COUNT) == 1


async def test_a_direct_statement_is_part_of_its_transaction_even_as_the_first(engine: AsyncEngine) -> None:
    async def fail() -> None:
        async with transaction(engine) as connection:
            await identity.lock_ids(connection, [(1, b"c" * 16, "c", True)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with reading(engine) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM ids")) == 0
        assert await identity.read_members(connection, [b"c" * 16]) == {b"c" * 16: {}}


async def test_writes_together_are_all_made_or_none(engine: AsyncEngine) -> None:
    offset = DriverStatement(text("INSERT INTO offsets VALUES (:topic, :at, 1, '', 0, 0) ON CONFLICT DO NOTHING"))
    scope = DriverStatement(
        text("INSERT INTO admissions VALUES (1, :model, 0, CAST(:model AS bigint) / CAST(:by AS bigint))")
    )
    async with transaction(engine) as connection:
        await write_together(connection, [])
        await write_together(connection, [(offset, {"topic": "t", "at": 3}), (scope, {"model": 8, "by": 2})])
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with transaction(engine) as connection:
            await write_together(connection, [(offset, {"topic": "t", "at": 4}), (scope, {"model": 9, "by": 0})])
    async with reading(engine) as connection:
        assert [tuple(row) for row in await connection.execute(text("SELECT partition FROM offsets"))] == [(3,)]
        assert [tuple(row) for row in await connection.execute(text("SELECT model, names FROM admissions"))] == [(8, 4)]


async def test_an_id_that_another_transaction_has_stored_meanwhile_is_contention(
    engine: AsyncEngine, database: str
) -> None:
    new = [identity.IdRow.of_new(1, digest * 16, "x", False) for digest in (b"a", b"b")]
    async with transaction(engine) as connection:
        await identity.insert_ids(connection, new[1:])
    with pytest.raises(ContendedError):
        async with transaction(engine) as connection:
            await identity.insert_ids(connection, new)
    async with reading(engine) as connection:
        assert (await identity.read_ids(connection, [(1, row.id) for row in new])).keys() == {new[1].id}


async def test_a_cancelled_transaction_lets_go_of_its_locks(engine: AsyncEngine, database: str) -> None:
    holding = asyncio.Event()

    async def hold() -> None:
        async with transaction(engine) as connection:
            await connection.execute(OFFSET)
            holding.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await holding.wait()
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    async with asyncio.timeout(10):
        await execute(database, "INSERT INTO offsets VALUES ('t', 0, 9, '', 0, 0)")


async def test_each_statement_of_a_snapshot_sees_what_is_committed(engine: AsyncEngine, database: str) -> None:
    async with reading(engine) as connection:
        assert await connection.scalar(COUNT) == 0
        await execute(database, "INSERT INTO offsets VALUES ('t', 0, 1, '', 0, 0)")
        assert await connection.scalar(COUNT) == 1


async def test_transactions_are_read_committed_whatever_the_servers_default(engine: AsyncEngine, database: str) -> None:
    name = database.rpartition("/")[2]
    await execute(database, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    for _ in range(2):  # the second time on a connection that a snapshot has used
        async with transaction(engine) as connection:
            assert await connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        async with reading(engine) as connection:
            await connection.scalar(COUNT)


async def test_the_session_is_set_up(engine: AsyncEngine) -> None:
    async with reading(engine) as connection:
        shown = {
            name: await connection.scalar(text(f"SHOW {name}"))
            for name in ("jit", "application_name", "statement_timeout", "idle_in_transaction_session_timeout")
        }
    assert shown == {
        "jit": "off",
        "application_name": "engine test",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "30s",
    }


async def test_a_statement_that_takes_too_long_is_cancelled_by_the_server(database: str) -> None:
    engine = create_engine(database, pool_size=1, statement_seconds=0.2)
    with pytest.raises(DBAPIError, match="statement timeout"):
        async with transaction(engine) as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))
    await engine.dispose()


async def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(
    engine: AsyncEngine, database: str
) -> None:
    async with reading(engine) as connection:
        before = await connection.scalar(text("SELECT pg_backend_pid()"))
    other = await asyncpg.connect(database)
    await other.execute("SELECT pg_terminate_backend($1, 10000)", before)
    await other.close()
    async with transaction(engine) as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) != before


async def test_the_usual_url_parameters_work(database: str) -> None:
    engine = create_engine(database.replace("postgresql://", "postgres://") + "?sslmode=prefer", pool_size=1)
    async with reading(engine) as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()
