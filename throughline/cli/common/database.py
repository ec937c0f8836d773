"""Which database a command works on, and how it gets there."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.cli.common.output import fail, say
from throughline.kit.process import is_running
from throughline.kit.settings import DatabaseSettings, SettingsError, Shared, load
from throughline.store.access.names import AdminError
from throughline.store.engine.errors import failure_of
from throughline.store.engine.pool import create_engine, without_password
from throughline.store.engine.unit_of_work import transaction
from throughline.store.migrate import MigrateError, check

T = TypeVar("T")

RUN_FILE = "run.json"

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of a running `make run`, whose database is used.", show_default=False),
]


class Chosen(NamedTuple):
    """A database and, in words, why this one."""

    url: str
    why: str


def choose_database(data: Path | None) -> Chosen:
    """DATABASE_URL if it is set, else the database of the `make run` that runs on the data folder, else the default.

    `data` names the folder and goes before DATABASE_URL; None stands for DATA of the environment or `.throughline`.
    """
    try:
        settings = load(DatabaseSettings)
        fallback = Shared.model_fields["database_url"].default
    except SettingsError as error:
        fail(str(error), 2)
    if data is None and settings.database_url is not None:
        return Chosen(settings.database_url, "DATABASE_URL")
    folder = data or settings.data
    running = running_on(folder)
    if running is not None:
        return Chosen(str(running["database_url"]), f"of the stack running on {folder}")
    if data is not None:
        fail(
            f"nothing runs on {folder} (no {RUN_FILE} of a running stack there); start it with `make run DATA={folder}`"
        )
    return Chosen(fallback, f"the default: DATABASE_URL is not set and nothing runs on {folder}")


def in_database(work: Callable[[AsyncConnection], Awaitable[T]], data: Path | None) -> T:
    """Run `work` in one transaction; as `with_engine` otherwise."""

    async def once(engine: AsyncEngine) -> T:
        async with transaction(engine) as connection:
            return await work(connection)

    return with_engine(once, data)


def with_engine(work: Callable[[AsyncEngine], Awaitable[T]], data: Path | None) -> T:
    """Run `work` on one connection; says which database on standard error, and ends with a sentence when it cannot."""
    chosen = choose_database(data)
    say(f"database: {without_password(chosen.url)} ({chosen.why})")
    try:
        return asyncio.run(_work(chosen.url, work))
    except (AdminError, MigrateError) as error:
        fail(str(error))
    except Exception as error:
        if failure_of(error) is None:
            raise
        fail(f"the database failed: {str(getattr(error, 'orig', error)).splitlines()[0]}")


async def _work(url: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    await check(url)
    engine = create_engine(url, pool_size=1, application_name="throughline cli")
    try:
        return await work(engine)
    finally:
        await engine.dispose()


def running_on(folder: Path) -> dict[str, Any] | None:
    """The run file of a data folder, when one of the processes it names is alive."""
    file = folder / RUN_FILE
    try:
        found: dict[str, Any] = json.loads(file.read_text())
        pids, _ = list(found["pids"].values()), found["database_url"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        fail(f"{file} cannot be read ({error}); set DATABASE_URL")
    return found if any(isinstance(pid, int) and is_running(pid) for pid in pids) else None
