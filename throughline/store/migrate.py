"""Bring a database to today's schema, safely when several processes start at once."""

import asyncio
import logging
import time
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.store.engine import create_engine, without_password

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
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class MigrateError(Exception):
    """The database cannot be brought to today's schema; the message says why and what to do."""


async def upgrade(database_url: str, *, wait_seconds: float = 0.0, migrations: Path = MIGRATIONS) -> None:
    """Apply every revision the database does not have yet; does nothing when it has them all.

    Any number of processes may call this at once: one migrates, the others wait for it. Waits up to `wait_seconds` for
    a server that does not answer yet.

    Raises:
        MigrateError: no server answers, it refuses the user or the database, or a newer version has migrated it.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    engine = create_engine(database_url, pool_size=1, application_name="throughline migrate", statement_seconds=None)
    try:
        await _reach(engine, database_url, wait_seconds)
        # One session throughout: the lock belongs to it and goes with it, whatever happens.
        async with engine.connect() as connection:
            if await _is_current(connection, scripts):
                return
            await _lock(connection)
            if not await _is_current(connection, scripts):
                await connection.run_sync(_apply, config)
    finally:
        await engine.dispose()


async def _reach(engine: AsyncEngine, database_url: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    where = without_password(database_url)
    while True:
        try:
            async with engine.connect():
                return
        except _REFUSED as error:
            raise MigrateError(f"{where} refuses: {error}; set DATABASE_URL to a user and database it has") from None
        except ValueError as error:
            raise MigrateError(f"{where} is not a database url: {error}") from None
        except _NOT_READY as error:
            if time.monotonic() >= deadline:
                reason = str(error) or type(error).__name__
                raise MigrateError(
                    f"no PostgreSQL answers at {where}: {reason}; start it or set DATABASE_URL"
                ) from None
            await asyncio.sleep(POLL_SECONDS)


async def _is_current(connection: AsyncConnection, scripts: ScriptDirectory) -> bool:
    found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    await connection.rollback()
    head = scripts.get_current_head()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise MigrateError(
            f"the database is at schema revision {found}, this version of Throughline knows revisions up to {head}: "
            "a newer version has migrated it. Run that version, or use another database"
        )
    return found == head


async def _lock(connection: AsyncConnection) -> None:
    # Asked again and again rather than waited for: a waiting statement holds a snapshot, and CREATE INDEX CONCURRENTLY
    # in the process that has the lock would wait for that snapshot, for ever.
    said = False
    while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        await connection.rollback()
        if not said:
            log.info("another process is migrating the database; waiting for it")
            said = True
        await asyncio.sleep(POLL_SECONDS)
    await connection.rollback()  # ends the transaction; the lock is the session's


def _apply(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
