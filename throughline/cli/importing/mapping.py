"""From a row of somebody's file to an event in Segment's terms, as a mapping file says it. Pure.

A mapping is TOML: `[event]` and `[properties]` give each field a text that is the same for all rows, or the column it
comes from: `{ column = "sold_at", format = "%d.%m.%Y %H:%M" }`,
`{ column = "kind", values = { sale = "Order Completed" } }`,
`{ column = "amount", number = true }`. Columns that nothing names go to the properties, unless `rest = false`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from throughline.kit.time_text import FORMS, Unit, number_of, of_epoch, parse_time

FIELDS = ("type", "userId", "anonymousId", "previousId", "event", "name", "timestamp", "messageId", "groupId")
"""The fields that `[event]` may have; the objects beside them are `[properties]`, `[traits]` and `[context]`."""
_OBJECTS = ("properties", "traits", "context")
_OPTIONS = ("column", "values", "number", "format")

EPOCHS: Mapping[str, Unit | None] = {"epoch": None, "epoch_s": "s", "epoch_ms": "ms", "epoch_us": "us"}
"""`format` of numbers since 1970 -> their unit; None: their size says it."""

Path = tuple[str, ...]
"""A field of the event: its name, after that of the object that holds it, if there is one."""


class MappingError(ValueError):
    """The mapping cannot be used; each line of the message names the file and the field."""


class RowError(ValueError):
    """One row cannot become an event. `code` is stable, `field` the event's field."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class FieldSource(NamedTuple):
    """Where the value of one field comes from: `text` for all rows, or a column."""

    text: str | None
    column: str = ""
    values: Mapping[str, str] | None = None
    """Value of the column -> value of the field; values that are not listed stay as they are."""
    number: bool = False
    format: str = ""
    """How times are written: one of `EPOCHS`, or in `strptime`'s terms; "" = found out (`parse_time`)."""


@dataclass(frozen=True)
class RowMapping:
    """A whole mapping."""

    fields: Mapping[Path, FieldSource]
    rest: bool
    """Whether columns that no field comes from become properties."""
    zone: ZoneInfo
    """The zone of times that name none."""

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that fields come from."""
        return frozenset(source.column for source in self.fields.values() if source.column)


def segment_mapping(time_zone: str = "UTC") -> RowMapping:
    """The mapping of a file whose columns are called as Segment's fields; all other columns are properties.

    Raises:
        MappingError: there is no such time zone.
    """
    fields: dict[Path, FieldSource] = {(name,): FieldSource(None, name) for name in FIELDS}
    return RowMapping(fields, True, _zone(time_zone, "--time-zone"))


def parse_mapping(text: str, file: str) -> RowMapping:
    """The mapping in a file's text; `file` is its name for messages.

    Raises:
        MappingError: names every fault.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{file}: not TOML: {error}") from None
    faults: list[str] = []
    fields: dict[Path, FieldSource] = {}
    for name, value in document.items():
        if name in ("event", *_OBJECTS):
            fields |= _parse_table(name, value, faults)
        elif name not in ("rest", "time_zone"):
            faults.append(f"{name}: is none of event, {', '.join(_OBJECTS)}, rest, time_zone")
    rest = document.get("rest", True)
    if not isinstance(rest, bool):
        faults.append("rest: has to be true or false")
    if ("userId",) not in fields and ("anonymousId",) not in fields:
        faults.append("event: needs a userId or an anonymousId")
    if ("event",) not in fields and fields.get(("type",), FieldSource("track")).text == "track":
        faults.append("event.event: is missing: which event does a row stand for?")
    zone = ZoneInfo("UTC")
    try:
        zone = _zone(document.get("time_zone", "UTC"), "time_zone")
    except MappingError as error:
        faults.append(str(error))
    if faults:
        raise MappingError("\n".join(f"{file}: {fault}" for fault in faults))
    return RowMapping(fields, rest, zone)


