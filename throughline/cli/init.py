"""`throughline init`: the first workspace with all that a client and a person need, once."""

from typing import Annotated, NamedTuple

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.cli.common.database import administer, in_database
from throughline.cli.common.options import DataOption, JsonOption
from throughline.cli.common.output import say, show_json
from throughline.kit.clock import now_us
from throughline.kit.process import user_and_host
from throughline.store.access.page_sessions import CODE_US, create_page_code, page_link
from throughline.store.access.read_tokens import create_read_token
from throughline.store.access.sources import create_source
from throughline.store.access.workspaces import create_workspace, list_workspaces
from throughline.store.access.write_keys import create_write_key


class _Access(NamedTuple):
    key: str
    token: str
    page_code: str


def init(
    workspace: Annotated[str, typer.Option(help="Name of the workspace.")] = "shop",
    source: Annotated[str, typer.Option(help="Name of its source.")] = "website",
    time_zone: Annotated[str, typer.Option(help="Where its days begin, such as Europe/Vienna.")] = "UTC",
    ingest_url: Annotated[str, typer.Option(help="Where clients reach ingest.")] = "http://localhost:8081",
    api_url: Annotated[str, typer.Option(help="Where people reach the page.")] = "http://localhost:8080",
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a workspace, a source, a write key and a token, and print them, unless there is a workspace already.

    Also prints a link that opens the page once, within ten minutes. Run twice it changes nothing.
    """
    names = [each.name for each in in_database(list_workspaces, data)]
    if names:
        say(f"there is a workspace already ({', '.join(names)}); `throughline key create` makes further keys")
        if as_json:
            show_json({"made": False, "workspaces": names})
        return

    async def make(connection: AsyncConnection) -> _Access:
        now = now_us()
        await create_workspace(connection, workspace, now_us=now, time_zone=time_zone)
        await create_source(connection, workspace, source, now_us=now)
        key = await create_write_key(connection, workspace, source, now_us=now)
        token = await create_read_token(connection, workspace, "init", now_us=now, created_by=user_and_host())
        return _Access(key, token, (await create_page_code(connection, token, now_us=now)).code)

    arguments = {"workspace": workspace, "source": source, "time_zone": time_zone}
    created = administer(
        "init", make, data, arguments, outcome=lambda access: {"key": access.key, "token": access.token}
    )
    link = page_link(api_url, created.page_code)
    if as_json:
        facts = {"made": True, "workspace": workspace, "source": source, "key": created.key, "token": created.token}
        show_json({**facts, "ingest_url": ingest_url, "api_url": api_url, "link": link})
        return
    typer.echo(
        f"workspace  {workspace}, source {source}\n"
        f"write key  {created.key}    for clients, at {ingest_url}\n"
        f"token      {created.token}    for dashboards and scripts, at {api_url}\n"
        f"page       {link}\n"
        f"           (works once, within {CODE_US // 60_000_000} minutes; `throughline token link 1` makes another)"
    )
    say("key and token are shown this once: keep them now")
