"""`throughline import`: a file of history through ingest, with the same verdicts as live events."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from throughline.cli.common.deliver import IngestAwayError, NotTakenError
from throughline.cli.common.options import DataOption, JsonOption, UrlOption, WriteKeyOption
from throughline.cli.common.output import fail, say, show_json, show_result, stderr_console
from throughline.cli.common.status import Status
from throughline.cli.common.target import Target, TargetError, find_target
from throughline.cli.importing.mapping import DATES, MappingError, RowMapping, parse_mapping, segment_mapping
from throughline.cli.importing.recipes import read_recipe, recipe_names
from throughline.cli.importing.rows import FileForm, ImportFileError, Row, find_form, fingerprint, is_csv, read_rows
from throughline.cli.importing.send import EARLIEST, ImportProgress, destination_of, send
from throughline.kit.text_form import SEPARATOR_NAMES

SHOWN_ROWS = 3
"""Number of rows, and of faults, that a dry run shows."""


def import_file(
    file: Annotated[
        Path, typer.Argument(help=".csv, .tsv, .jsonl or .json (a list), plain or .gz; times are kept as they are.")
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(help="TOML file that says what each column is. Default: columns are called as Segment's fields."),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--as", help=f"In place of a mapping: whose export it is, of {', '.join(recipe_names())}.")
    ] = "",
    url: UrlOption = None,
    key: WriteKeyOption = None,
    time_zone: Annotated[
        str, typer.Option(help="Without a mapping, and with --as: zone of times that name none.")
    ] = "UTC",
    dates: Annotated[
        str, typer.Option(help=f"What dates like 03/04/2025 mean: {' or '.join(DATES)}. Without it they are refused.")
    ] = "",
    kind: Annotated[str, typer.Option(help="csv or json, for a file whose name does not say it.")] = "",
    encoding: Annotated[str, typer.Option(help="utf-8, cp1252, utf-16, ... Default: detected, and said.")] = "",
    separator: Annotated[
        str, typer.Option(help="Of a CSV: a character, or comma, semicolon, tab, bar. Default: detected, and said.")
    ] = "",
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
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Import history: JSON or CSV. Every row gets its verdict; refused ones go to FILE.rejected.jsonl.

    An import that is stopped goes on where it was when it is run again (FILE.progress.json remembers, for each
    destination). A row without a message id gets one made of what it says, so sending a file twice changes nothing.
    """
    try:
        mapping_text = _mapping_text(mapping, recipe)
        row_mapping: RowMapping | None = None
        if mapping_text:
            row_mapping = parse_mapping(mapping_text, str(mapping or recipe))
            if recipe and time_zone != "UTC":
                row_mapping = replace(row_mapping, zone=segment_mapping(time_zone).zone)
        kind = kind or (row_mapping.file if row_mapping else "")
        if row_mapping is None and is_csv(file, kind):
            row_mapping = segment_mapping(time_zone)
        if dates:
            if row_mapping is None:
                raise MappingError("--dates: is for CSV, --mapping and --as")
            row_mapping = replace(row_mapping, day_first=_day_first(dates))
        form = find_form(file, kind, encoding, _separator(separator))
        say(f"{file}: {form}")
        source = _RowSource(file, row_mapping, form)
        if dry_run:
            _show_events(source, as_json=as_json)
            return
        target = find_target(url, key, data)
        if earliest < datetime.fromisoformat(EARLIEST) and not target.operator_secret:
            raise TargetError(
                f"--earliest before {EARLIEST}: ingest asks for the operator's secret; set OPERATOR_SECRET"
            )
        file_fingerprint = fingerprint(file, f"{mapping_text}{form}{time_zone if recipe else ''}{dates}")
        progress, files = _begin(file, file_fingerprint, destination_of(target), restart, as_json)
        _run(source, target, progress, files, earliest.date().isoformat(), as_json)
    except (MappingError, ImportFileError, TargetError, UnicodeDecodeError) as error:
        fail(str(error), Status.WRONG_USE)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror or error}", Status.WRONG_USE)


def _mapping_text(mapping: Path | None, recipe: str) -> str:
    if mapping is not None and recipe:
        raise MappingError("--mapping and --as are the same thing: give one of them")
    if recipe:
        return read_recipe(recipe)
    return "" if mapping is None else mapping.read_text()


def _day_first(dates: str) -> bool:
    if dates not in DATES:
        raise MappingError(f"--dates: {dates!r} is not {' or '.join(DATES)}")
    return DATES[dates]


def _separator(text: str) -> str:
    separator = SEPARATOR_NAMES.get(text.lower(), text)
    if len(separator) > 1 or separator in ('"', "\r", "\n"):
        raise ImportFileError(f"--separator: {text!r} is no character, nor {', '.join(SEPARATOR_NAMES)}")
    return separator


