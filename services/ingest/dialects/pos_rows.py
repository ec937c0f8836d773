"""The rows of a till's export as JSON objects: out of JSON, JSON lines or CSV, told apart by how they begin. Pure.

A row that is broken is one refused row: what comes after it is read all the same.
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

MAX_LINES = 100
"""Of one CSV row, whose texts may have line ends in quotes: an open quote must not swallow the rest of a file."""

_DELIMITERS = ",;\t"

Row = tuple[bytes, Verdict | None]
"""A row as a JSON object, and what is wrong with it."""


class Rows(NamedTuple):
    """All rows of a body."""

    found: list[Row]
    decimal_comma: bool = False
    """Numbers may have a comma where others have a point: the columns are parted by something else."""


@lru_cache(maxsize=1024)
def column(name: str) -> str:
    """A column's name as it is compared: case and spaces do not matter."""
    return name.strip().lower().replace(" ", "_")


def rows_of(body: bytes, needed: frozenset[str]) -> Rows:
    """The rows of a body; a CSV's first line has to name one of the columns `needed`.

    Raises:
        ServiceError: 400, nobody can read it, or it has more than `MAX_EVENTS` rows.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    head = body.lstrip()[:1]
    rows = Rows(_rows(split_events(body, "", max_events=len(body)))) if head == b"[" else None
    if rows is None:
        rows = Rows(_objects(body)) if head == b"{" else _csv(body, needed)
    if len(rows.found) > MAX_EVENTS:
        raise ServiceError(
            400,
            "too_many_events",
            f"the body has more than {MAX_EVENTS} rows; send them in parts, or the file with `throughline import`",
        )
    return rows


def _rows(split: SplitBody) -> list[Row]:
    return [(bytes(raw), split.defects.get(number)) for number, raw in enumerate(split.events)]


def _objects(body: bytes) -> list[Row]:
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and _is_object(lines[0]):
        return [_line(line) for line in lines[: MAX_EVENTS + 1]]
    value = tolerant_json.load(body)
    many = isinstance(value, dict) and "sales" in value
    return _rows(split_events(body, "sales", max_events=len(body)) if many else single_event(body))


def _is_object(line: bytes) -> bool:
    try:
        single_event(line)
    except ServiceError:
        return False
    return True


def _line(line: bytes) -> Row:
    try:
        return _rows(single_event(line))[0]
    except ServiceError as error:
        return _broken(
            line.decode("utf-8", "surrogateescape"), error.code, error.message.replace("the body", "the line")
        )


def _broken(text: str, code: str, message: str) -> Row:
    # In an object, as whoever sends it again with its neighbours needs it.
    return tolerant_json.dump({"row": text}), Verdict("rejected", code, "", message)


def _csv(body: bytes, needed: frozenset[str]) -> Rows:
    text = body.decode("utf-8", "surrogateescape")
    lines = [line for line in StringIO(text, newline="") if line.strip()]
    if not lines:
        raise ServiceError(
            400, "empty_body", "the body is empty; send sales as JSON, or CSV with a line of column names"
        )
    delimiter = max(_DELIMITERS, key=lines[0].count)
    names, used = _record(lines, 0, delimiter)
    known = [column(name) for name in names]
    if needed.isdisjoint(known):
        raise ServiceError(
            400,
            "missing_column",
            f"neither JSON nor CSV with a column receipt; the first line, which names the columns: {str(names)[:300]}",
        )
    twice = next((name for name, times in Counter(known).items() if times > 1), None)
    if twice is not None:
        raise ServiceError(400, "duplicate_column", f"two columns are called {twice[:100]!r}")
    return Rows(list(islice(_records(lines, used, names, delimiter), MAX_EVENTS + 1)), delimiter != ",")


def _records(lines: list[str], at: int, names: list[str], delimiter: str) -> Iterator[Row]:
    while at < len(lines):
        cells, used = _record(lines, at, delimiter)
        if len(cells) == len(names):
            row = dict(zip(names, cells, strict=True))
            yield tolerant_json.dump_texts(row), tolerant_json.texts_defect(row)
        else:
            # What a quote without an end took along are rows of their own.
            used = 1
            why = (
                f"has {len(cells)} columns, the first line names {len(names)}"
                if cells
                else "is not CSV; see its quotes"
            )
            yield _broken(lines[at].rstrip("\r\n"), "wrong_columns", f"the row {why}")
        at += used


def _record(lines: list[str], at: int, delimiter: str) -> tuple[list[str], int]:
    """The cells of the row that begins at a line, and how many lines it has; no cells if it can not be read."""
    reader = csv.reader(lines[at : at + MAX_LINES], delimiter=delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return [], 1
