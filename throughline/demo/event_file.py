"""A CSV file of events for the SDK: checked as a whole, then read row by row as the SDK's calls."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, TextIO
from zoneinfo import ZoneInfo

SHOWN_FAULTS = 5
"""Number of faults of a file that are listed; more are counted."""
Row = dict[str, str]


class EventFileError(ValueError):
    """The file cannot be sent; the message names the column or the lines at fault and the fix."""


@dataclass(frozen=True)
class Columns:
    """Columns by what they hold. Every other column is sent as a property of its own name."""

    user: str = "user_id"
    event: str = "event"
    time: str = "timestamp"
    channel: str | None = None
    """None: `acquisition_channel`, if the file has it. Sent as the property `acquisition_channel`."""
    message_id: str | None = None
    """None: the row's number, in nine digits, counted from 1 below the header."""


@dataclass(frozen=True)
class EventFile:
    """A checked file, whose `rows` rows can all be sent. `check` returns it."""

    path: Path
    rows: int
    columns: Columns
    zone: ZoneInfo
    id_prefix: str = ""
    _header: list[str] = field(default_factory=list, repr=False)

    def calls(self, *, duplicate: float = 0.0, shuffle: int | None = None) -> Iterator[dict[str, Any]]:
        """The arguments of the SDK's `track` for each row.

        Args:
            duplicate: the share of rows, 0 to 1, that come twice: one after the other, or anywhere when shuffled.
            shuffle: the seed of the order. All rows are then held in memory; otherwise the file is streamed.
        """
        random = Random(shuffle or 0)
        twice = frozenset(random.sample(range(1, self.rows + 1), round(duplicate * self.rows)))
        rows: Iterator[tuple[int, Row]] = (
            (number, row) for number, row in self._rows() for _ in range(2 if number in twice else 1)
        )
        if shuffle is not None:
            shuffled = list(rows)
            random.shuffle(shuffled)
            rows = iter(shuffled)
        for number, row in rows:
            yield self._call(number, row)

    def _rows(self) -> Iterator[tuple[int, Row]]:
        with _open(self.path) as lines:
            reader = csv.reader(lines)
            next(reader)
            for number, cells in enumerate(filter(None, reader), start=1):
                yield number, dict(zip(self._header, cells, strict=True))

    def _call(self, number: int, row: Row) -> dict[str, Any]:
        columns = self.columns
        row = dict(row)
        user, event, time = row.pop(columns.user), row.pop(columns.event), row.pop(columns.time)
        message_id = row.pop(columns.message_id) if columns.message_id else f"{number:09d}"
        properties = {name: value for name, value in row.items() if value != ""}
        if columns.channel is not None and columns.channel in properties:
            properties["acquisition_channel"] = properties.pop(columns.channel)
        return {
            "user_id": user,
            "event": event,
            "properties": properties,
            "timestamp": _instant(time, self.zone),
            "message_id": self.id_prefix + message_id,
        }


def check(path: Path, columns: Columns, zone: ZoneInfo, *, id_prefix: str = "") -> EventFile:
    """Read the whole file once and check that every row can be sent.

    Raises:
        EventFileError: the file cannot be read, is not CSV in UTF-8 or lacks a column, or rows have no user, event or
            no time that can be read (the first ones are listed with their lines).
    """
    try:
        with _open(path) as lines:
            reader = csv.reader(lines, strict=True)
            header = next(reader, None)
            if not header:
                raise EventFileError(f"{path} is empty; its first line has to name the columns")
            columns = _resolve(path, header, columns)
            rows = faulty_rows = 0
            faults: list[str] = []
            for cells in reader:
                if not cells:
                    continue
                rows += 1
                fault = _fault(cells, header, columns, zone)
                if fault:
                    faulty_rows += 1
                    if faulty_rows <= SHOWN_FAULTS:
                        faults.append(f"line {reader.line_num}: {fault}")
    except OSError as error:
        raise EventFileError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise EventFileError(f"{path} is not a CSV file in UTF-8: {error}") from None
    if faulty_rows:
        more = f"\n  and {faulty_rows - SHOWN_FAULTS} more" if faulty_rows > SHOWN_FAULTS else ""
        raise EventFileError(f"{faulty_rows} of {rows} rows in {path} cannot be sent:\n  " + "\n  ".join(faults) + more)
    return EventFile(path, rows, columns, zone, id_prefix, header)


def _resolve(path: Path, header: list[str], columns: Columns) -> Columns:
    if columns.channel is None and "acquisition_channel" in header:
        columns = Columns(columns.user, columns.event, columns.time, "acquisition_channel", columns.message_id)
    names = {
        "--user-column": columns.user,
        "--event-column": columns.event,
        "--time-column": columns.time,
        "--channel-column": columns.channel,
        "--id-column": columns.message_id,
    }
    for option, name in names.items():
        if name is not None and name not in header:
            raise EventFileError(f"{path} has no column {name!r}; it has {', '.join(header)}: choose one with {option}")
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise EventFileError(f"{path} has the column {doubled[0]!r} twice; rename one of them")
    return columns


def _fault(cells: list[str], header: list[str], columns: Columns, zone: ZoneInfo) -> str:
    if len(cells) != len(header):
        return f"{len(cells)} cells, the header has {len(header)}"
    row = dict(zip(header, cells, strict=True))
    for name in (columns.user, columns.event, columns.time, columns.message_id):
        if name is not None and not row[name].strip():
            return f"{name} is empty"
    try:
        _instant(row[columns.time], zone)
    except ValueError:
        return (
            f"{columns.time} is {row[columns.time]!r}, wanted a time like 2024-03-13 10:21:14 or 2024-03-13T10:21:14Z"
        )
    return ""


def _instant(text: str, zone: ZoneInfo) -> datetime:
    """The time in `text`, in `zone` unless the text names a zone."""
    instant = datetime.fromisoformat(text.strip())
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=zone)


def _open(path: Path) -> TextIO:
    """Open the file, unpacked if its content is gzip, whatever its name; a byte order mark is skipped."""
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    if is_gzip:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
