"""Takes the rows out of a till's export, each as a JSON object: of JSON, JSON lines or CSV. Pure.

A broken row is one rejected row: those after it are read all the same.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from io import StringIO
from itertools import islice
from typing import NamedTuple

from services.ingest.dialects.split import SplitBody, single_event, split_events
from services.ingest.event import tolerant_json
from services.ingest.event.verdict import MAX_EVENTS, Verdict
from throughline.kit.errors import ServiceError
from throughline.kit.text_form import declared_separator, encoding_of, marked_encoding, separator_of

MAX_LINES = 100
"""Maximum number of lines of one CSV row, whose texts may hold line ends in quotes: a quote that is never closed must
not swallow the rest of a file."""

_SAMPLE_LINES = 20

Row = tuple[bytes, Verdict | None]
"""A row as a JSON object, and why it is rejected, or None."""


class Rows(NamedTuple):
    """The rows of a body."""

    rows: list[Row]
    has_decimal_comma: bool = False
    """Whether numbers may have a decimal comma, because the columns are separated by another character."""


@lru_cache(maxsize=1024)
def column_name(name: str) -> str:
    """Returns a column's name in the form that names are compared in: without regard to case and spaces."""
    return name.strip().lower().replace(" ", "_")


def rows_of(body: bytes, required: frozenset[str]) -> Rows:
    """Returns the rows of a body. The first line of a CSV must name one of the columns `required`.

    Raises:
        ServiceError: 400, the body cannot be read, or has more than `MAX_EVENTS` rows.
    """
    encoding = marked_encoding(body)
    if encoding:
        body = body.decode(encoding, "replace").encode()
    start = body.lstrip()[:1]
    if start == b"[":
        rows = Rows(_split_rows(split_events(body, "", max_events=len(body))))
    elif start == b"{":
        rows = Rows(_object_rows(body))
    else:
        rows = _csv_rows(body, required)
    if len(rows.rows) > MAX_EVENTS:
        raise ServiceError(
            400,
            "too_many_events",
            f"the body has more than {MAX_EVENTS} rows; send them in parts, or the file with `throughline import`",
        )
    return rows


def _split_rows(split: SplitBody) -> list[Row]:
    return [(bytes(raw), split.defects.get(position)) for position, raw in enumerate(split.events)]


def _object_rows(body: bytes) -> list[Row]:
    """Returns the rows of JSON lines, of an object with a list `sales`, or of one object."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and _is_object(lines[0]):
        return [_line_row(line) for line in lines[: MAX_EVENTS + 1]]
    value = tolerant_json.load(body)
    has_list = isinstance(value, dict) and "sales" in value
    return _split_rows(split_events(body, "sales", max_events=len(body)) if has_list else single_event(body))


def _is_object(line: bytes) -> bool:
    try:
        single_event(line)
    except ServiceError:
        return False
    return True


def _line_row(line: bytes) -> Row:
    try:
        return _split_rows(single_event(line))[0]
    except ServiceError as error:
        text = line.decode("utf-8", "surrogateescape")
        return _broken_row(text, error.code, error.message.replace("the body", "the line"))


def _broken_row(text: str, code: str, message: str) -> Row:
    # As an object, because a replay sends rows in a list of objects.
    return tolerant_json.dump({"row": text}), Verdict("rejected", code, "", message)


def _csv_rows(body: bytes, required: frozenset[str]) -> Rows:
    encoding = encoding_of([body])
    text = body.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")
    lines = [line for line in StringIO(text, newline="") if line.strip()]
    declared = declared_separator(lines[0]) if lines else ""
    lines = lines[1:] if declared else lines
    if not lines:
        raise ServiceError(
            400, "empty_body", "the body is empty; send sales as JSON, or CSV with a line of column names"
        )
    delimiter = declared or separator_of(lines[:_SAMPLE_LINES])
    names, line_count = _csv_cells(lines, 0, delimiter)
    columns = [column_name(name) for name in names]
    if required.isdisjoint(columns):
        raise ServiceError(
            400,
            "missing_column",
            f"neither JSON nor CSV with a column receipt; the first line, which names the columns: {str(names)[:300]}",
        )
    duplicate = next((name for name, count in Counter(columns).items() if count > 1), None)
    if duplicate is not None:
        raise ServiceError(400, "duplicate_column", f"two columns are called {duplicate[:100]!r}")
    rows = _parse_csv(lines, line_count, names, delimiter)
    return Rows(list(islice(rows, MAX_EVENTS + 1)), delimiter != ",")


def _parse_csv(lines: list[str], start: int, names: list[str], delimiter: str) -> Iterator[Row]:
    while start < len(lines):
        cells, line_count = _csv_cells(lines, start, delimiter)
        if len(cells) == len(names):
            row = dict(zip(names, cells, strict=True))
            yield tolerant_json.dump_texts(row), tolerant_json.texts_defect(row)
        else:
            # Only this line is broken: lines that an open quote took along are rows of their own.
            line_count = 1
            problem = (
                f"has {len(cells)} columns, the first line names {len(names)}"
                if cells
                else "is not CSV; see its quotes"
            )
            yield _broken_row(lines[start].rstrip("\r\n"), "wrong_columns", f"the row {problem}")
        start += line_count


def _csv_cells(lines: list[str], start: int, delimiter: str) -> tuple[list[str], int]:
    """Returns the cells of the row that begins at a line, none if it cannot be read, and its number of lines."""
    reader = csv.reader(lines[start : start + MAX_LINES], delimiter=delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return [], 1
