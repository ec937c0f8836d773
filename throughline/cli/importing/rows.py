"""A file of history, row by row: JSON lines or CSV, plain or gzip, a row that cannot become an event with its fault."""

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import msgspec

from throughline.cli.importing.mapping import MappingError, RowError, RowMapping, event_of, with_message_id

MAX_ROW_BYTES = 256 * 1024
"""Maximum size of a row as an event: more would spoil its request, not only earn the verdict that ingest gives."""
_FINGERPRINT_BYTES = 1024 * 1024
_ANY = msgspec.json.Decoder()


class Row(NamedTuple):
    """One row: the event that it becomes, as JSON, or why it becomes none."""

    number: int
    """From 1; the header line of a CSV file is no row."""
    event: bytes
    error: RowError | None


class ImportFileError(ValueError):
    """The file as a whole cannot be imported; the message says why."""


def fingerprint(file: Path, mapping: str) -> str:
    """A digest that tells this file and mapping from others: of the file's size and beginning, and of the mapping."""
    with file.open("rb") as opened:
        head = opened.read(_FINGERPRINT_BYTES)
    digest = blake2b(f"{file.stat().st_size}\0{mapping}\0".encode(), digest_size=16)
    digest.update(head)
    return digest.hexdigest()


def is_csv(file: Path) -> bool:
    """Whether a file is CSV, by its name: .csv, else .jsonl or .ndjson, with or without .gz.

    Raises:
        ImportFileError: the name ends in none of these.
    """
    name = file.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return True
    if name.endswith((".jsonl", ".ndjson")):
        return False
    raise ImportFileError(f"{file}: is called neither .csv nor .jsonl (or .ndjson), with or without .gz")


def read_rows(file: Path, mapping: RowMapping | None, on_progress: Callable[[int], None]) -> Iterator[Row]:
    """Every row of the file in its order. JSON lines without a mapping are events as they are.

    `on_progress` is called after every 1,000 rows with the number of bytes of the file that have been read.

    Raises:
        ImportFileError: the file cannot be read, or lacks a column that the mapping names.
    """
    try:
        with (
            file.open("rb") as raw,
            _unpacked(file, raw) as opened,
            io.TextIOWrapper(opened, "utf-8-sig", newline="") as text,
        ):
            rows = _csv(file, text, mapping) if is_csv(file) else _json_lines(opened, mapping)
            for number, (event, error) in enumerate(rows, start=1):
                if number % 1000 == 1:
                    on_progress(raw.tell())
                if error is None and len(event) > MAX_ROW_BYTES:
                    error = RowError("too_large", "", f"the row has {len(event)} bytes")
                yield Row(number, event, error)
            on_progress(file.stat().st_size)
    except (OSError, EOFError, csv.Error, UnicodeDecodeError) as error:
        raise ImportFileError(f"{file}: {error}") from None


def _unpacked(file: Path, raw: BinaryIO) -> BinaryIO:
    return gzip.open(raw) if file.name.lower().endswith(".gz") else raw  # type: ignore[return-value]


Parsed = tuple[bytes, RowError | None]
"""The event of a row and None, or what can be shown of the row and its fault."""


def _csv(file: Path, text: TextIO, mapping: RowMapping | None) -> Iterator[Parsed]:
    if mapping is None:
        raise MappingError("a CSV file needs a mapping")
    reader = csv.DictReader(text, strict=True)
    columns = set(reader.fieldnames or ())
    required = {source.column for path, source in mapping.fields.items() if source.column and len(path) > 1}
    ids = {source.column for path, source in mapping.fields.items() if path in (("userId",), ("anonymousId",))}
    missing = sorted(required - columns) or ([] if ids & columns or "" in ids else sorted(ids))
    if missing:
        raise ImportFileError(
            f"{file}: has no column {', '.join(missing)}; its columns are {', '.join(sorted(columns))}"
        )
    for row in reader:
        if None in row or None in row.values():
            yield b"{}", RowError("wrong_columns", "", f"the row does not have the header's {len(columns)} columns")
            continue
        yield _event(row, mapping)


def _json_lines(opened: BinaryIO, mapping: RowMapping | None) -> Iterator[Parsed]:
    for line in opened:
        text = line.strip()
        if not text:
            continue
        try:
            row: Any = _ANY.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield text, RowError("unreadable", "", f"not JSON: {error}")
            continue
        if not isinstance(row, dict):
            yield text, RowError("wrong_type", "", "a line has to be an object")
        elif mapping is None:
            yield msgspec.json.encode(with_message_id(row)), None
        else:
            yield _event(row, mapping)


def _event(row: dict[str, Any], mapping: RowMapping) -> Parsed:
    try:
        return msgspec.json.encode(event_of(row, mapping)), None
    except RowError as error:
        return msgspec.json.encode(row), error
