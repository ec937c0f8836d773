"""What a failed transaction or question means for whoever ran it."""

from typing import Literal

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

Failure = Literal["contention", "data", "database"]

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONTENTION = ("40001", "40P01", "55P03")
_DATA_CLASSES = ("22", "23")
# connection exceptions, insufficient resources, operator intervention (shutdown, start, statement timeout)
_AWAY_CLASSES = ("08", "53", "57")


def failure_of(error: BaseException) -> Failure | None:
    """What kind of failure an exception out of a transaction is; None when it does not come from the database.

    - contention: deadlock or serialisation failure; try the same again.
    - data: a value the database cannot hold; trying again cannot help, leaving the value out can.
    - database: away, restarting, full or misconfigured; try again later on a fresh connection.
    """
    if isinstance(error, DBAPIError):
        # SQLAlchemy's exception around its own copy of the driver's.
        cause: BaseException | None = error.orig.__cause__ if error.orig is not None else None
        return _of_driver(cause) or "database"
    return _of_driver(error)


def _of_driver(error: BaseException | None) -> Failure | None:
    code = getattr(error, "sqlstate", None) or ""
    if code in _CONTENTION:
        return "contention"
    # The driver raises DataError itself for a value that it cannot encode.
    if code[:2] in _DATA_CLASSES or isinstance(error, asyncpg.DataError):
        return "data"
    if isinstance(error, (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        return "database"
    return None


def is_away(error: BaseException) -> bool:
    """Whether an exception means that the database cannot be reached or cannot answer now; asking later can help.

    False for what is wrong with the question itself, and for what does not come from the database.
    """
    if isinstance(error, OSError | PoolTimeoutError | asyncpg.InterfaceError):
        return True
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None)
        return error.connection_invalidated or sqlstate is None or sqlstate[:2] in _AWAY_CLASSES
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _AWAY_CLASSES
