"""`throughline migrate`: bring the database to today's schema."""

import asyncio
from typing import Annotated

import typer

from throughline.cli.common.database import Data, choose_database
from throughline.cli.common.output import fail, say
from throughline.store.engine.pool import without_password
from throughline.store.migrate import MigrateError, upgrade


def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that does not answer yet.")] = 0.0,
    data: Data = None,
) -> None:
    """Make or update the tables. The services do this by themselves when they start; safe at any time, and again."""
    chosen = choose_database(data)
    say(f"database: {without_password(chosen.url)} ({chosen.why})")
    try:
        asyncio.run(upgrade(chosen.url, wait_seconds=wait))
    except MigrateError as error:
        fail(str(error))
    say("the tables are up to date")
