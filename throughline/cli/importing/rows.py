"""A file of history, row by row: JSON or CSV, plain or gzip, a row that cannot become an event with its fault.

Holds one row at a time, and of an order with several rows those. `FileForm` says how the file is written.
"""

import codecs
import csv
import gzip
import io
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import msgspec

from throughline.cli.importing.apply import MAX_LINES, events_of, with_message_id
from throughline.cli.importing.elements import JsonTooLargeError, json_elements
from throughline.cli.importing.mapping import MappingError, RowError, RowMapping
from throughline.cli.importing.values import cell
from throughline.kit.text_form import SEPARATOR_NAMES, declared_separator, encoding_of, has_broken_text, separator_of

MAX_ROW_BYTES = 256 * 1024
"""Maximum size of a row as an event: more would spoil its request, not only earn the verdict that ingest gives."""
MAX_LINE = 1024 * 1024
"""Maximum length of a line of the file."""
MAX_ROW_LINES = 100
"""Maximum number of lines of a CSV row: a quote that is never closed must not swallow the rest of the file."""
_FINGERPRINT_BYTES = 1024 * 1024
_PART_BYTES = 256 * 1024
_SAMPLE_LINES = 20
_CSV_NAMES = (".csv", ".tsv", ".tab")
_JSON_NAMES = (".jsonl", ".ndjson", ".json")
_ANY = msgspec.json.Decoder()


class Row(NamedTuple):
    """An event of the file as JSON, or a row that becomes none and why."""

    number: int
    """Of the row, or of the first of its order, from 1; the header line of a CSV file is no row."""
    event: bytes
    error: RowError | None
    place: int = 0
    """In the file, from 0: a row can be several events."""


class FileForm(NamedTuple):
    """How a file is written."""

    is_csv: bool
    encoding: str
    separator: str = ""

    def __str__(self) -> str:
        if not self.is_csv:
            return f"JSON, {self._encoding_name}"
        names = {separator: name for name, separator in SEPARATOR_NAMES.items()}
        return f"CSV, separator {names.get(self.separator, repr(self.separator))}, {self._encoding_name}"

    @property
    def _encoding_name(self) -> str:
        return {"utf-8-sig": "utf-8"}.get(self.encoding, self.encoding)


class ImportFileError(ValueError):
    """The file as a whole cannot be imported; the message says why."""


def fingerprint(file: Path, mapping: str) -> str:
    """A digest that tells this file and mapping from others: of the file's size and beginning, and of the mapping."""
    with file.open("rb") as opened:
        head = opened.read(_FINGERPRINT_BYTES)
    digest = blake2b(f"{file.stat().st_size}\0{mapping}\0".encode(), digest_size=16)
    digest.update(head)
    return digest.hexdigest()


def is_csv(file: Path, kind: str = "") -> bool:
    """Whether a file is CSV, by its name: .csv or .tsv, else .jsonl, .ndjson or .json, with or without .gz.

    `kind` is `csv` or `json` for a file whose name does not say it.

    Raises:
        ImportFileError: the name ends in none of these, and there is no kind.
    """
    name = file.name.lower().removesuffix(".gz")
    if name.endswith(_CSV_NAMES):
        return True
    if name.endswith(_JSON_NAMES):
        return False
    if kind:
        return kind == "csv"
    raise ImportFileError(
        f"{file}: is called neither .csv nor .jsonl (.tsv, .ndjson, .json), with or without .gz; say --kind"
    )


def find_form(file: Path, kind: str = "", encoding: str = "", separator: str = "") -> FileForm:
    """How a file is written: as the arguments say, and what they leave out as its text shows. Reads a CSV to its end.

    Raises:
        ImportFileError: the name says neither CSV nor JSON, or the file cannot be read, or the encoding is unknown.
    """
    is_table = is_csv(file, kind)
    try:
        if encoding:
            encoding = {"utf-8": "utf-8-sig"}.get(codecs.lookup(encoding).name, encoding)
        else:
            with _opened(file) as (_, opened):
                parts = iter(lambda: opened.read(_PART_BYTES), b"")
                # JSON is UTF-8 by its standard: its beginning is enough to see whether this one is.
                encoding = encoding_of(parts if is_table else islice(parts, 4))
        if is_table and not separator:
            with _opened(file) as (_, opened), _text(opened, encoding) as text:
                lines = [line for line in islice(_lines(text), _SAMPLE_LINES + 1) if line.strip()]
            separator = (declared_separator(lines[0]) if lines else "") or separator_of(lines[:_SAMPLE_LINES])
    except (OSError, EOFError, UnicodeError, LookupError, csv.Error) as error:
        raise ImportFileError(f"{file}: {error}") from None
    return FileForm(is_table, encoding, separator)


