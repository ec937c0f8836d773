"""Bring a database to the current schema; several processes may do so at once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_fixed

from throughline.store.engine.errors import driver_error
from throughline.store.engine.pool import create_engine, without_password

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x7468726C  # "thrl": the advisory lock that a migrating process holds
POLL_SECONDS = 0.1

_NOT_READY = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)


class MigrateError(Exception):
    """The database cannot be brought to the current schema; the message says why and what to do."""


async def upgrade(database_url: str, *, wait_seconds: float = 0.0, migrations: Path = MIGRATIONS) -> None:
    """Apply every revision the database does not have yet; does nothing when it has them all.

    Any number of processes may call this at once: one migrates, the others wait for it. Waits up to `wait_seconds` for
    a server that does not answer yet.

    Raises:
        MigrateError: no server answers, it refuses the user or the database, or a newer version has migrated it.
    """
    config, scripts = _scripts(migrations)
    # One session throughout: the lock belongs to it and goes with it, whatever happens.
    async with _session(database_url, wait_seconds) as connection:
        if await _is_current(connection, scripts):
            return
        await _lock(connection)
        if not await _is_current(connection, scripts):
            await connection.run_sync(_apply, config)


async def check(database_url: str, *, migrations: Path = MIGRATIONS) -> None:
    """Check that the database answers and has the current schema.

    Raises:
        MigrateError: as `upgrade`, and when there is something to migrate.
    """
    _, scripts = _scripts(migrations)
    async with _session(database_url, 0.0) as connection:
        if not await _is_current(connection, scripts):
            raise MigrateError(
                f"{without_password(database_url)} lacks today's tables; run `throughline migrate` first"
            )


def _scripts(migrations: Path) -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config, ScriptDirectory.from_config(config)


@asynccontextmanager
async def _session(database_url: str, wait_seconds: float) -> AsyncIterator[AsyncConnection]:
    try:
        engine = create_engine(
            database_url, pool_size=1, application_name="throughline migrate", statement_seconds=None
        )
    except ValueError as error:
        raise MigrateError(str(error)) from None
    try:
        await _reach(engine, database_url, wait_seconds)
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _reach(engine: AsyncEngine, database_url: str, wait_seconds: float) -> None:
    """Wait until the server takes connections.

    Raises:
        MigrateError: it does not within `wait_seconds`, or refuses the user or the database.
    """
    where = without_password(database_url)

    def log_once(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            cause = driver_error(state.outcome.exception())
            log.warning("no PostgreSQL answers at %s: %s; waiting for it", where, cause)

    connecting = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(driver_error(error), _NOT_READY)),
        wait=wait_fixed(POLL_SECONDS),
        stop=stop_after_delay(wait_seconds),
        before_sleep=log_once,
        reraise=True,
    )
    try:
        async for attempt in connecting:
            with attempt:
                async with engine.connect():
                    pass
    except (DBAPIError, OSError, ValueError) as error:
        cause = driver_error(error)
        if not isinstance(cause, _NOT_READY):
            raise MigrateError(f"{where}: {cause}; correct DATABASE_URL") from None
        reason = str(cause) or type(cause).__name__
        raise MigrateError(f"no PostgreSQL answers at {where}: {reason}; start it or set DATABASE_URL") from None


async def _is_current(connection: AsyncConnection, scripts: ScriptDirectory) -> bool:
    current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    await connection.rollback()
    head = scripts.get_current_head()
    revisions = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in revisions:
        raise MigrateError(
            f"the database is at schema revision {current}, this version of Throughline knows revisions up to {head}: "
            "a newer version has migrated it. Run that version, or use another database"
        )
    return current == head


async def _lock(connection: AsyncConnection) -> None:
    # Polled, since a statement that waits holds a snapshot: CREATE INDEX CONCURRENTLY in the process that has the lock
    # would wait for that snapshot, for ever.
    logged = False
    while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        await connection.rollback()
        if not logged:
            log.info("another process is migrating the database; waiting for it")
            logged = True
        await asyncio.sleep(POLL_SECONDS)
    await connection.rollback()  # ends the transaction; the lock is the session's


def _apply(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
