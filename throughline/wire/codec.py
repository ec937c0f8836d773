"""Touchpoints and rejections to bytes and back. The only file that touches the generated messages."""

import math
import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

from google.protobuf.message import DecodeError

# Exported: ingest, which must not know journey, takes it from here.
from throughline.journey.touchpoint import Touchpoint as Touchpoint
from throughline.kit.clock import MAX_US, MIN_US
from throughline.wire.v1.touchpoint_pb2 import Envelope as _Envelope
from throughline.wire.v1.touchpoint_pb2 import Rejected as _Rejected
from throughline.wire.v1.touchpoint_pb2 import Touchpoint as _Touchpoint


class UndecodableError(ValueError):
    """A record's value is not a touchpoint. `code` is stable, `field` names the field at fault or is empty."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Envelope(NamedTuple):
    """What makes one event of a request a request of its own: POST to `path`, the body is before + payload + after."""

    path: str = ""
    """With its query; "" when there is no such request."""
    content_type: str = "application/json"
    library: str = ""
    """The header posthog-sdk-info, "" for none."""
    before: bytes = b""
    after: bytes = b""


NO_ENVELOPE = Envelope(content_type="")

REPLAY = "replay"
"""The stage of a record that refuses nothing: its payload says which records were sent again, and what became of them.
"""


class Rejected(NamedTuple):
    """An event or record that was refused, whole, with the reason."""

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
    """Method and path of the request it came in."""
    envelope: Envelope = NO_ENVELOPE
    replay_of: str = ""
    """topic/partition/offset of the rejection that was sent again, and refused again as this one."""


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of an actor's touchpoints: CRC32 of the UTF-8 id modulo the number of partitions."""
    return zlib.crc32(key) % partitions


def encode(touchpoint: Touchpoint) -> bytes:
    """The Kafka value of one touchpoint.

    Raises:
        ValueError: a text is not UTF-8 encodable (a lone surrogate) or an instant does not fit 64 bits.
    """
    try:
        return _encode_usual(touchpoint)
    except IndexError:
        return _encode_any(touchpoint)


def _encode_any(t: Touchpoint) -> bytes:
    message = _Touchpoint(
        workspace=t.workspace,
        source=t.source,
        call=t.call,
        name=t.name,
        channel=t.channel,
        actor=t.actor,
        user_id=t.user_id,
        anonymous_id=t.anonymous_id,
        previous_id=t.previous_id,
        message_id=t.message_id,
        occurred_us=t.occurred_us,
        received_us=t.received_us,
        client_us=t.client_us,
        order_id=t.order_id,
        currency=t.currency,
        product_id=t.product_id,
        warnings=t.warnings,
        rest=t.rest.encode(),
        bot=t.bot,
        attribution=t.attribution,
    )
    for field in ("value", "rating", "score", "quantity"):
        number = getattr(t, field)
        if number is not None:
            setattr(message, field, number)
    return message.SerializeToString()


# The same by hand for the usual touchpoint, in two thirds of the time: ingest does this for every event. Field numbers
# come from the message itself. Whatever has no entry in the tables is not usual, and raises IndexError.


