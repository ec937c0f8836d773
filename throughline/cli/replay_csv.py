"""`throughline replay-csv`: a file of events, through the real Segment SDK, with their original times."""

import time
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from throughline.cli.common.options import DataOption, JsonOption, UrlOption, WriteKeyOption
from throughline.cli.common.output import show_json, stderr_console
from throughline.cli.common.status import Status
from throughline.cli.common.target import TargetError, find_target
from throughline.demo.event_file import Columns, EventFile, EventFileError, check
from throughline.demo.sdk import DeliveryCounts, Sender

CLIENTS = 4
BATCH = 500
FLUSH_SECONDS = 600.0
REASONS_SHOWN = 10


def replay_csv(
    file: Annotated[Path, typer.Argument(help="CSV file with a header line; plain or gzip.")],
    url: UrlOption = None,
    key: WriteKeyOption = None,
    user_column: Annotated[str, typer.Option(help="Column of the user id.")] = "user_id",
    event_column: Annotated[str, typer.Option(help="Column of the event's name.")] = "event",
    time_column: Annotated[str, typer.Option(help="Column of the time, ISO 8601.")] = "timestamp",
    time_zone: Annotated[str, typer.Option(help="Zone of times that name none, like Europe/Vienna.")] = "UTC",
    channel_column: Annotated[
        str | None,
        typer.Option(help="Column of the acquisition channel. Default: acquisition_channel, if there is one."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the message id. Default: the row's number, nine digits, from 1.")
    ] = None,
    id_prefix: Annotated[str, typer.Option(help="Put before each message id, to tell files apart.")] = "",
    shuffle: Annotated[int | None, typer.Option(help="Send in an order shuffled with this seed.")] = None,
    duplicate: Annotated[float, typer.Option(min=0, max=1, help="Share of rows that are sent twice.")] = 0.0,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Rows a second. Default: as fast as possible.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Replay a CSV file of events. The whole file is checked first; all other columns are sent as properties.

    Sending the same file again changes nothing: its message ids stay the same.
    """
    console = stderr_console()
    columns = Columns(user_column, event_column, time_column, channel_column, id_column)
    try:
        target = find_target(url, key, data)
        checked = check(file, columns, _zone(time_zone), id_prefix=id_prefix)
    except (TargetError, EventFileError) as error:
        console.print(Text(str(error)))
        raise typer.Exit(Status.WRONG_USE) from None
    sender = Sender(
        target.url,
        target.write_key,
        clients=CLIENTS,
        batch=BATCH,
        report=lambda news: console.print(Text(news)),
    )
    started = time.monotonic()
    try:
        refused = _send(checked, sender, console, duplicate=duplicate, shuffle=shuffle, rate=rate)
        undelivered = sender.close(FLUSH_SECONDS)
    except KeyboardInterrupt:
        refused, undelivered = 0, sender.close(0)
    _summary(console, sender.counts, undelivered, time.monotonic() - started, as_json=as_json)
    if refused or undelivered or sender.failed or sender.counts.accepted < sender.counts.sent:
        raise typer.Exit(Status.CANNOT)


def _send(
    file: EventFile, sender: Sender, console: Console, *, duplicate: float, shuffle: int | None, rate: float | None
) -> int:
    """Send every row; returns how many rows the SDK itself refused."""
    refused = 0
    total = file.rows + round(duplicate * file.rows)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    with bar:
        task = bar.add_task(file.path.name, total=total)
        due = time.monotonic()
        for number, arguments in enumerate(file.calls(duplicate=duplicate, shuffle=shuffle), start=1):
            if rate is not None:
                due += 1 / rate
                time.sleep(max(0.0, due - time.monotonic()))
            try:
                is_sent = sender.send("track", arguments)
            except ValueError as error:
                refused += 1
                sender.counts.errors[str(error)] += 1
                continue
            if not is_sent:
                break
            if number % 100 == 0 or number == total:
                bar.update(task, completed=number)
    return refused


def _summary(console: Console, counts: DeliveryCounts, undelivered: int, seconds: float, *, as_json: bool) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {
        "rows sent": counts.sent,
        "accepted": counts.accepted,
        "of them with a warning": counts.warned,
        "refused": counts.refused,
        "not delivered": counts.lost + undelivered,
        "requests": counts.requests,
        "failed requests": counts.failures,
    }
    if as_json:
        facts = {name.replace(" ", "_"): number for name, number in rows.items()}
        show_json({**facts, "errors": dict(counts.errors), "warnings": dict(counts.warnings)})
        return
    for name, number in rows.items():
        table.add_row(name, f"{number:,}")
    table.add_row("seconds", f"{seconds:.1f}")
    console.print(table)
    for kind, reasons in (("refused or lost", counts.errors), ("warning", counts.warnings)):
        for reason, times in reasons.most_common(REASONS_SHOWN):
            console.print(Text(f"{kind}, {times:,} times: {reason}"))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EventFileError(f"--time-zone: {name!r} is not a time zone like UTC or Europe/Vienna") from None
