"""`throughline audit`: who administered what, and when."""

import json
from typing import Annotated

import typer

from throughline.cli.common.database import in_database
from throughline.cli.common.options import DataOption, JsonOption, OnlyWorkspaceOption
from throughline.cli.common.output import Row, printable, say, show_instant, show_json, show_rows
from throughline.cli.common.times import instant_option_us
from throughline.kit.clock import now_us
from throughline.store.access.audit import AuditEntry, AuditFilter, list_audit

MAX_ENTRIES = 10_000


def audit(
    who: Annotated[str | None, typer.Option(help="Only what somebody did: part of user@host, or of a token.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, such as 'token create', or all that begins so, such as token.")
    ] = None,
    workspace: OnlyWorkspaceOption = None,
    since: Annotated[
        str | None, typer.Option(help="Done since: 30m, 2h, 7d ago, or an ISO 8601 time.", metavar="WHEN")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Done before: likewise.", metavar="WHEN")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ENTRIES, help="How many at most.")] = 50,
    before: Annotated[
        int | None, typer.Option(metavar="ID", help="Only older ones than this, the last of the page before.")
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show who administered what, newest first: every command that changes something, and every such api request."""
    now = now_us()
    which = AuditFilter(
        who, action, workspace, instant_option_us("--since", since, now), instant_option_us("--until", until, now)
    )
    entries = in_database(lambda c: list_audit(c, which, limit=limit, before=before), data)
    if as_json:
        show_json([{**_row(entry), "arguments": entry.arguments} for entry in entries])
        return
    columns = ("id", "at", "who", "action", "arguments")
    show_rows(
        [_row(entry) for entry in entries], columns=columns, as_json=False, none="nothing was done that this names"
    )
    if len(entries) == limit:
        say(f"older ones: --before {entries[-1].id}")


def _row(entry: AuditEntry) -> Row:
    arguments = (f"{name}={_text(value)}" for name, value in entry.arguments.items())
    return {
        "id": entry.id,
        "at": show_instant(entry.at_us),
        "who": printable(entry.who),
        "action": printable(entry.action),
        "arguments": printable(" ".join(arguments)),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
