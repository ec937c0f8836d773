"""The events of a row, as its mapping says. Pure.

Most rows are one event. A row with `also` may be several, one with `each` is as many as its list has members, and rows
that are the lines of one order are one event together.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from throughline.cli.importing.mapping import OBJECTS, Fields, FieldSource, LineMapping, Path, RowError, RowMapping
from throughline.cli.importing.values import TIME_HINT, cell, number_of, packed_objects, time_of
from throughline.kit.text_form import is_rounded

SKEW = timedelta(seconds=30)
"""Maximum difference between the client's clock and the collector's that is no fault of the clock."""
_FORMULA_SIGNS = ("=", "+", "-", "@")
_IDS = (("userId",), ("anonymousId",), ("previousId",), ("messageId",), ("properties", "order_id"))
MAX_LINES = 1000
"""Maximum number of rows that are the lines of one order: one id in a whole column must not gather the file."""

RowCells = Mapping[str, Any]
"""Column -> cell."""


def events_of(rows: Sequence[RowCells], mapping: RowMapping) -> Iterator[dict[str, Any]]:
    """The events of a row; several rows are the lines of one order. Empty values are left out.

    Raises:
        RowError: its time cannot be read, or what should be a number is none.
    """
    if len(rows) > MAX_LINES:
        raise RowError("too_large", "", f"an order of more than {MAX_LINES} rows; check the column of [lines] of")
    for row in _members(_objects(rows[0], mapping.key_values), mapping.each):
        event = _event(row, mapping.fields, mapping)
        if mapping.lines is not None:
            products = [product for line in _lines(rows, mapping.lines) if (product := _product(line, mapping))]
            if products:
                event.setdefault("properties", {})["products"] = products
        yield with_message_id(event)
        for also in mapping.also:
            for part in _parts(row, also.each):
                if _value(part, also.when, ("when",), mapping) is not None:
                    yield with_message_id(_event(part, also.fields, mapping))


def with_message_id(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the message id it has, or with one made of its content: rows of the same content are one event."""
    if not event.get("messageId"):
        content = msgspec.json.encode(event, order="sorted")
        event["messageId"] = f"import-{blake2b(content, digest_size=16).hexdigest()}"
    return event


def _event(row: RowCells, fields: Fields, mapping: RowMapping) -> dict[str, Any]:
    event: dict[str, Any] = {}
    if mapping.as_is:
        event = {name: value for name, value in row.items() if name not in mapping.drop}
        row = _with_corrected_time(row, mapping)
    for path, source in fields.items():
        value = _value(row, source, path, mapping)
        if value is None or value == "" or value == []:
            continue
        if len(path) == 1 and path[0] in OBJECTS and not isinstance(value, dict):
            continue
        holder = event
        for name in path[:-1]:
            part = holder.get(name)
            # A copy: what an event changes is not the row's.
            holder[name] = dict(part) if isinstance(part, dict) else {}
            holder = holder[name]
        holder[path[-1]] = value
    others = _others(row, mapping)
    if others:
        event["properties"] = {**others, **event.get("properties", {})}
    event.setdefault("type", "track")
    if "timestamp" not in event:
        of_time = fields.get(("timestamp",))
        column = f" in {of_time.column}" if of_time and of_time.column else ""
        raise RowError("missing_time", "timestamp", f"no time{column}: history never happens now; {TIME_HINT}")
    return event


def _with_corrected_time(row: RowCells, mapping: RowMapping) -> RowCells:
    """An archived event without a `timestamp` gets it as the archive's collector would have set it."""
    names = ("originalTimestamp", "sentAt", "receivedAt")
    if row.get("timestamp") or not all(row.get(name) for name in names):
        return row
    original, sent, received = (datetime.fromisoformat(time_of(row[name], name, "", mapping.zone)) for name in names)
    is_clock_wrong = abs(received - sent) > SKEW
    return {**row, "timestamp": (original + (received - sent) if is_clock_wrong else original).isoformat()}


def _others(row: RowCells, mapping: RowMapping) -> dict[str, Any]:
    """The properties that no field names."""
    if mapping.as_is or mapping.rest is False:
        return {}
    if mapping.rest is True:
        columns = mapping.columns
        return {name: value for name, value in row.items() if name not in columns and value not in (None, "")}
    members = cell(row, mapping.rest)
    if members is None:
        # A table of them has a column for each member.
        path = f"{mapping.rest}."
        members = {name.removeprefix(path): value for name, value in row.items() if name.startswith(path)}
    if isinstance(members, str):
        try:
            members = json.loads(members)
        except (ValueError, RecursionError):
            raise RowError("unreadable", mapping.rest, f"{mapping.rest} is not JSON") from None
    if not isinstance(members, dict):
        return {}
    return {name: value for name, value in members.items() if value not in (None, "") and name not in mapping.drop}


def _lines(rows: Sequence[RowCells], lines: LineMapping) -> Iterator[RowCells]:
    """The lines of an order: its rows, or what is packed in their cells."""
    if not lines.packed:
        yield from rows
        return
    for row in rows:
        packed = [part for column in row if _is_packed(column, lines.packed) for part in packed_objects(row[column])]
        yield from packed or (row,)


