"""The encoder that ingest runs for every event: what `codec.encode_plain` says, in less than half the time.

Its statements are written when this module is loaded, from the fields of `Touchpoint` and of the message: a new field
is encoded without a line here. `tests/property/wire/test_fast.py` proves it against the generated message; numbers are
in docs/decisions/0011.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import cast

from google.protobuf.descriptor import FieldDescriptor

from throughline.journey.touchpoint import Touchpoint
from throughline.kit.compiled import compiled
from throughline.wire.v1.touchpoint_pb2 import Touchpoint as _Message

SHARED = ("workspace", "source", "call", "channel", "name")
"""Fields that many touchpoints have in common: encoded together, and remembered."""
NEEDED = ("actor", "message_id", "rest", "occurred_us", "received_us")
"""Fields that every touchpoint has, and so are encoded without asking."""
SAME_AS = {"user_id": "actor", "client_us": "occurred_us"}
"""Fields that mostly equal another one, which is encoded already."""
SMALL = ("place",)
"""Numbers of few bits."""
LONG = ("rest", "items", "attribution")
"""Texts that may be long."""
REPEATED = ("received_us",)
"""Instants that are the same for all events of a request, and so are remembered."""

_FIELDS = _Message.DESCRIPTOR.fields_by_name
_TEXT = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_WIRE_TYPES = {
    FieldDescriptor.TYPE_INT64: 0,
    FieldDescriptor.TYPE_UINT32: 0,
    FieldDescriptor.TYPE_BOOL: 0,
    FieldDescriptor.TYPE_DOUBLE: 1,
    FieldDescriptor.TYPE_STRING: 2,
    FieldDescriptor.TYPE_BYTES: 2,
}
"""https://protobuf.dev/programming-guides/encoding/#structure"""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# What has no entry in these tables raises IndexError, and is for `encode_plain`.
_LENGTHS = [_varint(length) for length in range(1 << 14)]
_SHORT = 1 << 11
"""Number of bytes from which on a text is unusual, unless its field is one of `LONG`."""
_LOW = [bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(1 << 14)]
"""The low 14 bits of a longer varint."""


@lru_cache(maxsize=4096)
def _shared(workspace: int, source: int, call: str, channel: str, name: str) -> bytes:
    # Protobuf messages add up by concatenation.
    return _Message(workspace=workspace, source=source, call=call, channel=channel, name=name).SerializeToString()


@lru_cache(maxsize=4096)
def _high(bits: int) -> bytes:
    # The bits of an instant from the 29th on change every four and a half minutes.
    if not 0 < bits < 1 << 35:
        raise IndexError
    return _varint(bits)


@lru_cache(maxsize=64)
def _instant(us: int) -> bytes:
    return _LOW[us & 0x3FFF] + _LOW[us >> 14 & 0x3FFF] + _high(us >> 28)


# No field's name begins with `_` (`namedtuple` forbids it), so the names that the statements use beside them do.


def _statements() -> Iterator[str]:
    # A slice is a plain tuple, which Python takes apart without an iterator.
    yield f"({', '.join(Touchpoint._fields)}) = _touchpoint[:]"
    parts = [f"_shared({', '.join(SHARED)})"]
    for name in NEEDED:
        yield f"_{name} = {_data(name)}"
        parts += _parts(name)
    yield f"_parts = [{', '.join(parts)}]"
    for name in Touchpoint._fields:
        if name not in SHARED + NEEDED:
            yield from _statements_of(name)
    yield 'return b"".join(_parts)'


def _statements_of(name: str) -> Iterator[str]:
    if _FIELDS[name].is_repeated:
        yield f"if {name}:"
        yield f"    for _text in {name}:"
        yield f"        _{name} = _text.encode()"
        yield f"        _parts += ({', '.join(_parts(name))})"
        return
    condition = f"if {name} is not None" if _FIELDS[name].has_presence else f"if {name}"
    if name in SAME_AS:
        other = SAME_AS[name]
        yield f"if {name} == {other}:"
        yield f"    _parts += ({', '.join(_parts(name, other))})"
        condition = "el" + condition
    yield f"{condition}:"
    yield f"    _{name} = {_data(name)}"
    yield f"    _parts += ({', '.join(_parts(name))})"


def _data(name: str) -> str:
    """Returns the expression of a field's value in bytes."""
    if name in REPEATED:
        return f"_instant({name})"
    if name in SMALL:
        return f"_lengths[{name}]"
    kind = _FIELDS[name].type
    if kind in _TEXT:
        return f"{name}.encode()"
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return f"_double({name})"
    if kind == FieldDescriptor.TYPE_BOOL:
        return r'b"\1"'
    return f"_low[{name} & 0x3FFF] + _low[{name} >> 14 & 0x3FFF] + _high({name} >> 28)"


def _parts(name: str, value_of: str = "") -> list[str]:
    """Returns the expressions of what a field adds to the message: its tag and its value, or another field's value."""
    data = f"_{value_of or name}"
    return [f"_heads_{name}[len({data})]" if _FIELDS[name].type in _TEXT else f"_tag_{name}", data]


def _tables() -> Iterator[tuple[str, bytes | list[bytes]]]:
    """Returns what goes before the value of each field: its tag, of a text its tag and length, by the length."""
    for name, field in _FIELDS.items():
        tag = _varint(field.number << 3 | _WIRE_TYPES[field.type])
        if field.type in _TEXT:
            yield f"_heads_{name}", [tag + length for length in _LENGTHS[: None if name in LONG else _SHORT]]
        else:
            yield f"_tag_{name}", tag


_Encode = Callable[[Touchpoint], bytes]


def encoder(encode_unusual: _Encode) -> _Encode:
    """Returns the function that gives the Kafka value of a touchpoint.

    `encode_unusual` gives that of an unusual one: an id of 2 KB, a rest of 16 KB, an instant before 1970. The function
    raises ValueError for a text that is not UTF-8 encodable (a lone surrogate).
    """
    statements = [f"    {statement}" for statement in _statements()]
    names = {
        "_lengths": _LENGTHS,
        "_low": _LOW,
        "_shared": _shared,
        "_high": _high,
        "_instant": _instant,
        "_double": struct.Struct("<d").pack,
        "_encode_unusual": encode_unusual,
        **dict(_tables()),
    }
    # Around the statements, because a function around this one would cost every event a call.
    lines = ["try:", *statements, "except IndexError:", "    return _encode_unusual(_touchpoint)"]
    return cast(_Encode, compiled("encode", "_touchpoint", lines, names))
