"""Touchpoints and rejections to bytes and back. The only file that touches the generated messages."""

import math
import zlib
from functools import lru_cache
from typing import NamedTuple

from google.protobuf.message import DecodeError

from throughline.journey.touchpoint import (
    Touchpoint as Touchpoint,
)  # ingest, which must not know journey, takes it from here
from throughline.wire.v1.touchpoint_pb2 import Rejected as _Rejected
from throughline.wire.v1.touchpoint_pb2 import Touchpoint as _Touchpoint

MIN_US = -62_135_596_800_000_000
"""The year 1: the first instant that every part of the system can hold."""
MAX_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


class UndecodableError(ValueError):
    """A record's value is not a touchpoint. `code` is stable, `field` names the field at fault or is empty."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


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


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of an actor's touchpoints: CRC32 of the UTF-8 id modulo the number of partitions."""
    return zlib.crc32(key) % partitions


def encode(touchpoint: Touchpoint) -> bytes:
    """The Kafka value of one touchpoint.

    Raises:
        ValueError: a text is not UTF-8 encodable (a lone surrogate) or an instant does not fit 64 bits.
    """
    t = touchpoint
    message = _Touchpoint(
        actor=t.actor,
        user_id=t.user_id,
        anonymous_id=t.anonymous_id,
        message_id=t.message_id,
        name=t.name,
        occurred_us=t.occurred_us,
        received_us=t.received_us,
        client_us=t.client_us,
        rest=t.rest.encode(),
    )
    if t.previous_id:
        message.previous_id = t.previous_id
    if t.order_id:
        message.order_id = t.order_id
    if t.value is not None:
        message.value = t.value
    if t.currency:
        message.currency = t.currency
    if t.rating is not None:
        message.rating = t.rating
    if t.score is not None:
        message.score = t.score
    if t.product_id:
        message.product_id = t.product_id
    if t.quantity is not None:
        message.quantity = t.quantity
    if t.warnings:
        message.warnings.extend(t.warnings)
    return _shared(t.workspace, t.source, t.call, t.channel) + message.SerializeToString()


@lru_cache(maxsize=4096)
def _shared(workspace: int, source: int, call: str, channel: str) -> bytes:
    # What many touchpoints have in common, encoded once: protobuf messages add up by concatenation.
    return _Touchpoint(workspace=workspace, source=source, call=call, channel=channel).SerializeToString()


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
    )


def _require_finite(**numbers: float | None) -> None:
    for field, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UndecodableError("not_finite", field, f"{field} is not a finite number")


def encode_rejected(rejected: Rejected) -> bytes:
    """The Kafka value of one rejection."""
    return _Rejected(**rejected._asdict()).SerializeToString()


def decode_rejected(value: bytes) -> Rejected:
    """The rejection in one Kafka value.

    Raises:
        UndecodableError: not a rejection message.
    """
    try:
        m = _Rejected.FromString(value)
    except DecodeError as error:
        raise UndecodableError("undecodable", "", f"not a rejection message: {error}") from None
    return Rejected(m.workspace, m.source, m.received_us, m.stage, m.code, m.field, m.message, m.payload, m.origin)
