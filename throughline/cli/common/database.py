"""Which database a command works on, and work in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.cli.common.output import fail, say
from throughline.cli.common.running import command_settings, find_running
from throughline.cli.common.status import Status
from throughline.kit.clock import now_us
from throughline.kit.process import user_and_host
from throughline.kit.run_file import RUN_FILE
from throughline.kit.secret_box import SecretBox
from throughline.kit.settings import ServiceSettings
from throughline.store.access.audit import record_audit
from throughline.store.access.names import AdminError
from throughline.store.access.workspaces import list_workspaces
from throughline.store.engine.errors import driver_error, failure_of, is_away, is_refused
from throughline.store.engine.pool import create_engine, without_password
from throughline.store.engine.unit_of_work import consistent_reading, transaction
from throughline.store.migrate import MigrateError, UnreachableError, check

T = TypeVar("T")


class DatabaseChoice(NamedTuple):
    """A database's address and, in words, why it is this one."""

    url: str
    reason: str
    encryption_keys: tuple[str, ...] = ()
    """With which the secrets in it are encrypted."""

    def announce(self) -> None:
        """Say which database is used, without its password."""
        say(f"database: {without_password(self.url)} ({self.reason})")


def choose_database(data: Path | None) -> DatabaseChoice:
    """DATABASE_URL if it is set, else the database of the stack that runs on the data folder, else the default.

    `data` names the folder and goes before DATABASE_URL; None stands for DATA of the environment or `.throughline`.
    Ends the command when nothing runs on a folder that is named.
    """
    settings = command_settings()
    default = str(ServiceSettings.model_fields["database_url"].default)
    if data is None and settings.database_url is not None:
        return DatabaseChoice(settings.database_url, "DATABASE_URL", settings.encryption_keys)
    folder = data or settings.data
    running = find_running(folder)
    if running is not None:
        keys = settings.encryption_keys or running.encryption_keys
        return DatabaseChoice(running.database_url, f"of the stack running on {folder}", keys)
    if data is not None or "data" in settings.model_fields_set:
        fail(
            f"nothing runs on {folder} (no {RUN_FILE} of a running stack there); start it with `make run DATA={folder}`"
        )
    reason = f"the default: DATABASE_URL is not set and nothing runs on {folder}"
    return DatabaseChoice(default, reason, settings.encryption_keys)


def in_database(work: Callable[[AsyncConnection], Awaitable[T]], data: Path | None) -> T:
    """Read from the chosen database: PostgreSQL refuses what `work` writes. Ends the command as `with_engine` does."""

    async def read(engine: AsyncEngine) -> T:
        async with consistent_reading(engine) as connection:
            return await work(connection)

    return with_engine(read, data)


def administer(
    action: str,
    work: Callable[[AsyncConnection], Awaitable[T]],
    data: Path | None,
    arguments: Mapping[str, object],
    *,
    outcome: Callable[[T], Mapping[str, object]] | None = None,
) -> T:
    """Change the chosen database in one transaction, together with its entry in the audit log.

    Args:
        action: the command, as a person gives it.
        work: makes the change. Ends the command as `with_engine` does.
        data: see `choose_database`.
        arguments: for the audit log, see `record_audit`.
        outcome: returns further arguments, which only the result of the work tells.
    """

    async def change(engine: AsyncEngine) -> T:
        async with administering(engine, action, arguments) as (connection, more):
            result = await work(connection)
            more.update(outcome(result) if outcome is not None else {})
            return result

    return with_engine(change, data)


def log_act(action: str, data: Path | None, arguments: Mapping[str, object]) -> None:
    """Write an entry in the audit log of an act that changes no table, before the act. Ends the command as
    `with_engine` does."""

    async def nothing(_: AsyncConnection) -> None: ...

    administer(action, nothing, data, arguments)


@asynccontextmanager
async def administering(
    engine: AsyncEngine, action: str, arguments: Mapping[str, object]
) -> AsyncIterator[tuple[AsyncConnection, dict[str, object]]]:
    """Yields a transaction with an entry in the audit log, and the entry's arguments, to which the block may add."""
    entry = dict(arguments)
    async with transaction(engine) as connection:
        yield connection, entry
        await record_audit(connection, who=user_and_host(), action=action, arguments=entry, now_us=now_us())


def with_engine(work: Callable[[AsyncEngine], Awaitable[T]], data: Path | None) -> T:
    """Run `work` with the chosen database, on one connection at a time; ends the command with a sentence when the
    database cannot be used or refuses."""
    database = choose_database(data)
    database.announce()
    try:
        return asyncio.run(_run(database.url, work))
    except (AdminError, MigrateError) as error:
        fail(str(error), Status.UNREACHABLE if isinstance(error, UnreachableError) else Status.CANNOT)
    except Exception as error:
        if failure_of(error) is None:
            raise
        cause = driver_error(error) or error
        fix = "; commands run as throughline_admin or the owner" if is_refused(error) else ""
        status = Status.UNREACHABLE if is_away(error) else Status.CANNOT
        fail(f"the database failed: {str(cause).splitlines()[0]}{fix}", status)


def choose_secret_box(data: Path | None) -> SecretBox:
    """What encrypts the secrets of the chosen database: ENCRYPTION_KEYS, else the key of the running stack."""
    return SecretBox(choose_database(data).encryption_keys)


async def _run(url: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    await check(url)
    engine = create_engine(url, pool_size=1, application_name="throughline cli")
    try:
        return await work(engine)
    finally:
        await engine.dispose()


async def chosen_workspace(connection: AsyncConnection, name: str | None) -> str:
    """The workspace of an option, or the only one there is when the option is left out.

    Raises:
        AdminError: the option is left out, and there is no workspace or more than one.
    """
    if name is not None:
        return name
    names = [workspace.name for workspace in await list_workspaces(connection)]
    if len(names) != 1:
        choices = f"there are: {', '.join(names)}" if names else "none yet: throughline workspace create NAME"
        raise AdminError(f"say which workspace with --workspace; {choices}")
    return names[0]
