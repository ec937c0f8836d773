"""`throughline import`: a file of history through the same door, with the same verdicts, as live events."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from throughline.cli.common.deliver import NotTakenError
from throughline.cli.common.output import fail, say
from throughline.cli.common.target import Target, TargetError, find_target
from throughline.cli.importing.mapping import MappingError, RowMapping, parse_mapping, plain
from throughline.cli.importing.rows import ImportFileError, Row, fingerprint, is_csv, read_rows
from throughline.cli.importing.send import Progress, send

_SHOWN = 3
_INTERRUPTED = 130


def import_file(
    file: Annotated[Path, typer.Argument(help=".jsonl or .csv, plain or .gz; times are kept as they are.")],
    mapping: Annotated[
        Path | None,
        typer.Option(help="TOML file that says what each column is. Default: columns are called as Segment's fields."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of ingest. Default: that of the running stack.")] = None,
    key: Annotated[str | None, typer.Option(help="Write key. Default: that of the running stack.")] = None,
    time_zone: Annotated[str, typer.Option(help="Without a mapping: zone of times that name none.")] = "UTC",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: read it all, show what rows become.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="From the first row again; nothing counts twice.")] = False,
    data: Annotated[Path, typer.Option(help="Data folder of the running stack.")] = Path(".throughline"),
) -> None:
    """Import history: JSON lines or CSV. Every row gets its verdict; refused ones go to FILE.rejected.jsonl.

    An import that is stopped goes on where it was when it is run again (FILE.progress.json remembers). A row without a
    message id gets one made of what it says, so sending a file twice changes nothing.
    """
    try:
        said = "" if mapping is None else mapping.read_text()
        how = parse_mapping(said, str(mapping)) if mapping is not None else plain(time_zone) if is_csv(file) else None
        identity = fingerprint(file, said)
        if dry_run:
            _show(file, how)
            return
        target = find_target(url, key, data)
        progress = _begin(file, identity, restart)
        _run(file, how, target, progress)
    except (MappingError, ImportFileError, TargetError, UnicodeDecodeError) as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror or error}", 2)


def _kept(file: Path) -> Path:
    return file.with_name(f"{file.name}.progress.json")


def _refused(file: Path) -> Path:
    return file.with_name(f"{file.name}.rejected.jsonl")


def _begin(file: Path, identity: str, restart: bool) -> Progress:
    found = None if restart else Progress.read(_kept(file))
    if found is None:
        return Progress(identity)
    if found.fingerprint != identity:
        fail(f"{_kept(file)} is of another file or mapping: what was begun cannot be gone on with; use --restart", 2)
    if found.done:
        say(f"{file} is imported already, {found.rows:,} rows; --restart sends it again")
        raise typer.Exit
    say(f"going on after row {found.rows:,}")
    return found


def _run(file: Path, mapping: RowMapping | None, target: Target, progress: Progress) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    stopped: BaseException | None = None
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(file.name, total=file.stat().st_size)

        def left() -> Iterator[Row]:
            rows = read_rows(file, mapping, lambda read: bar.update(task, completed=read))
            return islice(rows, progress.rows, None)

        try:
            asyncio.run(send(left(), target, progress, (_kept(file), _refused(file)), say))
        except (NotTakenError, ImportFileError, KeyboardInterrupt) as error:
            stopped = error
    _summary(file, progress)
    if isinstance(stopped, KeyboardInterrupt):
        say("stopped; the same command goes on from here")
        raise typer.Exit(_INTERRUPTED)
    if stopped is not None:
        fail(f"{stopped}; the same command goes on after row {progress.rows:,}")
    if progress.rejected:
        raise typer.Exit(1)


def _summary(file: Path, progress: Progress) -> None:
    say(
        f"{progress.rows:,} rows: {progress.ok:,} ok, {progress.warning:,} with a warning, "
        f"{progress.rejected:,} rejected, {progress.dropped:,} dropped"
    )
    for reason, rows in sorted(progress.reasons.items(), key=lambda item: -item[1]):
        say(f"  {rows:,} {reason}")
    if progress.rejected:
        say(f"rejected rows: {_refused(file)}")


def _show(file: Path, mapping: RowMapping | None) -> None:
    rows = wrong = 0
    for row in read_rows(file, mapping, lambda _: None):
        rows += 1
        if row.error is not None:
            wrong += 1
            if wrong <= _SHOWN:
                say(f"row {row.number:,}: {row.error.field or row.error.code}: {row.error}")
        elif rows - wrong <= _SHOWN:
            typer.echo(row.event.decode())
    say(f"{rows:,} rows, {wrong:,} of them cannot become events; nothing was sent")
    if wrong:
        raise typer.Exit(1)