def read_rows(
    file: Path, mapping: RowMapping | None, on_progress: Callable[[int], None], form: FileForm | None = None
) -> Iterator[Row]:
    """Every event of the file, and every row that becomes none, in their order. JSON without a mapping is events.

    `on_progress` is called after every 1,000 rows with the number of bytes of the file that have been read.

    Raises:
        ImportFileError: the file cannot be read, or lacks a column that the mapping names.
    """
    form = form or find_form(file)
    try:
        with _opened(file) as (raw, opened):
            rows = _csv(file, opened, mapping, form) if form.is_csv else _json(opened, mapping, form)
            for position, (number, event, error) in enumerate(rows, start=1):
                if position % 1000 == 1:
                    on_progress(raw.tell())
                if error is None and len(event) > MAX_ROW_BYTES:
                    error = RowError("too_large", "", f"the row has {len(event)} bytes")
                yield Row(number, event, error, position - 1)
            on_progress(file.stat().st_size)
    except (OSError, EOFError, UnicodeError, LookupError, JsonTooLargeError) as error:
        raise ImportFileError(f"{file}: {error}") from None


@contextmanager
def opened_text(file: Path, form: FileForm) -> Iterator[TextIO]:
    """The text of a file."""
    with _opened(file) as (_, opened), _text(opened, form.encoding) as text:
        yield text


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The file, and its content unpacked."""
    with file.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not is_gzip:
            yield raw, raw
            return
        with gzip.open(raw) as unpacked:
            yield raw, unpacked  # type: ignore[misc]


@contextmanager
def _text(opened: BinaryIO, encoding: str) -> Iterator[TextIO]:
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    text = io.TextIOWrapper(opened, encoding, errors, newline="")
    try:
        yield text
    finally:
        text.detach()


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise ImportFileError(
                f"a line has more than {MAX_LINE:,} characters: is it CSV in the encoding that was detected? "
                "--encoding and --separator say otherwise"
            )
        yield line.replace("\0", "\ufffd")


Parsed = tuple[int, bytes, RowError | None]
"""The number of a row, its event and None, or what can be shown of the row and its fault."""


class _RowLines:
    """The lines of a CSV for its reader. What a broken row took along is read again as rows."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._row: list[str] = []

    def __iter__(self) -> "_RowLines":
        return self

    def __next__(self) -> str:
        if len(self._row) >= MAX_ROW_LINES:
            raise csv.Error(f"a quote is not closed within {MAX_ROW_LINES} lines")
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        return line

    def begin_row(self) -> None:
        self._row = []

    def give_back(self) -> str:
        """Have all lines of the row but the first read again; returns the first."""
        first, *others = self._row or [""]
        self._again.extendleft(reversed(others))
        return first


def _csv(file: Path, opened: BinaryIO, mapping: RowMapping | None, form: FileForm) -> Iterator[Parsed]:
    if mapping is None:
        raise MappingError("a CSV file needs a mapping")
    if not mapping.decimal and form.separator != ",":
        mapping = replace(mapping, decimal="either")
    with _text(opened, form.encoding) as text:
        records = _records(_RowLines(_lines(text)), form.separator)
        _, header, error = next(records, (0, [], None))
        if (len(header) == 1 and declared_separator(header[0])) or header[:1] == ["sep="]:
            _, header, error = next(records, (0, [], None))
        if error is not None:
            raise ImportFileError(f"{file}: the header line: {error}")
        header = [name.lstrip("\ufeff").strip().removeprefix(mapping.column_prefix) for name in header]
        _check_columns(file, header, mapping, form)
        yield from _orders(_cells(records, header), mapping)


