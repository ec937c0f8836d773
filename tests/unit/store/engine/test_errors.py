"""What a database failure means."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from throughline.store.engine.errors import failure_of, is_away


def with_state(sqlstate: str) -> DBAPIError:
    """An error as SQLAlchemy raises it: around a copy of the driver's error, which is the copy's cause."""
    copy = Exception(sqlstate)
    copy.sqlstate = sqlstate  # type: ignore[attr-defined]
    copy.__cause__ = asyncpg.PostgresError.new({"C": sqlstate, "M": "why"})
    return DBAPIError("select 1", {}, copy)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        PoolTimeoutError(),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("full"),
        with_state("08006"),
        with_state("57P01"),
        with_state("57014"),
        DBAPIError("select 1", {}, Exception(), connection_invalidated=True),
    ],
    ids=repr,
)
def test_the_database_is_away(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (with_state("42P01"), "database"),
        (with_state("22P02"), "data"),
        (with_state("40P01"), "contention"),
        (asyncpg.DataError("too large"), "data"),
        (ValueError(), None),
    ],
    ids=repr,
)
def test_another_failure_is_told_apart(error: Exception, failure: str | None) -> None:
    assert not is_away(error)
    assert failure_of(error) == failure
