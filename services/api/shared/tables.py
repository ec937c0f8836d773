"""Answers as tables: CSV by RFC 4180, the rows of one list of the answer, a column for each of their members.

A member of a member is a column `outer.inner`. Where a list lies within another, the outer item's columns stand in each
row of the inner ones. Lists that are no table, and objects with keys of their own, are JSON in their cell.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from services.api.shared.answers import Answer

CSV = "text/csv"
MEDIA_TYPE = f"{CSV}; charset=utf-8; header=present"
LINKS = "links"
"""The member of an answer that is no column: paths, which the answer as JSON has."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula."""

Cells = Callable[[Any], Iterator[Any]]


class Table:
    """The table of a type of answers, which names it in `TABLE`."""

    def __init__(self, answer: type[Answer]) -> None:
        first, *inner = answer.TABLE.split(".")
        self._lists = inner
        item = _item_type(_field(answer, first))
        names: list[str] = []
        self._cells: list[Cells] = []
        for list_ in (*inner, None):
            level, cells = _columns(item, list_) if issubclass(item, Answer) else ([first], _itself)
            names += level
            self._cells.append(cells)
            if list_ is not None:
                item = _item_type(_field(item, list_))
        self.header = tuple(names)

    def rows(self, answer: Answer) -> Iterator[list[Any]]:
        """The cells of each row, in the order of the header."""
        for item in answer.table_items():
            yield from self._rows(item, 0, [])

    def _rows(self, item: Any, level: int, outer: list[Any]) -> Iterator[list[Any]]:
        cells = [*outer, *self._cells[level](item)]
        if level == len(self._lists):
            yield cells
        else:
            for inner in getattr(item, self._lists[level]):
                yield from self._rows(inner, level + 1, cells)


def written(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if value is None or isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else value
    return msgspec.json.encode(value).decode()


def _field(type_: type[Any], name: str) -> FieldInfo:
    return next(field for field in fields(type_) if field.name == name)


def _bare(type_: Any) -> Any:
    """A type without its annotations and without null."""
    if get_origin(type_) is Annotated:
        return _bare(get_args(type_)[0])
    if get_origin(type_) in (Union, UnionType):
        others = [_bare(other) for other in get_args(type_) if other is not type(None)]
        return others[0] if len(others) == 1 else type_
    return type_


def _item_type(field: FieldInfo) -> type[Any]:
    item: type[Any] = _bare(get_args(_bare(field.type))[0])
    return item


def _itself(item: Any) -> Iterator[Any]:
    yield item


def _columns(type_: type[Any], skipped: str | None = None) -> tuple[list[str], Cells]:
    """The names of the columns of a type, and what returns their cells; without the list `skipped`."""
    names: list[str] = []
    parts: list[tuple[str, int, Cells | None]] = []
    for field in fields(type_):
        if field.name in (skipped, LINKS):
            continue
        member = _bare(field.type)
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            inner, cells = _columns(member)
            names += [f"{field.encode_name}.{name}" for name in inner]
            parts.append((field.name, len(inner), cells))
        else:
            names.append(field.encode_name)
            parts.append((field.name, 1, None))

    def cells_of(item: Any) -> Iterator[Any]:
        for name, width, cells in parts:
            value = getattr(item, name)
            if cells is None:
                yield value
            elif value is None:
                yield from (None for _ in range(width))
            else:
                yield from cells(value)

    return names, cells_of
