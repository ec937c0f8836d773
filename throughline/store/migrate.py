"""Bring a database to the current schema, and its roles to their rights; several processes may do so at once."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_fixed

from throughline.store import citus
from throughline.store.engine.errors import driver_error, is_refused
from throughline.store.engine.pool import create_engine, without_password
from throughline.store.engine.unit_of_work import transaction
from throughline.store.roles import Role, give_rights, have_rights

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x7468726C  # "thrl": the advisory lock that a migrating process holds
POLL_SECONDS = 0.1
SCHEMA_POLL_SECONDS = 1.0

_NOT_READY = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)


class MigrateError(Exception):
    """The database cannot be brought to the current schema; the message says why and what to do."""


class UnreachableError(MigrateError):
    """No server answers."""


class _NotMigratedError(MigrateError):
    """The database lacks tables, or rights on them for this user: whoever migrates gives both."""


async def upgrade(
    database_url: str,
    *,
    passwords: Mapping[Role, str] = MappingProxyType({}),
    wait_seconds: float = 0.0,
    migrations: Path = MIGRATIONS,
    with_citus: bool = True,
) -> str:
    """Apply every revision the database does not have yet, and give the roles their rights and `passwords`.

    Where the server has Citus, new tables are spread over its nodes, unless `with_citus` is False; returns a sentence
    on that, "" if nothing was done. The user of the URL is to own the database. Any number of processes may call this
    at once: one migrates, the others wait for it, and up to `wait_seconds` for a server.

    Raises:
        MigrateError: no server answers, it refuses the user or the database, or a newer version has migrated it.
    """
    config, scripts = _scripts(migrations)
    # One session throughout: the lock belongs to it and goes with it, whatever happens.
    async with _session(database_url, wait_seconds) as connection:
        if (
            not passwords
            and await _is_current(connection, scripts)
            and await have_rights(connection)
            and not (with_citus and await _tables_to_lay_out(connection))
        ):
            return ""
        await _lock(connection)
        if not await _is_current(connection, scripts):
            await connection.run_sync(_apply, config)
            await connection.rollback()  # leaves no lock to wait for
        layout = ""
        if with_citus and (tables := await _tables_to_lay_out(connection)):
            async with transaction(connection.engine) as laying:
                layout = await citus.lay_out(laying, tables)
        try:
            async with transaction(connection.engine) as granting:
                await give_rights(granting, passwords)
        except DBAPIError as error:
            if not is_refused(error):
                raise
            refusal = str(driver_error(error)).splitlines()[0]
            raise MigrateError(
                f"{without_password(database_url)}: {refusal}; migrate as the owner of the database, who may make "
                f"roles (ALTER ROLE ... CREATEROLE), or have a superuser make {', '.join(Role)} first"
            ) from None
    return layout


async def _tables_to_lay_out(connection: AsyncConnection) -> list[str]:
    tables = await citus.tables_to_lay_out(connection)
    await connection.rollback()
    return tables


async def wait_until_migrated(database_url: str) -> None:
    """Wait until a server answers and `upgrade` has brought the database to the current schema.

    Raises:
        MigrateError: the server refuses the user or the database, or a newer version has migrated it.
    """
    logged = False
    while True:
        try:
            await check(database_url, wait_seconds=math.inf)
        except _NotMigratedError as error:
            if not logged:
                log.warning("%s; waiting for it", error)
                logged = True
            await asyncio.sleep(SCHEMA_POLL_SECONDS)
        else:
            return


async def check(database_url: str, *, wait_seconds: float = 0.0) -> None:
    """Check that the database answers and has the current schema, waiting up to `wait_seconds` for a server.

    Raises:
        MigrateError: as `upgrade`, and when there is something to migrate.
    """
    _, scripts = _scripts(MIGRATIONS)
    async with _session(database_url, wait_seconds) as connection:
        try:
            is_current = await _is_current(connection, scripts)
        except DBAPIError as error:
            if not is_refused(error):
                raise
            raise _NotMigratedError(
                f"the user of {without_password(database_url)} has no rights on the tables: "
                "run `throughline migrate` as their owner, or use the owner or throughline_admin"
            ) from None
        if not is_current:
            raise _NotMigratedError(
                f"{without_password(database_url)} lacks today's tables; run `throughline migrate` first"
            )


class SchemaState(NamedTuple):
    """The revision of a database (None: it has no tables) and the one that this version works with."""

    revision: str | None
    head: str
    is_newer: bool
    """Whether a newer version has migrated the database."""


async def read_schema_state(connection: AsyncConnection) -> SchemaState:
    """Returns how far the database is migrated."""
    _, scripts = _scripts(MIGRATIONS)
    current = await _revision(connection)
    head = scripts.get_current_head()
    assert head is not None
    return SchemaState(current, head, current is not None and current not in _known(scripts))


def _scripts(migrations: Path) -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config, ScriptDirectory.from_config(config)


@asynccontextmanager
async def _session(database_url: str, wait_seconds: float) -> AsyncIterator[AsyncConnection]:
    try:
        engine = create_engine(
            database_url, pool_size=2, application_name="throughline migrate", statement_seconds=None
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
        UnreachableError: it does not within `wait_seconds`.
        MigrateError: it refuses the user or the database.
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
        raise UnreachableError(f"no PostgreSQL answers at {where}: {reason}; start it or set DATABASE_URL") from None


async def _is_current(connection: AsyncConnection, scripts: ScriptDirectory) -> bool:
    current = await _revision(connection)
    await connection.rollback()
    head = scripts.get_current_head()
    if current is not None and current not in _known(scripts):
        raise MigrateError(
            f"the database is at schema revision {current}, this version of Throughline knows revisions up to {head}: "
            "a newer version has migrated it. Run that version, or use another database"
        )
    return current == head


async def _revision(connection: AsyncConnection) -> str | None:
    return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def _known(scripts: ScriptDirectory) -> set[str]:
    return {script.revision for script in scripts.walk_revisions()}


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
