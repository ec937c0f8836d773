"""Array literals on real PostgreSQL: what goes in comes out, whatever the texts hold."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from throughline.store.engine.arrays import literal_of_bytes, literal_of_numbers, literal_of_texts

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
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1))
async def test_integers(connection: asyncpg.Connection, values: list[int | None]) -> None:
    assert await connection.fetchval("select $1::text::bigint[]", literal_of_numbers(values)) == values


@EXAMPLES
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
async def test_floats(connection: asyncpg.Connection, values: list[float | None]) -> None:
    assert await connection.fetchval("select $1::text::float8[]", literal_of_numbers(values)) == values


async def test_a_nul_is_refused_by_the_database_and_never_splits_a_text(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.DataError):
        await connection.fetchval("select $1::text::text[]", literal_of_texts(["a\0b", "c"]))
