"""`throughline migrate`: bring the database to today's schema."""

import asyncio
from typing import Annotated

import typer

from throughline.cli.common.database import choose_database
from throughline.cli.common.options import DataOption
from throughline.cli.common.output import fail, say
from throughline.store.migrate import MigrateError, upgrade


def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that does not answer yet.")] = 0.0,
    data: DataOption = None,
) -> None:
    """Make or update the tables. The services do this by themselves when they start; safe at any time, and again."""
    database = choose_database(data)
    database.announce()
    try:
        asyncio.run(upgrade(database.url, wait_seconds=wait))
    except MigrateError as error:
        fail(str(error))
    say("the tables are up to date")
