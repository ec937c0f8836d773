"""Reading from PostgreSQL: every question is timed and bounded, and answered with a 503 while the database is away."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.kit.errors import ServiceError
from throughline.kit.metrics import API_QUERY_SECONDS
from throughline.store.engine.errors import is_away
from throughline.store.engine.health import database_check
from throughline.store.engine.unit_of_work import consistent_reading, reading
from throughline.store.migrate import upgrade

log = logging.getLogger(__name__)

QUESTION_SECONDS = 10.0
"""Maximum time for one question, including the wait for a connection."""
RETRY_SECONDS = 1.0


class Database:
    """A pool of connections that is used only once the schema is up to date."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._answers = database_check(engine)
        self._missing = "the database has not been reached yet"

    async def prepare(self) -> None:
        """Bring the schema up to date, however long the database has to be waited for.

        Raises:
            MigrateError: the database refuses this user, or a newer version has migrated it.
        """
        while self._missing:
            try:
                await upgrade(self._url, wait_seconds=math.inf)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("the database went away while its schema was brought up to date: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._missing = ""

    @asynccontextmanager
    async def reading(self, question: str, *, consistent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection to read with, for at most `QUESTION_SECONDS`.

        Args:
            question: names what is read, in the metrics.
            consistent: whether all statements see one state of the database.

        Raises:
            ServiceError: 503 `database_away`.
        """
        if self._missing:
            raise _away(self._missing)
        started = time.perf_counter()
        connect = consistent_reading if consistent else reading
        try:
            async with asyncio.timeout(QUESTION_SECONDS), connect(self._engine) as connection:
                yield connection
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("the database is away: %s: %s", type(error).__name__, error)
            raise _away("the database does not answer") from error
        finally:
            API_QUERY_SECONDS.labels(question).observe(time.perf_counter() - started)

    async def check(self) -> str:
        """For /readyz: '' when the database answers and its schema is current, else what is missing."""
        return self._missing or await self._answers()


def _away(reason: str) -> ServiceError:
    return ServiceError(503, "database_away", f"{reason}; try again", headers={"Retry-After": "1"})
