"""What commands print: tables for people and JSON for scripts on standard output, news and errors on standard error.

With `--json` a command prints one value: an array of objects for a list, one object for anything else.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughline.cli.common.status import Status
from throughline.kit.clock import rfc3339

Cell = str | int | bool | list[str] | None
Row = dict[str, Cell]

COLUMNS_WITHOUT_TERMINAL = 240
"""Width of a table in a file or a pipe: wide enough not to be folded."""


class NamedRow(Protocol):
    """A named tuple that the store lists."""

    def _asdict(self) -> dict[str, Any]: ...


def fail(message: str, status: Status = Status.CANNOT) -> NoReturn:
    """End the command with a sentence on standard error."""
    say(f"error: {message}")
    raise typer.Exit(status)


def say(message: str) -> None:
    """Print one line of news on standard error."""
    stderr_console().print(Text(message))


def confirm(question: str, *, is_sure: bool, loss: str) -> None:
    """Ask before what cannot be undone, which `loss` names; `is_sure` is what `--yes` says. Ends the command unless
    the answer is yes."""
    if is_sure:
        return
    say(loss)
    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise typer.Exit(Status.INTERRUPTED) from None
        fail("nobody is there to answer; --yes does it without a question", Status.WRONG_USE)
    if not confirmed:
        fail("nothing was done")


def stderr_console() -> Console:
    """A console on standard error that neither colours numbers nor breaks lines."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_instant(us: int | None) -> str | None:
    """An instant for people: RFC 3339 in UTC, in whole seconds."""
    return None if us is None else rfc3339(us // 1_000_000 * 1_000_000)


def printable(text: str) -> str:
    """The text without control characters: whoever sends events must not paint on this terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def rows_from(listed: Sequence[NamedRow]) -> list[Row]:
    """Named tuples as rows; each instant `*_us` becomes `*_at`."""
    return [
        {
            (name.removesuffix("_us") + "_at" if name.endswith("_us") else name): (
                show_instant(value) if name.endswith("_us") else value
            )
            for name, value in row._asdict().items()
        }
        for row in listed
    ]


def show_json(value: object) -> None:
    """Print one JSON value."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_result(facts: Mapping[str, object], sentence: str, *, as_json: bool) -> None:
    """Print what a command did: its facts as one JSON object, or the sentence as news."""
    if as_json:
        show_json(facts)
    else:
        say(sentence)


def show_rows(rows: Sequence[Mapping[str, Cell]], *, columns: Iterable[str], as_json: bool, none: str) -> None:
    """Print rows as a JSON array or as a table of these columns; `none` is the sentence for an empty table."""
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
            table.add_row(*(Text(_cell_text(row[column])) for column in columns))
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=COLUMNS_WITHOUT_TERMINAL)
        console.print(table)


def _cell_text(value: Cell) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return str(value)
