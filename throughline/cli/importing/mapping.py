"""From a row of somebody's file to events in Segment's terms, as a mapping file says it. Pure.

A mapping is TOML: `[event]`, `[properties]`, `[traits]` and `[context]` give each field a text that is the same for all
rows, or the column it comes from. `values.py` reads one cell, `apply.py` makes the events of a row.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from throughline.kit.time_text import Unit

FIELDS = ("type", "userId", "anonymousId", "previousId", "event", "name", "timestamp", "messageId", "groupId")
"""The fields that `[event]` may have; the objects beside them are `[properties]`, `[traits]` and `[context]`."""
OBJECTS = ("properties", "traits", "context")
_OPTIONS = ("column", "values", "default", "strict", "number", "format", "is", "where", "unless", "prefix", "items")
_SETTINGS = (
    "rest",
    "time_zone",
    "dates",
    "decimal",
    "file",
    "column_prefix",
    "each",
    "key_values",
    "as_is",
    "drop",
    "lines",
    "also",
)
DATES = {"day-first": True, "month-first": False}
"""`dates` -> whether the day stands first in dates like 03/04/2025."""

EPOCHS: Mapping[str, Unit | None] = {"epoch": None, "epoch_s": "s", "epoch_ms": "ms", "epoch_us": "us"}
"""`format` of numbers since 1970 -> their unit; None: their size says it."""

Path = tuple[str, ...]
"""A field of the event: its name, after those of the objects that hold it."""


class MappingError(ValueError):
    """The mapping cannot be used; each line of the message names the file and the field."""


class RowError(ValueError):
    """A row cannot become an event. `code` is stable, `field` the event's field."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class FieldSource(NamedTuple):
    """Where the value of one field comes from: `text` for all rows, or columns."""

    text: str | None
    columns: tuple[str, ...] = ()
    """The first that has a cell counts. `a.b` is the member b of an object a, where no column has that name."""
    values: Mapping[str, str] | None = None
    """Value of the column, without regard to case -> value of the field; "" leaves the cell out."""
    default: str | None = None
    """The value of cells that `values` does not list; None = they stay as they are."""
    strict: bool = False
    """Whether a row with a cell that `values` does not list is refused."""
    number: bool = False
    format: str = ""
    """How times are written: one of `EPOCHS`, or in `strptime`'s terms; "" = detected (`parse_time`)."""
    allowed: tuple[str, ...] = ()
    """The cells that count, in lower case; () = all."""
    unless: Mapping[str, str] | None = None
    """Other column -> the cell, in lower case, with which this field has no value; `=` is the same cell as here, `*`
    any."""
    where: Mapping[str, str] | None = None
    """Other column -> the cell, in lower case, without which this field has no value; `*` any."""
    prefix: str = ""
    """What stands before the value."""
    items: Mapping[str, str] | None = None
    """Of a list of objects: member of each line -> member of the file's objects."""
    otherwise: "FieldSource | None" = None
    """Where the value comes from if it does not come from here."""

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns, those of `otherwise` too."""
        return self.columns if self.otherwise is None else (*self.columns, *self.otherwise.all_columns)

    @property
    def column(self) -> str:
        """The columns, for messages."""
        return " or ".join(dict.fromkeys(self.all_columns))


Fields = Mapping[Path, FieldSource]


class LineMapping(NamedTuple):
    """Rows that are the lines of one order: those that follow each other with the same id, or with none.

    `sum` among the fields is a line's sum, from which a price is computed that the line does not have.
    """

    of: tuple[str, ...]
    """The columns of the id, the first that has a cell counts."""
    fields: Mapping[str, FieldSource]
    """Member of a line in `properties.products` -> where it comes from."""
    packed: tuple[str, ...] = ()
    """The columns of which a cell has several lines (`packed_objects`); `item_*` is item_1, item_2 ..."""


class AlsoMapping(NamedTuple):
    """A further event of a row, for which `when` has a value."""

    when: FieldSource
    fields: Fields
    each: tuple[str, ...] = ()
    """The columns of which a cell has several objects (`packed_objects`), each of which is such an event."""


@dataclass(frozen=True)
class RowMapping:
    """A whole mapping."""

    fields: Fields
    rest: bool | str
    """Whether columns that no field comes from become properties; a text is the object whose members do."""
    zone: ZoneInfo
    """The zone of times that name none."""
    day_first: bool | None = None
    """Whether the day stands first in dates like 03/04/2025; None = nobody said, and such a row is refused."""
    decimal: str = ""
    """`point` or `comma`; "" = a comma is one where it can be nothing else, or does not separate the columns."""
    file: str = ""
    """`csv` or `json`, for a file whose name does not say it."""
    column_prefix: str = ""
    """What the names of a CSV's columns may begin with, and is left out."""
    each: str = ""
    """A list of objects: each is an event."""
    key_values: tuple[str, ...] = ()
    """Lists of `{key, value}` that are read as objects."""
    as_is: bool = False
    """Whether a row is an event already, which the fields change."""
    drop: tuple[str, ...] = ()
    """Members of such an event, or of the object that `rest` names, that are left out."""
    lines: LineMapping | None = None
    also: tuple[AlsoMapping, ...] = ()

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that fields come from."""
        lines = () if self.lines is None else (*self.lines.fields.values(), FieldSource(None, self.lines.of))
        also = [source for further in self.also for source in (further.when, *further.fields.values())]
        return frozenset(column for source in (*self.fields.values(), *lines, *also) for column in source.all_columns)


def segment_mapping(time_zone: str = "UTC") -> RowMapping:
    """The mapping of a file whose columns are called as Segment's fields; all other columns are properties.

    Raises:
        MappingError: there is no such time zone.
    """
    fields: dict[Path, FieldSource] = {(name,): FieldSource(None, (name,)) for name in FIELDS}
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
    faults = [
        f"{name}: is none of event, {', '.join((*OBJECTS, *_SETTINGS))}"
        for name in document
        if name not in ("event", *OBJECTS, *_SETTINGS)
    ]
    fields = _parse_fields(document, "", faults)
    rest = document.get("rest", True)
    if not isinstance(rest, bool | str):
        faults.append("rest: has to be true or false, or the name of an object")
    as_is = document.get("as_is", False) is True
    if not as_is:
        if ("userId",) not in fields and ("anonymousId",) not in fields:
            faults.append("event: needs a userId or an anonymousId")
        if ("event",) not in fields and fields.get(("type",), FieldSource("track")).text == "track":
            faults.append("event.event: is missing: which event does a row stand for?")
    zone = ZoneInfo("UTC")
    try:
        zone = _zone(document.get("time_zone", "UTC"), "time_zone")
    except MappingError as error:
        faults.append(str(error))
    mapping = RowMapping(
        fields,
        rest,
        zone,
        DATES.get(_choice(document, "dates", tuple(DATES), faults)),
        _choice(document, "decimal", ("point", "comma"), faults),
        _choice(document, "file", ("csv", "json"), faults),
        column_prefix=_names(document, "column_prefix", faults)[0] if "column_prefix" in document else "",
        each=_names(document, "each", faults)[0] if "each" in document else "",
        key_values=_names(document, "key_values", faults),
        as_is=as_is,
        drop=_names(document, "drop", faults),
        lines=_parse_lines(document["lines"], faults) if "lines" in document else None,
        also=_parse_also(document["also"], fields, faults) if "also" in document else (),
    )
    if faults:
        raise MappingError("\n".join(f"{file}: {fault}" for fault in faults))
    return mapping


def _parse_fields(document: Mapping[str, Any], prefix: str, faults: list[str]) -> dict[Path, FieldSource]:
    fields: dict[Path, FieldSource] = {}
    for name in ("event", *OBJECTS):
        if name != "event" and _is_source(document.get(name)):
            source = _parse_source(document[name], f"{prefix}{name}", faults)
            fields |= {} if source is None else {(name,): source}
        elif name in document:
            fields |= _parse_table((name,), document[name], prefix, faults)
    return fields


def _parse_table(path: Path, table: Any, prefix: str, faults: list[str]) -> dict[Path, FieldSource]:
    """The fields of `[event]` or of an object; adds to `faults`."""
    fields: dict[Path, FieldSource] = {}
    place = prefix + ".".join(path)
    if not isinstance(table, dict):
        faults.append(f"{place}: has to be a table")
        return fields
    for field, value in table.items():
        if path == ("event",) and field not in FIELDS:
            faults.append(f"{place}.{field}: is none of {', '.join(FIELDS)}; others belong into [properties]")
        elif path != ("event",) and isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
            fields |= _parse_table((*path, field), value, prefix, faults)
        else:
            source = _parse_source(value, f"{place}.{field}", faults)
            if source is not None:
                fields[(field,) if path == ("event",) else (*path, field)] = source
    return fields


def _is_source(value: Any) -> bool:
    """Whether a whole object comes from a column, not each of its fields."""
    return isinstance(value, dict) and (isinstance(value.get("column"), str) and set(value) <= set(_OPTIONS))


def _parse_source(value: Any, field: str, faults: list[str]) -> FieldSource | None:
    if isinstance(value, str):
        return FieldSource(value)
    if isinstance(value, list) and value:
        first, *others = value
        source = _parse_source(first, field, faults)
        if source is None or not others:
            return source
        return source._replace(otherwise=_parse_source(others, field, faults))
    columns = _texts(value.get("column")) if isinstance(value, dict) else ()
    if not columns:
        faults.append(f'{field}: has to be a text, or {{ column = "..." }}')
        return None
    unknown = sorted(set(value) - set(_OPTIONS))
    if unknown:
        faults.append(f"{field}: {', '.join(unknown)}: is none of {', '.join(_OPTIONS)}")
        return None
    for option in ("values", "where", "unless", "items"):
        table = value.get(option)
        if table is not None and not (
            isinstance(table, dict) and all(isinstance(text, str) for text in table.values())
        ):
            faults.append(f"{field}.{option}: has to be a table of texts")
            return None
    for option, kind in (("number", bool), ("strict", bool), ("format", str), ("default", str), ("prefix", str)):
        if option in value and not isinstance(value[option], kind):
            faults.append(f"{field}.{option}: has to be {'true or false' if kind is bool else 'a text'}")
            return None
    values: Mapping[str, str] | None = value.get("values")
    return FieldSource(
        None,
        columns,
        None if values is None else {**{cell.lower(): text for cell, text in values.items()}, **values},
        value.get("default"),
        value.get("strict", False),
        value.get("number", False),
        value.get("format", ""),
        tuple(text.lower() for text in _texts(value.get("is", ()))),
        value.get("unless"),
        value.get("where"),
        value.get("prefix", ""),
        value.get("items"),
    )


def _parse_lines(table: Any, faults: list[str]) -> LineMapping | None:
    of = _texts(table.get("of")) if isinstance(table, dict) else ()
    if not of or not isinstance(table.get("columns"), dict):
        faults.append("lines: needs of, the column of the order's id, and a table columns")
        return None
    fields: dict[str, FieldSource] = {}
    for name, value in table["columns"].items():
        source = _parse_source(value, f"lines.columns.{name}", faults)
        if source is not None:
            fields[name] = source
    return LineMapping(of, fields, _texts(table.get("packed", ())))


def _parse_also(tables: Any, fields: Fields, faults: list[str]) -> tuple[AlsoMapping, ...]:
    parsed = []
    for number, table in enumerate(tables if isinstance(tables, list) else [tables], start=1):
        if not isinstance(table, dict):
            faults.append("also: has to be tables, each [[also]]")
            continue
        when = _parse_source(table.get("when"), f"also {number}.when", faults)
        if when is not None:
            further = {**fields, **_parse_fields(table, f"also {number}.", faults)}
            parsed.append(AlsoMapping(when, further, _texts(table.get("each", ()))))
    return tuple(parsed)


def _choice(document: Mapping[str, Any], name: str, choices: tuple[str, ...], faults: list[str]) -> str:
    value = document.get(name, "")
    if value not in ("", *choices):
        faults.append(f"{name}: {value!r} is not {' or '.join(choices)}")
        return ""
    return str(value)


def _names(document: Mapping[str, Any], name: str, faults: list[str]) -> tuple[str, ...]:
    names = _texts(document.get(name, ()))
    if name in document and not names:
        faults.append(f"{name}: has to be a name, or a list of names")
        return ("",)
    return names


def _texts(value: Any) -> tuple[str, ...]:
    """A text, or a list of texts, as a tuple; empty for anything else."""
    texts = [value] if isinstance(value, str) else value
    return tuple(texts) if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else ()


def _zone(name: Any, option: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise MappingError(f"{option}: {name!r} is not a time zone like UTC or Europe/Vienna") from None
