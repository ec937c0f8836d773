"""Touchpoints and rejections to bytes and back: beside `fast.py` the only file that knows the generated messages."""

import zlib
from collections.abc import Callable, Iterable
from math import isfinite
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

# Exported: ingest, which must not know journey, takes it from here.
from throughline.journey.touchpoint import Touchpoint as Touchpoint
from throughline.kit.clock import MAX_US, MIN_US
from throughline.wire.fast import encoder
from throughline.wire.v1.touchpoint_pb2 import Envelope as _Envelope
from throughline.wire.v1.touchpoint_pb2 import Rejected as _Rejected
from throughline.wire.v1.touchpoint_pb2 import Touchpoint as _Touchpoint


class UndecodableError(ValueError):
    """A record's value is not a touchpoint. `code` is stable; `field` is the name of the field at fault, or empty."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Envelope(NamedTuple):
    """What makes one event of a request a request by itself: POST to `path`, the body is before + payload + after."""

    path: str = ""
    """The path with its query; "" when the event cannot be sent alone."""
    content_type: str = "application/json"
    library: str = ""
    """What a header said of the client's library, "" for nothing."""
    before: bytes = b""
    after: bytes = b""


NO_ENVELOPE = Envelope(content_type="")


class Rejected(NamedTuple):
    """An event or record that was rejected, as received, with the reason."""

    workspace: int
    source: int
    received_us: int
    stage: str
    code: str
    field: str
    message: str
    payload: bytes
    origin: str = ""
    name: str = ""
    message_id: str = ""
    request: str = ""
    """Method and path of the request that it came in."""
    envelope: Envelope = NO_ENVELOPE
    replay_of: str = ""
    """topic/partition/offset of the rejection that was sent again, and rejected again as this one."""


def partition_of(key: bytes, partitions: int) -> int:
    """Returns the partition of an actor's touchpoints: CRC32 of the id in UTF-8, modulo the number of partitions."""
    return zlib.crc32(key) % partitions


def encode_plain(touchpoint: Touchpoint) -> bytes:
    """As `encode`, by the generated message: for whatever `fast.py` has no table for."""
    values: dict[str, Any] = touchpoint._asdict()
    values["rest"] = touchpoint.rest.encode()
    return _Touchpoint(**values).SerializeToString()


encode = encoder(encode_plain)
"""Returns the Kafka value of one touchpoint.

Raises:
    ValueError: a text is not UTF-8 encodable (a lone surrogate), or an instant does not fit 64 bits.
"""


_values_of = attrgetter(*Touchpoint._fields)
_place_of = Touchpoint._fields.index
_ACTOR, _MESSAGE_ID, _REST, _WARNINGS = map(_place_of, ("actor", "message_id", "rest", "warnings"))
_OCCURRED, _RECEIVED = map(_place_of, ("occurred_us", "received_us"))
_NUMBERS = [(_place_of(field.name), field.name) for field in _Touchpoint.DESCRIPTOR.fields if field.has_presence]
_ZERO = bytes(7)
"""What is in 0.0 and in -0.0, as the wire has them."""
_new: Callable[[type[Touchpoint], Iterable[Any]], Touchpoint] = tuple.__new__  # `Touchpoint(...)` is four times slower


def decode(value: bytes) -> Touchpoint:
    """Returns the touchpoint in one Kafka value.

    Raises:
        UndecodableError: not a touchpoint message, a needed field is missing, or an instant or number is out of range.
    """
    try:
        message = _Touchpoint.FromString(value)
        values = list(_values_of(message))
        values[_REST] = values[_REST].decode() or "{}"
    except (DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError("undecodable", "", f"not a touchpoint message: {error}") from None
    if not values[_ACTOR]:
        raise UndecodableError("missing_field", "actor", "the touchpoint has no actor")
    if not values[_MESSAGE_ID]:
        raise UndecodableError("missing_field", "message_id", "the touchpoint has no message id")
    if not (MIN_US <= values[_OCCURRED] <= MAX_US and MIN_US <= values[_RECEIVED] <= MAX_US):
        raise UndecodableError("time_out_of_range", "occurred_us", "an instant lies outside the years 1-9999")
    # A number that is there is hardly ever 0, so presence is seldom looked up: only a record with a run of zeros may
    # hold one.
    may_have_zero = _ZERO in value
    for place, field in _NUMBERS:
        number = values[place]
        if not number:
            if not may_have_zero or not message.HasField(field):
                values[place] = None
        elif not isfinite(number):
            raise UndecodableError("not_finite", field, f"{field} is not a finite number")
    values[_WARNINGS] = tuple(values[_WARNINGS]) if values[_WARNINGS] else ()
    return _new(Touchpoint, values)


def named_by(value: bytes) -> tuple[int, tuple[str, ...]] | None:
    """Returns the workspace and the ids of a record, whether it is a whole touchpoint or not; None when it is none."""
    try:
        message = _Touchpoint.FromString(value)
    except (DecodeError, UnicodeDecodeError):
        return None
    names = (message.actor, message.user_id, message.anonymous_id, message.previous_id)
    return (message.workspace, tuple(name for name in names if name)) if message.actor else None


def encode_rejected(rejected: Rejected) -> bytes:
    """Returns the Kafka value of one rejection."""
    values = rejected._asdict()
    values["envelope"] = _Envelope(**rejected.envelope._asdict()) if rejected.envelope.path else None
    return _Rejected(**values).SerializeToString()


def decode_rejected(value: bytes) -> Rejected:
    """Returns the rejection in one Kafka value.

    Raises:
        UndecodableError: not a rejection message.
    """
    try:
        message = _Rejected.FromString(value)
    except DecodeError as error:
        raise UndecodableError("undecodable", "", f"not a rejection message: {error}") from None
    values = {name: getattr(message, name) for name in Rejected._fields}
    values["envelope"] = Envelope(*(getattr(message.envelope, name) for name in Envelope._fields))
    return Rejected(**values)
