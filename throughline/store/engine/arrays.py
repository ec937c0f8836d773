"""Parameters of set-based statements: a batch's rows go to PostgreSQL as one array per column, joined by `unnest`.

Each array travels as one array literal, a text (docs/decisions/0004). The driver would check every element of a list
against two abstract classes in Python, which for twenty columns costs more than the rest of a batch.

Long texts travel joined by a separator instead: nothing in them has to be escaped.

The arrays are unnested side by side in a select list. `FROM unnest(a, b)` means the same, but PostgreSQL then copies
each array into a store of its own before the first row: half as much again of the whole insert of a wide row.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from throughline.store.digest import DIGEST_BYTES

Row = tuple[Any, ...]

EMPTY = "{}"


class UnnestParameters:
    """Named, typed columns that a statement takes as `unnest(...)` of array literals.

    Args:
        name: of the table that the statement selects from.
        columns: their types by name.
        joined: columns of long texts. In these an empty text is null.
    """

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]], *, joined: Collection[str] = ()) -> None:
        arrays = [_array_of(f"{name}_{key}", kind, is_joined=key in joined) for key, kind in columns.items()]
        typed = zip(arrays, columns.items(), strict=True)
        self.table = select(*(func.unnest(array, type_=kind).label(key) for array, (key, kind) in typed)).subquery(name)
        """The table that a statement selects from; `table.c` has the columns by name."""
        self._encoders = [
            (f"{name}_{key}", None if key in joined else _encoder_of(kind)) for key, kind in columns.items()
        ]

    def parameters(self, rows: Iterable[Row]) -> dict[str, str]:
        """Returns the statement's parameters for some rows, whose values are in the order of the columns.

        A column of nulls alone is sent empty: beside longer arrays its rows are null.
        """
        columns = list(zip(*rows, strict=True)) or [()] * len(self._encoders)
        parameters: dict[str, str] = {}
        for (name, encode), values in zip(self._encoders, columns, strict=True):
            is_empty = not values or (values[0] is None and values.count(None) == len(values))
            if encode is None:
                parameters[name], parameters[f"{name}_separator"] = joined_texts(() if is_empty else values)
            else:
                parameters[name] = EMPTY if is_empty else encode(values)
        return parameters


def _array_of(name: str, kind: TypeEngine[Any], *, is_joined: bool) -> ColumnElement[Any]:
    text = bindparam(name, type_=Text)
    if is_joined:
        return func.string_to_array(text, bindparam(f"{name}_separator", type_=Text), literal_column("''"))
    return cast(text, ARRAY(kind))


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


def joined_texts(values: Sequence[str | None]) -> tuple[str, str]:
    """Returns texts joined by a separator that is in none of them, and the separator; null is an empty text."""
    texts: Sequence[str] = [value or "" for value in values] if None in values else values  # type: ignore[assignment]
    separator = _UNIT_SEPARATOR
    while (joined := separator.join(texts)).count(separator) >= max(1, len(texts)):
        separator = secrets.token_hex()
    return joined, separator


_UNIT_SEPARATOR = "\x1f"
"""JSON, which long texts are, has it escaped only."""
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
