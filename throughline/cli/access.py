"""`throughline workspace | key | token`: who may write and who may read."""

from enum import StrEnum
from typing import Annotated

import typer

from throughline.cli.common.database import administer, in_database
from throughline.cli.common.options import (
    DataOption,
    JsonOption,
    OnlyWorkspaceOption,
    SureOption,
    WorkspaceOption,
    command_group,
)
from throughline.cli.common.output import (
    Row,
    confirm,
    fail,
    rows_from,
    say,
    show_instant,
    show_json,
    show_result,
    show_rows,
)
from throughline.cli.common.running import data_folder, find_running
from throughline.cli.common.status import Status
from throughline.cli.common.times import parse_span_us
from throughline.kit.clock import now_us
from throughline.kit.process import user_and_host
from throughline.kit.run_file import RunFile
from throughline.store.access import workspaces as stored_workspaces
from throughline.store.access.credentials import hint_of
from throughline.store.access.modes import Scope
from throughline.store.access.page_sessions import CODE_US, create_page_code, page_link
from throughline.store.access.read_tokens import create_read_token, list_read_tokens, revoke_read_token
from throughline.store.access.write_keys import create_write_key, list_write_keys, revoke_write_key, rotate_write_key
from throughline.store.retention import read_retention, set_retention

SecretArgument = Annotated[
    str, typer.Argument(metavar="ID|HINT", help="The id or the hint that `list` shows, or all of it.")
]

workspaces = command_group("Workspaces: each has its own customers, journeys and counts.")
keys = command_group("Write keys: what an SDK sends events with. Each belongs to one source.")
tokens = command_group("Tokens: what a dashboard or a script uses the api with. Each opens one workspace.")


# --- workspaces -------------------------------------------------------------------------------------------------------


