"""What a failure of the database means for whoever asked it."""

from typing import Literal

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

Failure = Literal["contention", "data", "database"]

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONTENTION = ("40001", "40P01", "55P03")
"""Serialisation failure, deadlock, lock not available."""
_DATA_CLASSES = ("22", "23")
"""Data exceptions and violated constraints."""
_AWAY_CLASSES = ("08", "53", "57")
"""Connection exceptions, insufficient resources, operator intervention (shutdown, starting up, statement timeout)."""


class ContendedError(Exception):
    """Another transaction has stored what this one found missing and was about to store. This one has to end."""


def failure_of(error: BaseException) -> Failure | None:
    """Returns what kind of failure an exception out of a transaction is; None when the database did not cause it.

    - contention: deadlock, serialisation failure or `ContendedError`; trying the same again helps.
    - data: a value the database cannot hold; trying again cannot help, leaving the value out can.
    - database: away, restarting, full or misconfigured; trying again later on a fresh connection may help.
    """
    if isinstance(error, ContendedError):
        return "contention"
    if isinstance(error, DBAPIError):
        return _of_driver(driver_error(error)) or "database"
    if isinstance(error, PoolTimeoutError):
        return "database"
    return _of_driver(error)


def is_away(error: BaseException) -> bool:
    """Whether the database cannot be asked now, rather than that the question was wrong: asking later may help."""
    if isinstance(error, OSError | PoolTimeoutError | asyncpg.InterfaceError):
        return True
    if isinstance(error, DBAPIError):
        state = _sqlstate(driver_error(error))
        return error.connection_invalidated or not state or state[:2] in _AWAY_CLASSES
    return isinstance(error, asyncpg.PostgresError) and _sqlstate(error)[:2] in _AWAY_CLASSES


def is_refused(error: BaseException) -> bool:
    """Whether the role of this session has no right to do this."""
    return isinstance(driver_error(error), asyncpg.InsufficientPrivilegeError)


def is_statement_timeout(error: BaseException) -> bool:
    """Whether PostgreSQL ended a statement because it ran too long."""
    return isinstance(driver_error(error), asyncpg.QueryCanceledError)


def driver_error(error: BaseException | None) -> BaseException | None:
    """Returns what the driver raised: SQLAlchemy's exception is around its own copy of that one."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _sqlstate(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def _of_driver(error: BaseException | None) -> Failure | None:
    state = _sqlstate(error)
    if state in _CONTENTION:
        return "contention"
    # The driver raises DataError itself for a value that it cannot encode.
    if state[:2] in _DATA_CLASSES or isinstance(error, asyncpg.DataError):
        return "data"
    if isinstance(error, OSError | TimeoutError | asyncpg.PostgresError | asyncpg.InterfaceError):
        return "database"
    return None
