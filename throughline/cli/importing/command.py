"""`throughline import`: a file of history through ingest, with the same verdicts as live events."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from throughline.cli.common.deliver import NotTakenError
from throughline.cli.common.options import RUNNING_DATA, RunningDataOption, UrlOption, WriteKeyOption
from throughline.cli.common.output import CANNOT, INTERRUPTED, WRONG_USE, fail, say, stderr_console
from throughline.cli.common.target import Target, TargetError, find_target
from throughline.cli.importing.mapping import MappingError, RowMapping, parse_mapping, segment_mapping
from throughline.cli.importing.rows import ImportFileError, Row, fingerprint, is_csv, read_rows
from throughline.cli.importing.send import EARLIEST, ImportProgress, send

SHOWN_ROWS = 3
"""Number of rows, and of faults, that a dry run shows."""


def import_file(
    file: Annotated[Path, typer.Argument(help=".jsonl or .csv, plain or .gz; times are kept as they are.")],
    mapping: Annotated[
        Path | None,
        typer.Option(help="TOML file that says what each column is. Default: columns are called as Segment's fields."),
    ] = None,
    url: UrlOption = None,
    key: WriteKeyOption = None,
    time_zone: Annotated[str, typer.Option(help="Without a mapping: zone of times that name none.")] = "UTC",
    earliest: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%d"], help="Rows with a time before this day, which nobody can mean, are refused."
        ),
    ] = datetime.fromisoformat(EARLIEST),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: read it all, show what rows become.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="From the first row again; nothing counts twice.")] = False,
    data: RunningDataOption = RUNNING_DATA,
) -> None:
    """Import history: JSON lines or CSV. Every row gets its verdict; refused ones go to FILE.rejected.jsonl.

    An import that is stopped goes on where it was when it is run again (FILE.progress.json remembers). A row without a
    message id gets one made of what it says, so sending a file twice changes nothing.
    """
    try:
        mapping_text = "" if mapping is None else mapping.read_text()
        row_mapping: RowMapping | None = None
        if mapping is not None:
            row_mapping = parse_mapping(mapping_text, str(mapping))
        elif is_csv(file):
            row_mapping = segment_mapping(time_zone)
        file_fingerprint = fingerprint(file, mapping_text)
        if dry_run:
            _show_events(file, row_mapping)
            return
        target = find_target(url, key, data)
        progress = _begin(file, file_fingerprint, restart)
        _run(file, row_mapping, target, progress, earliest.date().isoformat())
    except (MappingError, ImportFileError, TargetError, UnicodeDecodeError) as error:
        fail(str(error), WRONG_USE)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror or error}", WRONG_USE)


def _progress_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.progress.json")


def _rejected_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.rejected.jsonl")


def _begin(file: Path, file_fingerprint: str, restart: bool) -> ImportProgress:
    """The progress of the import that was stopped, or that of a new one; ends the command when it is done already."""
    progress = None if restart else ImportProgress.read(_progress_file(file))
    if progress is None:
        return ImportProgress(file_fingerprint)
    if progress.fingerprint != file_fingerprint:
        fail(
            f"{_progress_file(file)} is of another file or mapping: what was begun cannot be gone on with; "
            "use --restart",
            WRONG_USE,
        )
    if progress.done:
        say(f"{file} is imported already, {progress.rows:,} rows; --restart sends it again")
        raise typer.Exit
    say(f"going on after row {progress.rows:,}")
    return progress


def _run(file: Path, mapping: RowMapping | None, target: Target, progress: ImportProgress, earliest: str) -> None:
    console = stderr_console()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    stopped_by: BaseException | None = None
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(file.name, total=file.stat().st_size)

        def rows_without_verdict() -> Iterator[Row]:
            rows = read_rows(file, mapping, lambda bytes_read: bar.update(task, completed=bytes_read))
            return islice(rows, progress.rows, None)

        try:
            files = (_progress_file(file), _rejected_file(file))
            asyncio.run(send(rows_without_verdict(), target, progress, files, say, earliest))
        except (NotTakenError, ImportFileError, KeyboardInterrupt) as error:
            stopped_by = error
    _summarize(file, progress)
    if isinstance(stopped_by, KeyboardInterrupt):
        say("stopped; the same command goes on from here")
        raise typer.Exit(INTERRUPTED)
    if stopped_by is not None:
        fail(f"{stopped_by}; the same command goes on after row {progress.rows:,}")
    if progress.rejected:
        raise typer.Exit(CANNOT)


def _summarize(file: Path, progress: ImportProgress) -> None:
    say(
        f"{progress.rows:,} rows: {progress.ok:,} ok, {progress.warning:,} with a warning, "
        f"{progress.rejected:,} rejected, {progress.dropped:,} dropped"
    )
    for reason, rows in sorted(progress.reasons.items(), key=lambda item: -item[1]):
        say(f"  {rows:,} {reason}")
    if progress.rejected:
        say(f"rejected rows: {_rejected_file(file)}")


def _show_events(file: Path, mapping: RowMapping | None) -> None:
    """Print the first events and the first faults, and how many rows of each there are."""
    rows = faulty_rows = 0
    for row in read_rows(file, mapping, lambda _: None):
        rows += 1
        if row.error is not None:
            faulty_rows += 1
            if faulty_rows <= SHOWN_ROWS:
                say(f"row {row.number:,}: {row.error.field or row.error.code}: {row.error}")
        elif rows - faulty_rows <= SHOWN_ROWS:
            typer.echo(row.event.decode())
    say(f"{rows:,} rows, {faulty_rows:,} of them cannot become events; nothing was sent")
    if faulty_rows:
        raise typer.Exit(CANNOT)
