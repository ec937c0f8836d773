"""What a failed transaction means for whoever ran it."""

from typing import Literal

import asyncpg
from sqlalchemy.exc import DBAPIError

Failure = Literal["contention", "data", "database"]

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONTENTION = ("40001", "40P01", "55P03")
_DATA_CLASSES = ("22", "23")


def failure_of(error: BaseException) -> Failure | None:
    """What kind of failure an exception out of a transaction is; None when it does not come from the database.

    - contention: deadlock or serialisation failure; try the same again.
    - data: a value the database cannot hold; trying again cannot help, leaving the value out can.
    - database: away, restarting, full or misconfigured; try again later on a fresh connection.
    """
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlstate", None)
        if code in _CONTENTION:
            return "contention"
        # asyncpg raises DataError itself, before the server sees a value that cannot be encoded.
        cause = error.orig.__cause__ if error.orig is not None else None
        if (code is not None and code[:2] in _DATA_CLASSES) or isinstance(cause, asyncpg.DataError):
            return "data"
        return "database"
    if isinstance(error, (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        return "database"
    return None
