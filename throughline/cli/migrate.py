"""`throughline migrate`: bring the database to today's schema, and the services' roles to their rights."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated

import typer

from throughline.cli.common.database import administering, choose_database
from throughline.cli.common.options import DataOption, JsonOption
from throughline.cli.common.output import fail, show_result
from throughline.cli.common.status import Status
from throughline.kit.settings import MigrateSettings, SettingsError, load
from throughline.store.engine.pool import create_engine
from throughline.store.migrate import MigrateError, UnreachableError, upgrade
from throughline.store.roles import Role


def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that does not answer yet.")] = 0.0,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make or update the tables and the roles of the services, as the owner of the database; safe at any time.

    INGEST_DB_PASSWORD, STAGER_DB_PASSWORD, API_DB_PASSWORD and ADMIN_DB_PASSWORD let the roles throughline_ingest,
    throughline_stager, throughline_api and throughline_admin log in. The services wait for this command.
    On a server with Citus new tables are spread over its nodes; CITUS=off keeps them in one place.
    """
    database = choose_database(data)
    try:
        settings = load(MigrateSettings)
    except SettingsError as error:
        fail(str(error), Status.WRONG_USE)
    database.announce()
    passwords = {
        Role.INGEST: settings.ingest_db_password,
        Role.STAGER: settings.stager_db_password,
        Role.API: settings.api_db_password,
        Role.ADMIN: settings.admin_db_password,
    }
    chosen = {role: password for role, password in passwords.items() if password is not None}
    try:
        layout = asyncio.run(_migrate(database.url, chosen, wait, with_citus=settings.citus == "auto"))
    except MigrateError as error:
        fail(str(error), Status.UNREACHABLE if isinstance(error, UnreachableError) else Status.CANNOT)
    show_result(
        {"version": version("throughline"), "passwords_set": [str(role) for role in chosen], "citus": layout},
        "; ".join(filter(None, ("the tables and roles are up to date", layout))),
        as_json=as_json,
    )


async def _migrate(url: str, passwords: Mapping[Role, str], wait: float, *, with_citus: bool) -> str:
    layout = await upgrade(url, passwords=passwords, wait_seconds=wait, with_citus=with_citus)
    engine = create_engine(url, pool_size=1, application_name="throughline cli")
    try:
        async with administering(engine, "migrate", {"version": version("throughline")}):
            pass
    finally:
        await engine.dispose()
    return layout