Files = tuple[Path, Path]
"""The file of the progress, and that of the rejected rows."""


def _files(file: Path, stem: str) -> Files:
    return file.with_name(f"{stem}.progress.json"), file.with_name(f"{stem}.rejected.jsonl")


def _files_of(file: Path, destination: str) -> Files:
    """The files of a destination: the first that a file was sent to has the plain names, any other its digest."""
    its_own, plain = _files(file, f"{file.name}.{destination}"), _files(file, file.name)
    if its_own[0].exists():
        return its_own
    progress = ImportProgress.read(plain[0])
    return plain if progress is None or progress.destination == destination else its_own


def _begin(
    file: Path, file_fingerprint: str, destination: str, restart: bool, as_json: bool = False
) -> tuple[ImportProgress, Files]:
    """The progress of the import that was stopped, or that of a new one; ends the command when it is done already."""
    files = _files_of(file, destination)
    progress = None if restart else ImportProgress.read(files[0])
    if progress is None:
        return ImportProgress(file_fingerprint, destination), files
    if progress.fingerprint != file_fingerprint:
        fail(
            f"{files[0]} is of another file or mapping: what was begun cannot be gone on with; use --restart",
            Status.WRONG_USE,
        )
    if progress.done:
        done = f"{file} is imported already, {progress.rows:,} rows; --restart sends it again"
        show_result(_facts(progress, files[1]), done, as_json=as_json)
        raise typer.Exit
    say(f"going on after row {progress.rows:,}")
    return progress, files


class _RowSource(NamedTuple):
    """A file and how its rows are read."""

    file: Path
    mapping: RowMapping | None
    form: FileForm

    def read(self, on_progress: Callable[[int], None]) -> Iterator[Row]:
        return read_rows(self.file, self.mapping, on_progress, self.form)


def _run(
    source: _RowSource, target: Target, progress: ImportProgress, files: Files, earliest: str, as_json: bool
) -> None:
    console = stderr_console()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    stopped_by: BaseException | None = None
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(source.file.name, total=source.file.stat().st_size)

        def rows_without_verdict() -> Iterator[Row]:
            rows = source.read(lambda bytes_read: bar.update(task, completed=bytes_read))
            return islice(rows, progress.rows, None)

        try:
            asyncio.run(send(rows_without_verdict(), target, progress, files, say, earliest))
        except (NotTakenError, ImportFileError, KeyboardInterrupt) as error:
            stopped_by = error
    _summarize(progress, files[1])
    if as_json:
        show_json(_facts(progress, files[1]))
    if isinstance(stopped_by, KeyboardInterrupt):
        say("stopped; the same command goes on from here")
        raise typer.Exit(Status.INTERRUPTED)
    if stopped_by is not None:
        status = Status.UNREACHABLE if isinstance(stopped_by, IngestAwayError) else Status.CANNOT
        fail(f"{stopped_by}; the same command goes on after row {progress.rows:,}", status)
    if progress.rejected:
        raise typer.Exit(Status.CANNOT)


def _facts(progress: ImportProgress, rejected_file: Path) -> dict[str, object]:
    return {
        "rows": progress.rows,
        "ok": progress.ok,
        "warning": progress.warning,
        "rejected": progress.rejected,
        "dropped": progress.dropped,
        "reasons": progress.reasons,
        "rejected_file": str(rejected_file) if progress.rejected else None,
    }


def _summarize(progress: ImportProgress, rejected_file: Path) -> None:
    say(
        f"{progress.rows:,} rows: {progress.ok:,} ok, {progress.warning:,} with a warning, "
        f"{progress.rejected:,} rejected, {progress.dropped:,} dropped"
    )
    for reason, rows in sorted(progress.reasons.items(), key=lambda item: -item[1]):
        say(f"  {rows:,} {reason}")
    if progress.rejected:
        say(f"rejected rows: {rejected_file}")


def _show_events(source: _RowSource, *, as_json: bool) -> None:
    """Print the first events and the first faults, and how many rows of each there are."""
    rows = faulty_rows = 0
    events: list[object] = []
    for row in source.read(lambda _: None):
        rows += 1
        if row.error is not None:
            faulty_rows += 1
            if faulty_rows <= SHOWN_ROWS:
                say(f"row {row.number:,}: {row.error.field or row.error.code}: {row.error}")
        elif rows - faulty_rows <= SHOWN_ROWS:
            events.append(json.loads(row.event))
            if not as_json:
                typer.echo(row.event.decode())
    show_result(
        {"rows": rows, "faulty_rows": faulty_rows, "events": events},
        f"{rows:,} rows, {faulty_rows:,} of them cannot become events; nothing was sent",
        as_json=as_json,
    )
    if faulty_rows:
        raise typer.Exit(Status.CANNOT)
