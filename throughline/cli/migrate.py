"""`throughline migrate`: bring the database to today's schema."""

import asyncio
from importlib.metadata import version
from typing import Annotated

import typer

from throughline.cli.common.database import administering, choose_database
from throughline.cli.common.options import DataOption
from throughline.cli.common.output import fail, say
from throughline.store.engine.pool import create_engine
from throughline.store.migrate import MigrateError, upgrade


def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that does not answer yet.")] = 0.0,
    data: DataOption = None,
) -> None:
    """Make or update the tables. The services do this by themselves when they start; safe at any time, and again."""
    database = choose_database(data)
    database.announce()
    try:
        asyncio.run(_migrate(database.url, wait))
    except MigrateError as error:
        fail(str(error))
    say("the tables are up to date")


async def _migrate(url: str, wait: float) -> None:
    await upgrade(url, wait_seconds=wait)
    engine = create_engine(url, pool_size=1, application_name="throughline cli")
    try:
        async with administering(engine, "migrate", {"version": version("throughline")}):
            pass
    finally:
        await engine.dispose()
