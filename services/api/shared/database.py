"""Reading from PostgreSQL: one timed, bounded, read-only transaction per question, and a plain 503 when it is away."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg import InterfaceError as DriverInterfaceError
from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.kit.errors import ServiceError
from throughline.kit.metrics import API_QUERY_SECONDS
from throughline.store.migrate import upgrade

log = logging.getLogger(__name__)

QUESTION_SECONDS = 10.0
"""How long one question may take, the wait for a connection included."""
RETRY_SECONDS = 1.0

# connection exceptions, insufficient resources, operator intervention (shutdown, starting up, statement timeout)
_AWAY_STATES = ("08", "53", "57")


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be asked now, rather than that the question was wrong."""
    if isinstance(error, OSError | PoolTimeoutError | DriverInterfaceError):
        return True
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        return error.connection_invalidated or state is None or state[:2] in _AWAY_STATES
    return isinstance(error, PostgresError) and (error.sqlstate or "")[:2] in _AWAY_STATES


class Database:
    """The engine with its readiness."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._waiting_for = "the database has not been reached yet"

    async def prepare(self) -> None:
        """Bring the schema up to date, waiting for the database for as long as it takes.

        Raises:
            MigrateError: the database refuses this user, or a newer version has migrated it.
        """
        while self._waiting_for:
            try:
                await upgrade(self._url, wait_seconds=math.inf)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("the database went away while its schema was brought up to date: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._waiting_for = ""

    @asynccontextmanager
    async def reading(self, question: str, *, one_snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for one question, named for the metrics. `one_snapshot`: its statements all see the same state.

        Raises:
            ServiceError: 503 `database_away`.
        """
        if self._waiting_for:
            raise _away(self._waiting_for)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(QUESTION_SECONDS), self._engine.connect() as connection:
                if one_snapshot:
                    await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                yield connection
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("the database is away: %s: %s", type(error).__name__, error)
            raise _away("the database does not answer") from error
        finally:
            API_QUERY_SECONDS.labels(question).observe(time.perf_counter() - started)

    async def check(self) -> str:
        """For /readyz: '' when the database answers and its schema is current."""
        try:
            async with self.reading("ready") as connection:
                await connection.execute(text("SELECT 1"))
        except ServiceError as error:
            return error.message
        return ""


def _away(reason: str) -> ServiceError:
    return ServiceError(503, "database_away", f"{reason}; try again", headers={"Retry-After": "1"})