@lru_cache(maxsize=4096)
def _is_packed(column: str, names: tuple[str, ...]) -> bool:
    return any(
        column.startswith(name[:-1]) and column[len(name) - 1 :].isdigit() if name.endswith("*") else column == name
        for name in names
    )


def _parts(row: RowCells, each: tuple[str, ...]) -> Iterator[RowCells]:
    """The row, or with each of the objects packed in its columns `each` the row that has it in the column's place."""
    if not each:
        yield row
    for column in each:
        for part in packed_objects(row.get(column)):
            yield {**row, column: part}


def _product(line: RowCells, mapping: RowMapping) -> dict[str, Any]:
    assert mapping.lines is not None
    values = {
        name: _value(line, source, ("properties", "products", name), mapping)
        for name, source in mapping.lines.fields.items()
    }
    line_sum, quantity = values.pop("sum", None), values.get("quantity")
    if line_sum is not None and quantity and values.get("price") is None:
        values["price"] = round(line_sum / quantity, 6)
    return {name: value for name, value in values.items() if value not in (None, "")}


def _value(row: RowCells, source: FieldSource, path: Path, mapping: RowMapping) -> Any:
    value = _own_value(row, source, path, mapping)
    if value is None and source.otherwise is not None:
        return _value(row, source.otherwise, path, mapping)
    return value


def _own_value(row: RowCells, source: FieldSource, path: Path, mapping: RowMapping) -> Any:
    if source.text is not None:
        return source.text
    if source.where is not None and not all(_is_cell(row, column, text) for column, text in source.where.items()):
        return None
    for column in source.columns:
        value = cell(row, column)
        if value is None or value == "" or (source.unless is not None and _is_excluded(row, value, source.unless)):
            continue
        if source.allowed and str(value).strip().lower() not in source.allowed:
            continue
        if source.values is not None:
            value = _listed(value, column, source, path)
            if value == "":
                continue
        if source.items is not None:
            return _renamed(value, source.items)
        if source.number:
            value = number_of(value, column, ".".join(path), mapping.decimal)
            if value == 0 and path == ("when",):
                continue
        if path == ("timestamp",):
            return time_of(value, column, source.format, mapping.zone, mapping.day_first)
        if isinstance(value, str) and value[0] == "'" and value[1:2] in _FORMULA_SIGNS:
            # An export's guard against programs that would compute the cell.
            value = value[1:]
        if path in _IDS and isinstance(value, str) and is_rounded(value):
            message = (
                f"{column} {value!r} was rounded by a spreadsheet, as others may be to the same; export the file again"
            )
            raise RowError("rounded_id", ".".join(path), message)
        return f"{source.prefix}{value}" if source.prefix else value
    return source.default if source.values is not None else None


def _listed(value: Any, column: str, source: FieldSource, path: Path) -> Any:
    """What `values` says of a cell."""
    assert source.values is not None
    text = str(value).strip()
    listed = source.values.get(text, source.values.get(text.lower()))
    if listed is not None:
        return listed
    if source.strict:
        known = ", ".join(source.values)
        message = f"{column} {text!r} is none of {known}; a copy of the recipe as --mapping can say what it means"
        raise RowError("unknown_value", ".".join(path), message)
    return value if source.default is None else source.default


def _is_excluded(row: RowCells, value: Any, unless: Mapping[str, str]) -> bool:
    return any(
        cell(row, column) == value if text == "=" else _is_cell(row, column, text) for column, text in unless.items()
    )


def _is_cell(row: RowCells, column: str, text: str) -> bool:
    """Whether a column has the cell, or for `*` any."""
    other = cell(row, column)
    return other not in (None, "", []) if text == "*" else other is not None and str(other).strip().lower() == text


def _renamed(value: Any, items: Mapping[str, str]) -> list[dict[str, Any]]:
    objects = [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return [{name: part[member] for name, member in items.items() if member in part} for part in objects]


def _members(row: RowCells, each: str) -> Iterator[RowCells]:
    """The row, or for a list of objects in it, the row with each of them in the list's place."""
    if not each:
        yield row
        return
    members = row.get(each)
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise RowError("wrong_type", each, f"{each} has to be a list of objects")
    for member in members:
        yield {**row, each: member}


def _objects(row: RowCells, key_values: tuple[str, ...]) -> RowCells:
    """The row with lists of `{key, value}` read as objects."""
    if not key_values:
        return row
    return {**row, **{name: _object(row[name]) for name in key_values if isinstance(row.get(name), list)}}


def _object(pairs: list[Any]) -> dict[str, Any]:
    """An object of pairs whose value is a value, or an object with a member for each type: `{"int_value": "3"}`."""
    members: dict[str, Any] = {}
    for pair in pairs:
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            continue
        value = pair.get("value")
        if isinstance(value, dict):
            typed = next(((name, part) for name, part in value.items() if part is not None), None)
            value = None if typed is None else _typed(*typed)
        members[pair["key"]] = value
    return members


def _typed(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name == "string_value":
        return value
    try:
        return int(value) if name == "int_value" else float(value)
    except ValueError:
        return value