def _tag(field: str, wire_type: int) -> bytes:
    return _varint(_Touchpoint.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_LENGTHS = [_varint(length) for length in range(1 << 14)]
_LOW = [bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(1 << 14)]
"""The low 14 bits of a longer varint."""
_TEXT, _FIXED64, _VARINT = 2, 1, 0
_ACTOR, _USER, _ANONYMOUS = _tag("actor", _TEXT), _tag("user_id", _TEXT), _tag("anonymous_id", _TEXT)
_MESSAGE, _REST = _tag("message_id", _TEXT), _tag("rest", _TEXT)
_OCCURRED, _RECEIVED, _CLIENT = _tag("occurred_us", _VARINT), _tag("received_us", _VARINT), _tag("client_us", _VARINT)
_PREVIOUS, _ORDER, _CURRENCY = _tag("previous_id", _TEXT), _tag("order_id", _TEXT), _tag("currency", _TEXT)
_PRODUCT, _WARNINGS = _tag("product_id", _TEXT), _tag("warnings", _TEXT)
_VALUE, _RATING = _tag("value", _FIXED64), _tag("rating", _FIXED64)
_SCORE, _QUANTITY = _tag("score", _FIXED64), _tag("quantity", _FIXED64)
_BOT, _ATTRIBUTION = _tag("bot", _VARINT), _tag("attribution", _TEXT)
_double = struct.Struct("<d").pack


@lru_cache(maxsize=4096)
def _shared(workspace: int, source: int, call: str, channel: str, name: str) -> bytes:
    # What many touchpoints have in common: protobuf messages add up by concatenation.
    return _Touchpoint(workspace=workspace, source=source, call=call, channel=channel, name=name).SerializeToString()


@lru_cache(maxsize=4096)
def _high(bits: int) -> bytes:
    # Changes every 2**28 microseconds, four and a half minutes.
    if not 0 < bits < 1 << 35:
        raise IndexError
    return _varint(bits)


@lru_cache(maxsize=64)
def _received(us: int) -> bytes:
    # The same for all events of a request.
    return _LOW[us & 0x3FFF] + _LOW[us >> 14 & 0x3FFF] + _high(us >> 28)


def _encode_usual(touchpoint: Touchpoint) -> bytes:
    # fmt: off
    (
        occurred_us, message_id, actor, call, name, workspace, source, channel, received_us, client_us,
        user_id, anonymous_id, previous_id, order_id, value, currency, rating, score, product_id, quantity,
        warnings, rest, bot, attribution,
    ) = touchpoint
    # fmt: on
    lengths, low = _LENGTHS, _LOW
    actor_bytes = actor.encode()
    message_bytes = message_id.encode()
    rest_bytes = rest.encode()
    occurred = low[occurred_us & 0x3FFF] + low[occurred_us >> 14 & 0x3FFF] + _high(occurred_us >> 28)
    parts = [
        _shared(workspace, source, call, channel, name),
        _ACTOR,
        lengths[len(actor_bytes)],
        actor_bytes,
        _MESSAGE,
        lengths[len(message_bytes)],
        message_bytes,
        _REST,
        lengths[len(rest_bytes)],
        rest_bytes,
        _OCCURRED,
        occurred,
        _RECEIVED,
        _received(received_us),
    ]
    if client_us == occurred_us:
        parts += (_CLIENT, occurred)
    elif client_us:
        parts += (_CLIENT, low[client_us & 0x3FFF] + low[client_us >> 14 & 0x3FFF] + _high(client_us >> 28))
    if user_id == actor:
        parts += (_USER, lengths[len(actor_bytes)], actor_bytes)
    elif user_id:
        parts += _texts(_USER, user_id)
    if anonymous_id:
        data = anonymous_id.encode()
        parts += (_ANONYMOUS, lengths[len(data)], data)
    if previous_id:
        parts += _texts(_PREVIOUS, previous_id)
    if order_id:
        parts += _texts(_ORDER, order_id)
    if value is not None:
        parts += (_VALUE, _double(value))
    if currency:
        data = currency.encode()
        parts += (_CURRENCY, lengths[len(data)], data)
    if rating is not None:
        parts += (_RATING, _double(rating))
    if score is not None:
        parts += (_SCORE, _double(score))
    if product_id:
        data = product_id.encode()
        parts += (_PRODUCT, lengths[len(data)], data)
    if quantity is not None:
        parts += (_QUANTITY, _double(quantity))
    if warnings:
        parts += _texts(_WARNINGS, *warnings)
    if bot:
        parts += (_BOT, b"\1")
    if attribution:
        data = attribution.encode()
        parts += (_ATTRIBUTION, lengths[len(data)], data)
    return b"".join(parts)


def _texts(tag: bytes, *texts: str) -> list[bytes]:
    parts: list[bytes] = []
    for text in texts:
        data = text.encode()
        parts += (tag, _LENGTHS[len(data)], data)
    return parts


def decode(value: bytes) -> Touchpoint:
    """The touchpoint in one Kafka value.

    Raises:
        UndecodableError: not a touchpoint message, a needed field is missing, or an instant or number is out of range.
    """
    try:
        m = _Touchpoint.FromString(value)
        rest = m.rest.decode()
    except (DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError("undecodable", "", f"not a touchpoint message: {error}") from None
    if not m.actor:
        raise UndecodableError("missing_field", "actor", "the touchpoint has no actor")
    if not m.message_id:
        raise UndecodableError("missing_field", "message_id", "the touchpoint has no message id")
    occurred_us = m.occurred_us
    received_us = m.received_us
    if not (MIN_US <= occurred_us <= MAX_US and MIN_US <= received_us <= MAX_US):
        raise UndecodableError("time_out_of_range", "occurred_us", "an instant lies outside the years 1-9999")
    # A number that is there is hardly ever 0, so presence is seldom asked for.
    worth: float | None = m.value
    if not worth and not m.HasField("value"):
        worth = None
    rating: float | None = m.rating
    if not rating and not m.HasField("rating"):
        rating = None
    score: float | None = m.score
    if not score and not m.HasField("score"):
        score = None
    quantity: float | None = m.quantity
    if not quantity and not m.HasField("quantity"):
        quantity = None
    if worth or rating or score or quantity:
        _require_finite(value=worth, rating=rating, score=score, quantity=quantity)
    return Touchpoint(
        occurred_us,
        m.message_id,
        m.actor,
        m.call,
        m.name,
        m.workspace,
        m.source,
        m.channel,
        received_us,
        m.client_us,
        m.user_id,
        m.anonymous_id,
        m.previous_id,
        m.order_id,
        worth,
        m.currency,
        rating,
        score,
        m.product_id,
        quantity,
        tuple(m.warnings),
        rest or "{}",
        m.bot,
        m.attribution,
    )


def _require_finite(**numbers: float | None) -> None:
    for field, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UndecodableError("not_finite", field, f"{field} is not a finite number")


def encode_rejected(rejected: Rejected) -> bytes:
    """The Kafka value of one rejection."""
    values = rejected._asdict()
    values["envelope"] = _Envelope(**rejected.envelope._asdict()) if rejected.envelope.path else None
    return _Rejected(**values).SerializeToString()


def decode_rejected(value: bytes) -> Rejected:
    """The rejection in one Kafka value.

    Raises:
        UndecodableError: not a rejection message.
    """
    try:
        m = _Rejected.FromString(value)
    except DecodeError as error:
        raise UndecodableError("undecodable", "", f"not a rejection message: {error}") from None
    e = m.envelope
    return Rejected(
        *(m.workspace, m.source, m.received_us, m.stage, m.code, m.field, m.message, m.payload, m.origin),
        *(m.name, m.message_id, m.request),
        Envelope(e.path, e.content_type, e.library, e.before, e.after),
        m.replay_of,
    )
