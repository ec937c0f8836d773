"""`throughline source`: where events come from, and what its owner sets for it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from throughline.cli.common.database import administer, choose_secret_box, in_database
from throughline.cli.common.options import DataOption, JsonOption, OnlyWorkspaceOption, command_group
from throughline.cli.common.output import Row, fail, rows_from, say, show_json, show_result, show_rows
from throughline.cli.common.status import Status
from throughline.kit.clock import now_us
from throughline.store.access import source_settings
from throughline.store.access import sources as stored_sources

sources = command_group("Sources: where events come from, such as a website, an app or a store.")


@sources.command("create")
def create_source(
    workspace: Annotated[str, typer.Argument(help="Name of the workspace.")],
    name: Annotated[str, typer.Argument(help="Its name; unique in the workspace.")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a source in a workspace."""
    number = administer(
        "source create",
        lambda c: stored_sources.create_source(c, workspace, name, now_us=now_us()),
        data,
        {"workspace": workspace, "source": name},
    )
    if as_json:
        show_json({"id": number, "workspace": workspace, "name": name, "enabled": True})
    else:
        say(f"made source {name!r}; next: throughline key create --workspace {workspace!r} --source {name!r}")


@sources.command("list")
def list_sources(workspace: OnlyWorkspaceOption = None, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show the sources."""
    rows = rows_from(in_database(lambda c: stored_sources.list_sources(c, workspace), data))
    columns = ("workspace", "name", "enabled", "created_at", "drop", "hash", "strip_queries")
    show_rows(rows, columns=columns, as_json=as_json, none="there is no source yet")


@sources.command("disable")
def disable_source(workspace: str, name: str, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Refuse events of a source (its clients see 404) until it is enabled again."""
    _enable(workspace, name, enabled=False, as_json=as_json, data=data)


@sources.command("enable")
def enable_source(workspace: str, name: str, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Take events of a source again."""
    _enable(workspace, name, enabled=True, as_json=as_json, data=data)


def _enable(workspace: str, name: str, *, enabled: bool, as_json: bool, data: Path | None) -> None:
    word = "enable" if enabled else "disable"
    administer(
        f"source {word}",
        lambda c: stored_sources.set_source_enabled(c, workspace, name, enabled),
        data,
        {"workspace": workspace, "source": name},
    )
    show_result(
        {"workspace": workspace, "source": name, "enabled": enabled},
        f"source {name!r} is {word}d; ingest follows within seconds",
        as_json=as_json,
    )


class Setting(StrEnum):
    """The settings of a source, by the option that sets each."""

    APP_ID = "app-id"
    ORIGIN = "origin"
    RATE = "rate"
    BURST = "burst"
    IP = "ip"
    CONSENT = "consent"
    WEBHOOK_SECRET = "webhook-secret"
    ORDER_SCOPE = "order-scope"
    FOLD_CASE = "fold-case"
    NO_VISIT_HOST = "no-visit-host"
    DROP = "drop"
    HASH = "hash"
    STRIP_QUERIES = "strip-queries"


_COLUMNS = {
    Setting.APP_ID: "app_id",
    Setting.ORIGIN: "origins",
    Setting.RATE: "rate_events",
    Setting.BURST: "rate_burst",
    Setting.IP: "ip",
    Setting.CONSENT: "consent",
    Setting.WEBHOOK_SECRET: "webhook_secret",
    Setting.ORDER_SCOPE: "order_scope",
    Setting.FOLD_CASE: "fold_case",
    Setting.NO_VISIT_HOST: "no_visit_hosts",
    Setting.DROP: "drop_fields",
    Setting.HASH: "hash_fields",
    Setting.STRIP_QUERIES: "strip_queries",
}


@sources.command("set")
def set_source(
    workspace: str,
    name: str,
    app_id: Annotated[
        str | None,
        typer.Option(help="What clients may send instead of a write key, as Snowplow trackers do; no secret."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="A website whose browsers may send, such as https://*.shop.example; give all of them."),
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Events a second that it may send; 0: any number.")] = None,
    burst: Annotated[int | None, typer.Option(help="Events that it may send at once.")] = None,
    ip: Annotated[str | None, typer.Option(help="What is kept of addresses: shorten, drop or keep.")] = None,
    consent: Annotated[
        str | None,
        typer.Option(help="Events without consent for analytics: off (taken), drop, or aggregate (counted by name)."),
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(help="What the store signs its webhooks with; - reads it from standard input, unseen by history."),
    ] = None,
    order_scope: Annotated[
        str | None,
        typer.Option(help="A name for its order ids, when another source counts the same numbers for other orders."),
    ] = None,
    fold_case: Annotated[
        bool | None,
        typer.Option(help="Whether ids that are email addresses are the same whatever their case."),
    ] = None,
    no_visit_host: Annotated[
        list[str] | None,
        typer.Option(help="A host whose pages send customers back, such as pay.bank.example: no referral; give all."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="A field of which nothing is kept, such as email or traits.email; give all of them."),
    ] = None,
    hash_field: Annotated[
        list[str] | None,
        typer.Option("--hash", help="A field of which a keyed digest is kept: what is equal stays equal; give all."),
    ] = None,
    strip_queries: Annotated[
        list[str] | None,
        typer.Option(help="An address, such as url, of which campaign parameters and click ids are kept; give all."),
    ] = None,
    unset: Annotated[list[Setting] | None, typer.Option(help="Back to what holds for every source.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Set who may send to a source, how fast, and what is kept; what is not named stays as it is."""
    values = {
        Setting.APP_ID: app_id,
        Setting.ORIGIN: origin or None,
        Setting.RATE: rate,
        Setting.BURST: burst,
        Setting.IP: ip,
        Setting.CONSENT: consent,
        Setting.ORDER_SCOPE: order_scope,
        Setting.FOLD_CASE: fold_case,
        Setting.NO_VISIT_HOST: no_visit_host or None,
        Setting.DROP: drop or None,
        Setting.HASH: hash_field or None,
        Setting.STRIP_QUERIES: strip_queries or None,
        Setting.WEBHOOK_SECRET: _read_secret() if webhook_secret == "-" else webhook_secret,
    }
    changes: dict[str, object] = {_COLUMNS[setting]: value for setting, value in values.items() if value is not None}
    for setting in unset or ():
        if _COLUMNS[setting] in changes:
            fail(f"--{setting} and --unset {setting} contradict each other; give one", Status.WRONG_USE)
        changes[_COLUMNS[setting]] = None
    if not changes:
        options = ", ".join(f"--{setting}" for setting in Setting)
        fail(f"nothing to set; give one of {options}, or --unset", Status.WRONG_USE)
    shown = {_COLUMNS[setting]: "(default)" for setting in unset or ()} | {
        column: "(not shown)" if column == _COLUMNS[Setting.WEBHOOK_SECRET] else value
        for column, value in changes.items()
        if value is not None
    }
    box = choose_secret_box(data)
    administer(
        "source set",
        lambda c: source_settings.change_settings(c, workspace, name, changes, box),
        data,
        {"workspace": workspace, "source": name, **shown},
    )
    show_result(
        {"workspace": workspace, "source": name, **shown},
        f"source {name!r} is set; ingest follows within seconds",
        as_json=as_json,
    )


def _read_secret() -> str:
    """The first line of standard input; on a terminal it is typed without an echo."""
    if sys.stdin.isatty():
        return str(typer.prompt("webhook secret", hide_input=True, err=True))
    return sys.stdin.readline().strip()


@sources.command("show")
def show_source(workspace: str, name: str, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show what is set for a source."""
    settings = in_database(lambda c: source_settings.read_settings(c, workspace, name), data)
    if as_json:
        show_json(settings)
        return
    rows: list[Row] = []
    for setting in Setting:
        value = settings[_COLUMNS[setting]]
        if setting is Setting.WEBHOOK_SECRET:
            value = "set" if value else "not set"
        rows.append({"setting": setting, "value": value})
    show_rows(rows, columns=("setting", "value"), as_json=False, none="nothing is set")
