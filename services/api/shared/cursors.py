"""Opaque page positions: base64url of a small JSON array, whose first element says what it pages through."""

import base64
import binascii
from typing import NamedTuple, TypeVar

import msgspec

from throughline.kit.errors import ServiceError


class TouchpointCursor(NamedTuple):
    """The last touchpoint of a page, newest first."""

    occurred_us: int
    message_id: str
    actor: bytes


class CustomerCursor(NamedTuple):
    """The last customer of a page, in the order of (phase, digest)."""

    phase: int
    customer: bytes


class UnmappedCursor(NamedTuple):
    """The last event name of a page, most frequent first."""

    events: int
    name: str


class RejectedCursor(NamedTuple):
    """The last refused event of a page, newest first."""

    received_us: int
    id: int


C = TypeVar("C", TouchpointCursor, CustomerCursor, UnmappedCursor, RejectedCursor)

_TAGS = {TouchpointCursor: "t", CustomerCursor: "c", UnmappedCursor: "u", RejectedCursor: "r"}
_BIGINT = 2**63


def encode_cursor(cursor: TouchpointCursor | CustomerCursor | UnmappedCursor | RejectedCursor) -> str:
    """The text a client sends back to go on after this position."""
    raw = msgspec.json.encode((_TAGS[type(cursor)], cursor))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(kind: type[C], text: str) -> C:
    """The position in a client's text.

    Raises:
        ServiceError: 400 `bad_cursor`: not a cursor, or one of another list.
    """
    cursor: C
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        tag, parts = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        cursor = msgspec.json.decode(parts, type=kind)
        whole = all(-_BIGINT <= part < _BIGINT for part in cursor if isinstance(part, int))
        # PostgreSQL's text holds no NUL.
        fits = not any(isinstance(part, str) and "\0" in part for part in cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise bad_cursor() from None
    if tag != _TAGS[kind] or not whole or not fits:
        raise bad_cursor()
    return cursor


def bad_cursor() -> ServiceError:
    """The answer to a cursor that no page of this list gave."""
    return ServiceError(
        400,
        "bad_cursor",
        "cursor is not one this list gave; leave it out to start from the first page",
        field="cursor",
    )