@workspaces.command("create")
def create_workspace(
    name: Annotated[str, typer.Argument(help="Its name; unique.")],
    time_zone: Annotated[str, typer.Option(help="Where its days begin, such as Europe/Vienna.")] = "UTC",
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a workspace, with the seven-phase model."""
    number = administer(
        "workspace create",
        lambda c: stored_workspaces.create_workspace(c, name, now_us=now_us(), time_zone=time_zone),
        data,
        {"workspace": name, "time_zone": time_zone},
    )
    if as_json:
        show_json({"id": number, "name": name, "time_zone": time_zone})
    else:
        say(f"made workspace {name!r}; next: throughline source create {name!r} NAME")


@workspaces.command("list")
def list_workspaces(as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show all workspaces."""
    rows = rows_from(in_database(stored_workspaces.list_workspaces, data))
    columns = ("name", "time_zone", "created_at", "min_cell", "no_visit_hosts")
    show_rows(rows, columns=columns, as_json=as_json, none="there is no workspace yet")


class WorkspaceSetting(StrEnum):
    """The settings of a workspace, by the option that sets each."""

    MIN_CELL = "min-cell"
    NO_VISIT_HOST = "no-visit-host"


_COLUMNS = {WorkspaceSetting.MIN_CELL: "min_cell", WorkspaceSetting.NO_VISIT_HOST: "no_visit_hosts"}


@workspaces.command("set")
def set_workspace(
    name: Annotated[str, typer.Argument(help="Name of the workspace.")],
    min_cell: Annotated[
        int | None, typer.Option(help="Counts of fewer customers are withheld from every answer of the api.")
    ] = None,
    no_visit_host: Annotated[
        list[str] | None,
        typer.Option(help="A host whose pages send customers back, such as pay.bank.example; give all of them."),
    ] = None,
    unset: Annotated[
        list[WorkspaceSetting] | None, typer.Option(help="Back to what holds for every workspace.")
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Set what holds for all sources and answers of a workspace; what is not named stays as it is."""
    values = {WorkspaceSetting.MIN_CELL: min_cell, WorkspaceSetting.NO_VISIT_HOST: no_visit_host or None}
    changes: dict[str, object] = {_COLUMNS[setting]: value for setting, value in values.items() if value is not None}
    for setting in unset or ():
        if _COLUMNS[setting] in changes:
            fail(f"--{setting} and --unset {setting} contradict each other; give one", Status.WRONG_USE)
        changes[_COLUMNS[setting]] = None
    if not changes:
        fail(
            f"nothing to set; give one of {', '.join(f'--{each}' for each in WorkspaceSetting)}, or --unset",
            Status.WRONG_USE,
        )
    administer(
        "workspace set",
        lambda c: stored_workspaces.change_workspace(c, name, changes),
        data,
        {"workspace": name, **changes},
    )
    show_result(
        {"workspace": name, **changes},
        f"workspace {name!r} is set; ingest and the api follow within seconds",
        as_json=as_json,
    )


@workspaces.command("retention")
def keep_workspace(
    name: Annotated[str | None, typer.Argument(help="Name of the workspace; all of them without it.")] = None,
    days: Annotated[int | None, typer.Option(help="How many days of events to keep.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Keep them for ever again, as at first.")] = False,
    is_sure: SureOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show or set how long events are kept. Journeys, counts and history stay; what is deleted does not come back.

    The stagers follow once a day, at midnight UTC. Events that are older are refused from then on.
    """
    if days is not None and forever:
        fail("give --days or --forever, not both", Status.WRONG_USE)
    if days is not None or forever:
        if name is None:
            fail("which workspace? throughline workspace retention NAME --days N", Status.WRONG_USE)
        if days is not None:
            loss = f"events of workspace {name!r} older than {days} days will be deleted, and do not come back"
            confirm("Set the retention?", is_sure=is_sure, loss=loss)
        administer(
            "workspace retention",
            lambda c: set_retention(c, name, days),
            data,
            {"workspace": name, "days": "forever" if days is None else days},
        )
    rows: list[Row] = [
        {
            "workspace": retention.workspace,
            "days": retention.days,
            "horizon": show_instant(retention.retention_cutoff_us),
            "deleted": retention.touchpoints,
            "being_deleted": retention.slots_left > 0,
        }
        for retention in in_database(lambda c: read_retention(c, name), data)
    ]
    columns = ("workspace", "days", "horizon", "deleted", "being_deleted")
    show_rows(rows, columns=columns, as_json=as_json, none="there is no workspace yet")


# --- write keys -------------------------------------------------------------------------------------------------------


@keys.command("create")
def create_key(
    workspace: WorkspaceOption,
    source: Annotated[str, typer.Option("--source", help="Name of the source.")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a write key and print it: the only time it is shown."""
    key = administer(
        "key create",
        lambda c: create_write_key(c, workspace, source, now_us=now_us()),
        data,
        {"workspace": workspace, "source": source},
        outcome=lambda key: {"key": key},
    )
    _show_secret("key", key, {"workspace": workspace, "source": source}, as_json)


@keys.command("list")
def list_keys(workspace: OnlyWorkspaceOption = None, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show the write keys by how they begin."""
    rows = rows_from(in_database(lambda c: list_write_keys(c, workspace), data))
    columns = ("id", "hint", "workspace", "source", "created_at", "revoked_at", "expires_at")
    show_rows(rows, columns=columns, as_json=as_json, none="there is no write key yet")


@keys.command("rotate")
def rotate_key(
    key: SecretArgument,
    overlap: Annotated[
        str, typer.Option(metavar="SPAN", help="How long the old key goes on, such as 90s, 30m, 24h or 7d.")
    ] = "24h",
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a write key in place of an old one, which goes on for a while, and print it: the only time it is shown."""
    try:
        overlap_us = parse_span_us(overlap)
    except ValueError as error:
        fail(f"--overlap {error}", Status.WRONG_USE)
    new_key, old = administer(
        "key rotate",
        lambda c: rotate_write_key(c, key, overlap_us=overlap_us, now_us=now_us()),
        data,
        {"overlap": overlap},
        outcome=lambda rotated: {
            "workspace": rotated[1].workspace,
            "source": rotated[1].source,
            "key": rotated[0],
            "old_key": rotated[1].hint,
        },
    )
    _show_secret("key", new_key, {"workspace": old.workspace, "source": old.source}, as_json)
    say(f"the old key {old.hint}... is taken until {show_instant(old.expires_us)}; move its clients before that")


@keys.command("revoke")
def revoke_key(
    key: SecretArgument, is_sure: SureOption = False, as_json: JsonOption = False, data: DataOption = None
) -> None:
    """Revoke a write key; there is no way back. Its clients see 401 within seconds."""
    confirm("Revoke?", is_sure=is_sure, loss=f"the clients of write key {hint_of(key)} will be refused")
    revoked = administer(
        "key revoke",
        lambda c: revoke_write_key(c, key, now_us=now_us()),
        data,
        {},
        outcome=lambda info: {
            "workspace": info.workspace,
            "source": info.source,
            "id": info.id,
            "key": info.hint,
        },
    )
    revoked_at = show_instant(revoked.revoked_us)
    show_result(
        {"id": revoked.id, "hint": revoked.hint, "source": revoked.source, "revoked_at": revoked_at},
        f"write key {revoked.hint}... of source {revoked.source!r} is revoked since {revoked_at}",
        as_json=as_json,
    )


# --- tokens -----------------------------------------------------------------------------------------------------------


@tokens.command("create")
def create_token(
    workspace: WorkspaceOption,
    name: Annotated[str, typer.Option("--name", help="What it is for, to tell tokens apart.")],
    scope: Annotated[
        Scope, typer.Option(help="What it may do: read; also share and annotate; also erase and export persons.")
    ] = Scope.READ,
    expires: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="How long it is good for, such as 12h or 90d; without it for ever."),
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a token of the api and print it: the only time it is shown."""
    try:
        span_us = None if expires is None else parse_span_us(expires)
    except ValueError as error:
        fail(f"--expires {error}", Status.WRONG_USE)
    now = now_us()
    expires_us = None if span_us is None else now + span_us
    token = administer(
        "token create",
        lambda c: create_read_token(
            c, workspace, name, now_us=now, scope=scope, expires_us=expires_us, created_by=user_and_host()
        ),
        data,
        {"workspace": workspace, "name": name, "scope": scope, "expires_at": show_instant(expires_us)},
        outcome=lambda token: {"token": token},
    )
    details: Row = {"workspace": workspace, "name": name, "scope": scope, "expires_at": show_instant(expires_us)}
    _show_secret("token", token, details, as_json)


@tokens.command("list")
def list_tokens(workspace: OnlyWorkspaceOption = None, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show the tokens by how they begin: what each may do, who made it, when it expires, when it was used last."""
    rows = rows_from(in_database(lambda c: list_read_tokens(c, workspace), data))
    columns = (
        "id", "hint", "workspace", "name", "scope", "created_at", "created_by", "expires_at", "last_used_at",
        "revoked_at",
    )  # fmt: skip
    show_rows(rows, columns=columns, as_json=as_json, none="there is no token yet")


@tokens.command("revoke")
def revoke_token(
    token: SecretArgument, is_sure: SureOption = False, as_json: JsonOption = False, data: DataOption = None
) -> None:
    """Revoke a token; there is no way back. What it opened, pages too, closes within seconds."""
    confirm("Revoke?", is_sure=is_sure, loss=f"what uses token {hint_of(token)} will be refused")
    revoked = administer(
        "token revoke",
        lambda c: revoke_read_token(c, token, now_us=now_us()),
        data,
        {},
        outcome=lambda info: {"workspace": info.workspace, "id": info.id, "token": info.hint, "name": info.name},
    )
    revoked_at = show_instant(revoked.revoked_us)
    show_result(
        {"id": revoked.id, "hint": revoked.hint, "name": revoked.name, "revoked_at": revoked_at},
        f"token {revoked.hint}... ({revoked.name}) is revoked since {revoked_at}",
        as_json=as_json,
    )


@tokens.command("link")
def link_page(
    token: Annotated[
        str | None,
        typer.Argument(metavar="ID|HINT", help="Whose workspace. Default: the token of the running stack."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of the api. Default: that of the running stack.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Print a link that opens the page once, within ten minutes. The browser stays signed in for a week."""
    running = find_running(data_folder(data)) or RunFile()
    pointer, address = token or running.read_token, url or running.api_url
    if not pointer or not address:
        fail("nothing runs on the data folder; name a token and the address: token link ID --url URL", Status.WRONG_USE)
    code = administer(
        "token link",
        lambda c: create_page_code(c, pointer, now_us=now_us()),
        data,
        {"url": address},
        outcome=lambda code: {"workspace": code.workspace, "id": code.token_id, "name": code.token_name},
    )
    link, minutes = page_link(address, code.code), CODE_US // 60_000_000
    if not as_json:
        typer.echo(link)
    show_result(
        {"link": link, "workspace": code.workspace, "minutes": minutes},
        f"opens workspace {code.workspace!r} once, within {minutes} minutes",
        as_json=as_json,
    )


def _show_secret(kind: str, secret: str, details: Row, as_json: bool) -> None:
    if as_json:
        show_json({kind: secret, **details})
    else:
        typer.echo(secret)
        say(f"this {kind} is shown once: keep it now")
