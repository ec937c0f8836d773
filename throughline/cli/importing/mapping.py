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

FIELDS = ("type", "userId", "anonymousId", "previousId", "event", "name", "timestamp", "messageId", "groupId")
"""What `[event]` may hold; the objects beside them are `[properties]`, `[traits]` and `[context]`."""
_OBJECTS = ("properties", "traits", "context")
_OPTIONS = ("column", "values", "number", "format")


class MappingError(ValueError):
    """The mapping cannot be used; each line of the message names the file and the field."""


class RowError(ValueError):
    """One row cannot become an event. `code` is stable, `field` the event's field."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Taken(NamedTuple):
    """Where one field comes from: `text` for all rows, or a column."""

    text: str | None
    column: str = ""
    values: Mapping[str, str] | None = None
    number: bool = False
    format: str = ""


@dataclass(frozen=True)
class RowMapping:
    """A whole mapping."""

    fields: Mapping[tuple[str, ...], Taken]
    rest: bool
    zone: ZoneInfo

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns it names."""
        return frozenset(taken.column for taken in self.fields.values() if taken.column)


def plain(time_zone: str = "UTC") -> RowMapping:
    """The mapping of a file whose columns are called as Segment's fields; all others are properties."""
    return RowMapping({(name,): Taken(None, name) for name in FIELDS}, True, _zone(time_zone, "--time-zone"))


def parse_mapping(text: str, file: str) -> RowMapping:
    """The mapping in a file's text.

    Raises:
        MappingError: names every fault.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{file}: not TOML: {error}") from None
    faults: list[str] = []
    fields: dict[tuple[str, ...], Taken] = {}
    for name, value in document.items():
        if name in ("event", *_OBJECTS):
            if not isinstance(value, dict):
                faults.append(f"{name}: has to be a table")
                continue
            for field, said in value.items():
                path = (field,) if name == "event" else (name, field)
                if name == "event" and field not in FIELDS:
                    faults.append(f"event.{field}: is none of {', '.join(FIELDS)}; others belong into [properties]")
                    continue
                taken = _taken(said, f"{name}.{field}", faults)
                if taken is not None:
                    fields[path] = taken
        elif name not in ("rest", "time_zone"):
            faults.append(f"{name}: is none of event, {', '.join(_OBJECTS)}, rest, time_zone")
    rest = document.get("rest", True)
    if not isinstance(rest, bool):
        faults.append("rest: has to be true or false")
    if ("userId",) not in fields and ("anonymousId",) not in fields:
        faults.append("event: needs a userId or an anonymousId")
    if ("event",) not in fields and fields.get(("type",), Taken("track")).text == "track":
        faults.append("event.event: is missing: which event does a row stand for?")
    zone = ZoneInfo("UTC")
    try:
        zone = _zone(document.get("time_zone", "UTC"), "time_zone")
    except MappingError as error:
        faults.append(str(error))
    if faults:
        raise MappingError("\n".join(f"{file}: {fault}" for fault in faults))
    return RowMapping(fields, rest, zone)


def _taken(said: Any, where: str, faults: list[str]) -> Taken | None:
    if isinstance(said, str):
        return Taken(said)
    if not isinstance(said, dict) or not isinstance(said.get("column"), str):
        faults.append(f'{where}: has to be a text, or {{ column = "..." }}')
        return None
    unknown = sorted(set(said) - set(_OPTIONS))
    if unknown:
        faults.append(f"{where}: {', '.join(unknown)}: is none of {', '.join(_OPTIONS)}")
        return None
    values, number, form = said.get("values"), said.get("number", False), said.get("format", "")
    if values is not None and not (
        isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
    ):
        faults.append(f"{where}.values: has to be a table from what the column says to a text")
        return None
    if not isinstance(number, bool) or not isinstance(form, str):
        faults.append(f"{where}: number has to be true or false, format a text like %d.%m.%Y %H:%M")
        return None
    return Taken(None, said["column"], values, number, form)


def _zone(name: Any, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise MappingError(f"{where}: {name!r} is not a time zone like UTC or Europe/Vienna") from None


def event_of(row: Mapping[str, Any], mapping: RowMapping) -> dict[str, Any]:
    """The event of one row, column to value; empty values are not given.

    A row without a message id gets one made of what it says: two rows that say the same are one event.

    Raises:
        RowError: its time cannot be read, or what should be a number is none.
    """
    event: dict[str, Any] = {}
    for path, taken in mapping.fields.items():
        value = _value(row, taken, path, mapping.zone)
        if value is None or value == "":
            continue
        if len(path) == 1:
            event[path[0]] = value
        else:
            event.setdefault(path[0], {})[path[1]] = value
    if mapping.rest:
        named = mapping.columns
        others = {name: value for name, value in row.items() if name not in named and value not in (None, "")}
        if others:
            event["properties"] = {**others, **event.get("properties", {})}
    event.setdefault("type", "track")
    return identified(event)


def identified(event: dict[str, Any]) -> dict[str, Any]:
    """The event with a message id: its own, or one made of what it says."""
    if not event.get("messageId"):
        said = msgspec.json.encode(event, order="sorted")
        event["messageId"] = f"import-{blake2b(said, digest_size=16).hexdigest()}"
    return event


def _value(row: Mapping[str, Any], taken: Taken, path: tuple[str, ...], zone: ZoneInfo) -> Any:
    if taken.text is not None:
        return taken.text
    value = row.get(taken.column)
    if value is None or value == "":
        return None
    if taken.values is not None:
        value = taken.values.get(str(value), value)
    if taken.number and not isinstance(value, int | float):
        try:
            value = float(str(value))
        except ValueError:
            where = ".".join(path)
            raise RowError("wrong_type", where, f"{taken.column} {value!r} is not a number like 12.50") from None
    if path == ("timestamp",):
        return _time(value, taken, zone)
    return value


def _time(value: Any, taken: Taken, zone: ZoneInfo) -> str:
    try:
        if isinstance(value, int | float):
            raise ValueError
        time = datetime.strptime(value, taken.format) if taken.format else datetime.fromisoformat(value)  # noqa: DTZ007
    except (ValueError, TypeError):
        means = taken.format or "2026-01-31T12:00:00Z"
        raise RowError("unreadable_time", "timestamp", f"{taken.column} {value!r} is not a time like {means}") from None
    return (time if time.tzinfo else time.replace(tzinfo=zone)).isoformat()