def _records(lines: _RowLines, separator: str) -> Iterator[tuple[str, list[str], RowError | None]]:
    """The cells of each row, or the first line of a broken row and its fault. Lines without text are none."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            fault = RowError("wrong_columns", "", f"the row is not CSV: {error}; see its quotes")
            yield lines.give_back().rstrip("\r\n"), [], fault
            continue
        if cells is None:
            return
        if any(text.strip() for text in cells):
            yield "", cells, None


def _check_columns(file: Path, header: list[str], mapping: RowMapping, form: FileForm) -> None:
    columns = set(header)
    has_column = {path: not columns.isdisjoint(source.all_columns) for path, source in mapping.fields.items()}
    required = [path for path, source in mapping.fields.items() if source.columns and len(path) > 1]
    # A recipe knows more columns than a file has: its optional fields have several names, or a default.
    missing = sorted(
        mapping.fields[path].column
        for path in required
        if not has_column[path] and not mapping.file and len(mapping.fields[path].columns) == 1
    )
    ids = [path for path in (("userId",), ("anonymousId",)) if path in mapping.fields]
    if not missing and not any(has_column[path] or mapping.fields[path].text for path in ids):
        missing = sorted(mapping.fields[path].column for path in ids)
    if missing:
        raise ImportFileError(
            f"{file}: has no column {', '.join(missing)}; its columns are {', '.join(sorted(columns))} ({form}); "
            "--mapping or --as says what they are, --separator and --encoding how they are written"
        )


def _cells(
    records: Iterator[tuple[str, list[str], RowError | None]], header: list[str]
) -> Iterator[tuple[int, dict[str, str], RowError | None]]:
    for number, (line, cells, error) in enumerate(records, start=1):
        if error is not None:
            yield number, {"row": line}, error
            continue
        if len(cells) != len(header):
            message = f"the row has {len(cells)} columns, the header line names {len(header)}"
            yield number, {"row": str(cells)[:1000]}, RowError("wrong_columns", "", message)
            continue
        row = dict(zip(header, cells, strict=True))
        broken = next((name for name, text in row.items() if has_broken_text(text)), None)
        if broken is not None:
            shown = {name: text.encode("utf-8", "surrogateescape").decode("latin-1") for name, text in row.items()}
            yield number, shown, RowError("unreadable", "", f"{broken} is not UTF-8; --encoding says what it is")
            continue
        yield number, row, None


def _orders(rows: Iterator[tuple[int, dict[str, str], RowError | None]], mapping: RowMapping) -> Iterator[Parsed]:
    """The events of the rows, lines of one order together."""
    order: list[dict[str, str]] = []
    first = 0
    order_id = ""
    for number, row, error in rows:
        row_id = "" if mapping.lines is None or error else _first_cell(row, mapping.lines.of)
        if order and mapping.lines is not None and error is None and row_id in ("", order_id):
            if len(order) <= MAX_LINES:
                order.append(row)
            continue
        if order:
            yield from _events(first, order, mapping)
            order = []
        if error is not None:
            yield number, msgspec.json.encode(row), error
        elif mapping.lines is None:
            yield from _events(number, [row], mapping)
        else:
            order, first, order_id = [row], number, row_id
    if order:
        yield from _events(first, order, mapping)


def _first_cell(row: dict[str, str], columns: tuple[str, ...]) -> str:
    return next((text.strip() for column in columns if (text := str(cell(row, column) or "")).strip()), "")


def _json(opened: BinaryIO, mapping: RowMapping | None, form: FileForm) -> Iterator[Parsed]:
    for number, text in enumerate(json_elements(opened, form.encoding, MAX_LINE), start=1):
        if len(text) >= MAX_LINE:
            yield number, text[:1000], RowError("too_large", "", f"the row has more than {MAX_LINE:,} bytes")
            continue
        try:
            row: Any = _ANY.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield number, text, RowError("unreadable", "", f"not JSON: {error}")
            continue
        if not isinstance(row, dict):
            yield number, text, RowError("wrong_type", "", "a line has to be an object")
        elif mapping is None:
            yield number, msgspec.json.encode(with_message_id(row)), None
        else:
            yield from _events(number, [row], mapping)


def _events(number: int, rows: list[dict[str, Any]], mapping: RowMapping) -> Iterator[Parsed]:
    try:
        for event in events_of(rows, mapping):
            yield number, msgspec.json.encode(event), None
    except RowError as error:
        yield number, msgspec.json.encode(rows[0]), error
