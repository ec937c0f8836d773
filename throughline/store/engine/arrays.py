"""Parameters of set-based statements: a batch's rows go to PostgreSQL as one array per column, joined by `unnest`.

Each array travels as one array literal, a text (docs/decisions/0004). The driver would check every element of a list
against two abstract classes in Python, which for twenty columns costs more than the rest of a batch.

The arrays are unnested side by side in a select list. `FROM unnest(a, b)` means the same, but PostgreSQL then copies
each array into a store of its own before the first row: half as much again of the whole insert of a wide row.
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
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from throughline.store.digest import DIGEST_BYTES

Row = tuple[Any, ...]

EMPTY = "{}"


class UnnestParameters:
    """Named, typed columns that a statement takes as `unnest(...)` of array literals."""

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        arrays = [cast(bindparam(f"{name}_{key}", type_=Text), ARRAY(kind)) for key, kind in columns.items()]
        typed = zip(arrays, columns.items(), strict=True)
        self.table = select(*(func.unnest(array, type_=kind).label(key) for array, (key, kind) in typed)).subquery(name)
        """The table that a statement selects from; `table.c` has the columns by name."""
        self._encoders = [(f"{name}_{key}", _encoder_of(kind)) for key, kind in columns.items()]

    def parameters(self, rows: Iterable[Row]) -> dict[str, str]:
        """Returns the statement's parameters for some rows, whose values are in the order of the columns.

        A column of nulls alone is sent empty: beside longer arrays its rows are null.
        """
        columns = list(zip(*rows, strict=True))
        if not columns:
            return {name: EMPTY for name, _ in self._encoders}
        return {
            name: EMPTY if values[0] is None and values.count(None) == len(values) else encode(values)
            for (name, encode), values in zip(self._encoders, columns, strict=True)
        }


def _encoder_of(kind: TypeEngine[Any]) -> Callable[[Sequence[Any]], str]:
    for kinds, encode in _ENCODERS:
        if isinstance(kind, kinds):
            return encode
    raise TypeError(f"no array literal for {kind!r}")


def literal_of_numbers(values: Sequence[int | float | None]) -> str:
    """Returns `{1, 2.5}` or `{1,NULL}`; repr keeps every float exact."""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else repr(value) for value in values]) + "}"
    return "{" + repr(list(values))[1:-1] + "}"


def literal_of_booleans(values: Sequence[bool]) -> str:
    """Returns `{True, False}`, which PostgreSQL reads in any case."""
    return "{" + repr(list(values))[1:-1] + "}"


def literal_of_bytes(values: Sequence[bytes | None]) -> str:
    r"""Returns `{"\\x00ff",NULL,...}`."""
    if len(values) > 1 and None not in values and set(map(len, values)) == {DIGEST_BYTES}:  # type: ignore[arg-type]
        # Digests, all written at once.
        joined = b"".join(values).hex(":", DIGEST_BYTES)  # type: ignore[arg-type]
        return '{"\\\\x' + joined.replace(":", '","\\\\x') + '"}'
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def literal_of_texts(values: Sequence[str | None]) -> str:
    r"""Returns `{"a","say \"b\"",NULL}`."""
    distinct = set(values)
    if len(distinct) * _REPEATS < len(values):
        quoted = {value: _quoted(value) for value in distinct}
        return "{" + ",".join(map(quoted.__getitem__, values)) + "}"
    if None in distinct:
        return "{" + ",".join(map(_quoted, values)) + "}"
    joined = _SEPARATOR.join(values)  # type: ignore[arg-type]
    if joined.count(_SEPARATOR) >= len(values):
        return "{" + ",".join(map(_quoted, values)) + "}"
    # All texts are quoted at once. One with the separator in it, which PostgreSQL cannot hold, is quoted above.
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace(_SEPARATOR, '","') + '"}'


_SEPARATOR = "\0"
_REPEATS = 4
"""From so many times that a text stands in a column on average, it pays to quote each distinct text once."""


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
