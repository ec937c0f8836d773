"""What commands print: tables for people, JSON for scripts on standard output; news and errors on standard error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughline.kit.clock import rfc3339

Value = str | int | bool | None

_NOT_A_TERMINAL = 240  # columns: a table in a file or a pipe is not folded


def fail(message: str, status: int = 1) -> NoReturn:
    """End the command with a sentence on standard error."""
    say(f"error: {message}")
    raise typer.Exit(status)


def say(message: str) -> None:
    """One line of news on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(message))


def instant(us: int | None) -> str | None:
    """An instant as shown: RFC 3339, UTC, whole seconds."""
    return None if us is None else rfc3339(us // 1_000_000 * 1_000_000)


def show_json(value: Mapping[str, Value] | Sequence[Mapping[str, Value]]) -> None:
    """One JSON value."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_rows(rows: Sequence[Mapping[str, Value]], *, columns: Iterable[str], as_json: bool, none: str) -> None:
    """Rows as a JSON array or as a table of these columns; `none` is said instead of an empty table."""
    if as_json:
        show_json(rows)
    elif not rows:
        say(none)
    else:
        columns = list(columns)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(row[column])) for column in columns))
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=_NOT_A_TERMINAL)
        console.print(table)


def _cell(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