def _parse_table(name: str, table: Any, faults: list[str]) -> dict[Path, FieldSource]:
    """The fields of `[event]` or of one of the objects; adds to `faults`."""
    fields: dict[Path, FieldSource] = {}
    if not isinstance(table, dict):
        faults.append(f"{name}: has to be a table")
        return fields
    for field, value in table.items():
        if name == "event" and field not in FIELDS:
            faults.append(f"event.{field}: is none of {', '.join(FIELDS)}; others belong into [properties]")
            continue
        source = _parse_source(value, f"{name}.{field}", faults)
        if source is not None:
            fields[(field,) if name == "event" else (name, field)] = source
    return fields


def _parse_source(value: Any, field: str, faults: list[str]) -> FieldSource | None:
    if isinstance(value, str):
        return FieldSource(value)
    if not isinstance(value, dict) or not isinstance(value.get("column"), str):
        faults.append(f'{field}: has to be a text, or {{ column = "..." }}')
        return None
    unknown = sorted(set(value) - set(_OPTIONS))
    if unknown:
        faults.append(f"{field}: {', '.join(unknown)}: is none of {', '.join(_OPTIONS)}")
        return None
    values, number, time_format = value.get("values"), value.get("number", False), value.get("format", "")
    if values is not None and not (isinstance(values, dict) and all(isinstance(text, str) for text in values.values())):
        faults.append(f"{field}.values: has to be a table from what the column says to a text")
        return None
    if not isinstance(number, bool) or not isinstance(time_format, str):
        faults.append(f"{field}: number has to be true or false, format a text like %d.%m.%Y %H:%M or epoch")
        return None
    return FieldSource(None, value["column"], values, number, time_format)


def _zone(name: Any, option: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise MappingError(f"{option}: {name!r} is not a time zone like UTC or Europe/Vienna") from None


def event_of(row: Mapping[str, Any], mapping: RowMapping) -> dict[str, Any]:
    """The event of one row (column -> value). Empty values are left out; the event has a message id.

    Raises:
        RowError: its time cannot be read, or what should be a number is none.
    """
    event: dict[str, Any] = {}
    for path, source in mapping.fields.items():
        value = _value(row, source, path, mapping.zone)
        if value is None or value == "":
            continue
        if len(path) == 1:
            event[path[0]] = value
        else:
            event.setdefault(path[0], {})[path[1]] = value
    if mapping.rest:
        columns = mapping.columns
        others = {name: value for name, value in row.items() if name not in columns and value not in (None, "")}
        if others:
            event["properties"] = {**others, **event.get("properties", {})}
    event.setdefault("type", "track")
    return with_message_id(event)


def with_message_id(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the message id it has, or with one made of its content: rows of the same content are one event."""
    if not event.get("messageId"):
        content = msgspec.json.encode(event, order="sorted")
        event["messageId"] = f"import-{blake2b(content, digest_size=16).hexdigest()}"
    return event


def _value(row: Mapping[str, Any], source: FieldSource, path: Path, zone: ZoneInfo) -> Any:
    if source.text is not None:
        return source.text
    value = row.get(source.column)
    if value is None or value == "":
        return None
    if source.values is not None:
        value = source.values.get(str(value), value)
    if source.number and not isinstance(value, int | float):
        try:
            value = float(str(value))
        except ValueError:
            field = ".".join(path)
            raise RowError("wrong_type", field, f"{source.column} {value!r} is not a number like 12.50") from None
    if path == ("timestamp",):
        return _time(value, source, zone)
    return value


def _time(value: Any, source: FieldSource, zone: ZoneInfo) -> str:
    try:
        time = _parse_time(value, source.format)
        if time is None:
            raise ValueError
        return (time if time.tzinfo else time.replace(tzinfo=zone)).isoformat()
    except (ValueError, TypeError, OverflowError):
        example = source.format or f"2026-01-31T12:00:00Z ({FORMS})"
        message = f"{source.column} {value!r} is not a time like {example}"
        raise RowError("unreadable_time", "timestamp", message) from None


def _parse_time(value: Any, form: str) -> datetime | None:
    if form in EPOCHS:
        number = number_of(value.strip()) if isinstance(value, str) else value
        return None if number is None or isinstance(number, bool) else of_epoch(number, EPOCHS[form])
    return datetime.strptime(value, form) if form else parse_time(value)  # noqa: DTZ007
