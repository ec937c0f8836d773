"""Set-based statements: a batch's rows go to PostgreSQL as one array per column, joined again by unnest.

Each array travels as one array literal, a text. As a list parameter every element is checked against two abstract
classes in Python before it is encoded, which at twenty columns costs more than all the rest of a batch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    bindparam,
    cast,
    column,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

Row = tuple[Any, ...]


class UnnestParameters:
    """Named, typed columns that a statement takes as `unnest(...)` of array literals."""

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        arrays = [cast(bindparam(f"{name}_{key}", type_=Text), ARRAY(kind)) for key, kind in columns.items()]
        typed = [column(key, kind) for key, kind in columns.items()]
        self.table: TableValuedAlias = func.unnest(*arrays).table_valued(*typed, name=name).render_derived()
        """What to select from; `table.c` has the columns by name."""
        self._encoders = [(f"{name}_{key}", _encoder_of(kind)) for key, kind in columns.items()]

    def parameters(self, rows: Iterable[Row]) -> dict[str, str]:
        """The statement's parameters for these rows, values in the order of the columns."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return {name: "{}" for name, _ in self._encoders}
        return {name: encode(values) for (name, encode), values in zip(self._encoders, columns, strict=True)}


def _encoder_of(kind: TypeEngine[Any]) -> Callable[[Sequence[Any]], str]:
    for known, encode in _ENCODERS:
        if isinstance(kind, known):
            return encode
    raise TypeError(f"no array literal for {kind!r}")


def literal_of_numbers(values: Sequence[int | float | None]) -> str:
    """`{1,NULL,2.5}`; repr keeps every float exact."""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else repr(value) for value in values]) + "}"
    return "{" + ",".join(map(repr, values)) + "}"


def literal_of_booleans(values: Sequence[bool]) -> str:
    """`{t,f}`."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def literal_of_bytes(values: Sequence[bytes | None]) -> str:
    r"""`{"\\x00ff",NULL,...}`."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def literal_of_texts(values: Sequence[str | None]) -> str:
    r"""`{"a","say \"b\"",NULL}`."""
    distinct = set(values)
    if len(distinct) * _FEW < len(values):
        quoted = {value: _quoted(value) for value in distinct}
        return "{" + ",".join([quoted[value] for value in values]) + "}"
    texts = [value for value in values if value is not None]
    joined = _SEPARATOR.join(texts)
    if len(texts) < len(values) or joined.count(_SEPARATOR) >= len(values):
        return "{" + ",".join([_quoted(value) for value in values]) + "}"
    # Quoted all at once: a text with the separator in it, which PostgreSQL cannot hold, has gone the other way.
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace(_SEPARATOR, '","') + '"}'


_SEPARATOR = "\0"
_FEW = 4
"""Quoting each distinct text once pays when a text stands in a column this many times."""


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ENCODERS: list[tuple[tuple[type[TypeEngine[Any]], ...], Callable[[Sequence[Any]], str]]] = [
    ((BigInteger, Integer, SmallInteger, Double), literal_of_numbers),
    ((LargeBinary,), literal_of_bytes),
    ((Boolean,), literal_of_booleans),
    ((Text,), literal_of_texts),
]
