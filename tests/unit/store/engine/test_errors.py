"""What a failure of the database means: by the driver's own exceptions and by those of SQLAlchemy around them."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from throughline.store.engine.errors import ContendedError, failure_of, is_away


def wrapped(cause: BaseException | None) -> DBAPIError:
    """As SQLAlchemy raises it: around its own copy of the driver's exception."""
    copy = Exception("a copy")
    copy.__cause__ = cause
    return DBAPIError("SELECT 1", {}, copy)


OF_DRIVER = [
    (asyncpg.DeadlockDetectedError("x"), "contention", False),
    (asyncpg.SerializationError("x"), "contention", False),
    (asyncpg.LockNotAvailableError("x"), "contention", False),
    (asyncpg.UniqueViolationError("x"), "data", False),
    (asyncpg.CharacterNotInRepertoireError("x"), "data", False),
    (asyncpg.UndefinedTableError("x"), "database", False),
    (asyncpg.AdminShutdownError("x"), "database", True),
    (asyncpg.QueryCanceledError("x"), "database", True),
    (asyncpg.TooManyConnectionsError("x"), "database", True),
    (asyncpg.ConnectionDoesNotExistError("x"), "database", True),
]


@pytest.mark.parametrize(
    ("error", "failure", "away"), OF_DRIVER, ids=[type(error).__name__ for error, _, _ in OF_DRIVER]
)
def test_an_error_of_the_driver(error: BaseException, failure: str, away: bool) -> None:
    assert (failure_of(error), is_away(error)) == (failure, away)
    assert (failure_of(wrapped(error)), is_away(wrapped(error))) == (failure, away)


@pytest.mark.parametrize(
    ("error", "failure", "away"),
    [
        (asyncpg.DataError("cannot encode"), "data", False),
        (asyncpg.InterfaceError("closed"), "database", True),
        (ConnectionRefusedError(), "database", True),
        (TimeoutError(), "database", True),
        (PoolTimeoutError("no connection free"), "database", True),
        (wrapped(None), "database", True),
        (DBAPIError("SELECT 1", {}, Exception(), connection_invalidated=True), "database", True),
        (ContendedError("stored meanwhile"), "contention", False),
        (ValueError("ours"), None, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_another_error(error: BaseException, failure: str | None, away: bool) -> None:
    assert (failure_of(error), is_away(error)) == (failure, away)
