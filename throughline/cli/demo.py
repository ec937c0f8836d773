"""`throughline demo`: the demo shop's events, through the real Segment SDK."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from throughline.cli.common.deliver import IngestAwayError, NotTakenError
from throughline.cli.common.options import DataOption, JsonOption, UrlOption, WriteKeyOption
from throughline.cli.common.output import fail, show_result, stderr_console
from throughline.cli.common.running import data_folder
from throughline.cli.common.status import Status
from throughline.cli.common.target import Target, TargetError, find_target
from throughline.cli.story import import_story
from throughline.demo.sdk import Sender
from throughline.demo.send import Traffic, send
from throughline.demo.shop import SHOPPERS_AT_ONCE, stream
from throughline.kit.clock import now_us

FLUSH_SECONDS = 10.0
"""How long the end of the command waits for the SDK to deliver."""
FLUSH_SECONDS_AWAY = 2.0
"""The same while ingest takes no events."""
SHOPPERS_PER_RATE = 2
"""Number of shoppers at once for each event a second: so that nobody hurries at high rates."""


def demo(
    rate: Annotated[float, typer.Option(min=0.01, max=100_000, help="Events a second.")] = 20.0,
    url: UrlOption = None,
    key: WriteKeyOption = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same customers, under new ids each run.")] = 1,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Stop after so many seconds.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.")] = None,
    burst: Annotated[int, typer.Option(min=0, help="So many events at once to begin with.")] = 0,
    history: Annotated[
        int,
        typer.Option(min=0, metavar="CUSTOMERS", help="Begin with 90 days of so many customers, once a data folder."),
    ] = 0,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Send a made-up shop's customers, at a steady rate, until Ctrl-C."""
    console = stderr_console()
    try:
        target = find_target(url, key, data)
    except TargetError as error:
        console.print(Text(str(error)))
        raise typer.Exit(Status.WRONG_USE) from None
    if history:
        _import_history(target, data_folder(data), seed, history, lambda news: console.print(Text(news)))
    stop = threading.Event()
    _on_signals(stop)
    sender = Sender(target.url, target.write_key, persistent=True, report=lambda news: console.print(Text(news)))
    events = stream(Random(seed), now_us, at_once=max(SHOPPERS_AT_ONCE, int(rate * SHOPPERS_PER_RATE)))
    console.print(Text(f"demo shop: {rate:g} events/s to {sender.url}, seed {seed}"))
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def progress() -> None:
            live.update(_line(sender))

        traffic = Traffic(rate, burst, count, seconds)
        send(events, sender, traffic, stop=stop, progress=progress if console.is_terminal else lambda: None)
        undelivered = sender.close(FLUSH_SECONDS_AWAY if sender.away else FLUSH_SECONDS)
    counts = sender.counts
    show_result(
        {"sent": counts.sent, "accepted": counts.accepted, "not_delivered": undelivered, "errors": dict(counts.errors)},
        f"demo shop: {counts.sent:,} events sent, {counts.accepted:,} accepted",
        as_json=as_json,
    )
    if undelivered:
        console.print(Text(f"{undelivered:,} events were not delivered: {sender.failed or sender.away or 'no time'}"))
    for reason, times in counts.errors.most_common(3):
        console.print(Text(f"  {times:,} times: {reason}"))
    if sender.failed:
        raise typer.Exit(Status.CANNOT)


def _import_history(target: Target, folder: Path, seed: int, customers: int, say: Callable[[str], None]) -> None:
    """Before signals are handled: what is stopped goes on when it is run again."""
    try:
        import_story(target, folder, seed=seed, customers=customers, say=say)
    except KeyboardInterrupt:
        raise typer.Exit(Status.INTERRUPTED) from None
    except NotTakenError as error:
        fail(str(error), Status.UNREACHABLE if isinstance(error, IngestAwayError) else Status.CANNOT)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}", Status.WRONG_USE)


def _line(sender: Sender) -> Text:
    counts = sender.counts
    state = f"waiting: {sender.away}" if sender.away else f"{counts.requests:,} requests"
    return Text(f"{counts.sent:,} events sent, {counts.accepted:,} accepted, {state}", style="dim")


def _on_signals(stop: threading.Event) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end)
