"""Array literals on real PostgreSQL: what goes in comes out, whatever the texts hold."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Double, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.store.engine.arrays import (
    UnnestParameters,
    literal_of_booleans,
    literal_of_bytes,
    literal_of_numbers,
    literal_of_texts,
)
from throughline.store.engine.driver import DriverStatement

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["", "NULL", "null", '"', "\\", "{}", ",", " a ", '\\"']
)
EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@EXAMPLES
@given(st.lists(TEXTS | st.none(), min_size=1, max_size=30), st.integers(1, 6))
async def test_texts(connection: asyncpg.Connection, values: list[str | None], times: int) -> None:
    column = values * times
    assert await connection.fetchval("select $1::text::text[]", literal_of_texts(column)) == column


@EXAMPLES
@given(st.lists(TEXTS, min_size=1, max_size=30))
async def test_texts_that_all_differ(connection: asyncpg.Connection, values: list[str]) -> None:
    assert await connection.fetchval("select $1::text::text[]", literal_of_texts(values)) == values


@EXAMPLES
@given(st.lists(st.binary(max_size=20), min_size=1))
async def test_bytes(connection: asyncpg.Connection, values: list[bytes]) -> None:
    assert await connection.fetchval("select $1::text::bytea[]", literal_of_bytes(values)) == values


@EXAMPLES
@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1))
async def test_digests(connection: asyncpg.Connection, values: list[bytes]) -> None:
    assert await connection.fetchval("select $1::text::bytea[]", literal_of_bytes(values)) == values


@EXAMPLES
@given(st.lists(st.booleans(), min_size=1))
async def test_booleans(connection: asyncpg.Connection, values: list[bool]) -> None:
    assert await connection.fetchval("select $1::text::bool[]", literal_of_booleans(values)) == values


@EXAMPLES
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1))
async def test_integers(connection: asyncpg.Connection, values: list[int | None]) -> None:
    assert await connection.fetchval("select $1::text::bigint[]", literal_of_numbers(values)) == values


@EXAMPLES
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
async def test_floats(connection: asyncpg.Connection, values: list[float | None]) -> None:
    assert await connection.fetchval("select $1::text::float8[]", literal_of_numbers(values)) == values


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 9), TEXTS | st.none(), st.none() | st.floats(0, 1), st.none()), max_size=9))
async def test_rows_whatever_columns_are_null(engine: AsyncEngine, rows: list[tuple[object, ...]]) -> None:
    sent = UnnestParameters("sent", {"number": BigInteger(), "text": Text(), "value": Double(), "none": Text()})
    async with engine.begin() as connection:
        fetched = await DriverStatement(select(*sent.table.c)).fetch(connection, sent.parameters(rows))
    assert [tuple(row) for row in fetched] == rows


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 9), TEXTS.filter(bool) | st.just("a\x1fb") | st.none()), max_size=9))
async def test_joined_texts(engine: AsyncEngine, rows: list[tuple[object, ...]]) -> None:
    sent = UnnestParameters("sent", {"number": BigInteger(), "text": Text()}, joined=("text",))
    async with engine.begin() as connection:
        fetched = await DriverStatement(select(*sent.table.c)).fetch(connection, sent.parameters(rows))
    assert [tuple(row) for row in fetched] == rows


async def test_a_nul_is_refused_by_the_database_and_never_splits_a_text(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.DataError):
        await connection.fetchval("select $1::text::text[]", literal_of_texts(["a\0b", "c"]))
