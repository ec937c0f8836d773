"""A body cut into its events, for dialects whose events are not Segment's. Pure.

A clean body is cut by the fast decoder. One that is not (NaN, stray bytes, lone surrogates, NUL) is read by
`careful.py`, so that each event gets its own answer. `item` turns one event into an `Item`.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import Item
from services.ingest.enrich.context import Context
from services.ingest.event import tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import MAX_EVENTS, RefusedError, Verdict, json_type, refuse
from services.ingest.validate.touchpoint import When
from throughline.kit.errors import ProblemCode, ServiceError

Found = tuple[Event, str, dict[str, Any] | None, Context | None, When | None]
"""An event; the inside of a JSON object with what has no place in it; its properties, context and times decoded, or
None."""
Read = Callable[[bytes, list[Verdict]], Found]
"""From one event as JSON, and where its warnings go.

Raises RefusedError, or a decoder's error for what it can not hold.
"""

KEY_NAMES = frozenset({"writeKey", "write_key", "api_key", "api_secret", "token"})
"""Members of a body that carry a write key: left out of what is kept around a refused event."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_EVENTS = msgspec.json.Decoder(list[Raw])
_ANY = msgspec.json.Decoder()
_BYTES = msgspec.json.Decoder(bytes)
_NUL = re.compile(rb"\\u0000").search  # twice as fast as `in`


class Pieces(NamedTuple):
    """A body, cut."""

    head: dict[str, Raw]
    """The members of the body beside the events."""
    events: list[Raw]
    defects: dict[int, Verdict]
    """Events that must not be kept, by position."""


def cut(body: bytes, name: str, usual: tuple[str, ...] = (), *, most: int = MAX_EVENTS) -> Pieces:
    """The events of a body: the list in its member `name`, or the body itself if `name` is "".

    `usual` are the members it has beside them as a rule: a body with no others is read in one go.

    Raises:
        ServiceError: 400, the body is not JSON, is something else, or has more than `most` events.
    """
    pieces = in_one_go(body, name, usual, most=most)
    if pieces is None:
        pieces = (_cut_cleanly(body, name) if is_clean(body) else None) or _cut_carefully(body, name)
        _limit(pieces, name, most)
    return pieces


def in_one_go(body: bytes, name: str, usual: tuple[str, ...], *, most: int = MAX_EVENTS) -> Pieces | None:
    """`cut` for a clean body that has the member `name` and no others than `usual`; None for another one.

    Raises:
        ServiceError: 400, it has more than `most` events.
    """
    if not usual or not is_clean(body):
        return None
    try:
        found = _usual(name, usual).decode(body)
        head = _readable({member: part for member in usual if (part := getattr(found, member))})
    except (msgspec.DecodeError, RecursionError):
        return None
    pieces = Pieces(head, getattr(found, name), {})
    _limit(pieces, name, most)
    return pieces


@lru_cache(maxsize=64)
def _usual(name: str, usual: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    members = [(member, Raw, Raw()) for member in usual]
    shape = msgspec.defstruct("Usual", [(name, list[Raw]), *members], forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(shape)


def _cut_cleanly(body: bytes, name: str) -> Pieces | None:
    try:
        if not name:
            return Pieces({}, _EVENTS.decode(body), {})
        head = _FIELDS.decode(body)
        events = _EVENTS.decode(head.pop(name))
        return Pieces(_readable(head), events, {})
    except (msgspec.DecodeError, RecursionError, KeyError):
        return None


def _readable(head: dict[str, Raw]) -> dict[str, Raw]:
    """The members of a head, of which none holds a number that is out of range or nests without end."""
    for part in head.values():
        _ANY.decode(part)
    return head


def whole(body: bytes) -> Pieces:
    """A body that is one event, an object.

    Raises:
        ServiceError: 400, the body is not JSON, or no object.
    """
    if is_clean(body):
        try:
            _FIELDS.decode(body)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return Pieces({}, [Raw(body)], {})
    text = tolerant_json.text_of(body)
    value = tolerant_json.load_text(text)
    if not isinstance(value, dict):
        raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
    found = tolerant_json.defect_in(value, text)
    return Pieces({}, [Raw(tolerant_json.bytes_of(text))], {0: found} if found else {})


def item(raw: bytes | Raw, read: Read, defect: Verdict | None = None) -> Item:
    """One event, read, or refused with its verdict."""
    raw = bytes(raw)
    notes: list[Verdict] = []
    if defect is None:
        try:
            found = read(raw, notes)
        except RefusedError as error:
            defect = error.verdict
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # JSON the decoder can not hold: most likely a number out of range.
            defect = tolerant_json.defect_of(raw) or Verdict("rejected", "unreadable", "", "the event can not be read")
        else:
            event, extra, properties, context, when = found
            return Item(raw, event, None, notes, extra, properties, context, when)
    return Item(raw, None, defect, notes)


def embedded(data: bytes, field: str) -> Any:
    """JSON that stands inside of a text: what its body's checks have not seen.

    Raises:
        RefusedError: it is not JSON, or holds what no event may.
    """
    if is_clean(data) and not tolerant_json.may_be_deep(data):
        try:
            return _ANY.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass
    try:
        value = tolerant_json.load(data)
    except ServiceError as error:
        refuse(error.code, field, f"{field}: {error.message.replace('the body', 'it')}")
    found = tolerant_json.defect(value)
    if found is not None:
        refuse(found.code, f"{field}.{found.field}".rstrip("."), found.message)
    return value


def plain_base64(data: bytes) -> bytes | None:
    """What base64 says that has its padding and nothing beside; None for other data. Twice as fast as binascii."""
    if b"\\" in data:  # an escape of JSON
        return None
    try:
        return _BYTES.decode(b'"%b"' % data)
    except msgspec.DecodeError:
        return None


def is_clean(body: bytes) -> bool:
    """Whether the fast decoder's answer for a body counts: UTF-8 without a byte order mark and without NUL."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
        if body.startswith(b"\xef\xbb\xbf"):
            return False
    # Whether there is any backslash takes a twentieth of the time to find out.
    return b"\\" not in body or _NUL(body) is None


def _limit(pieces: Pieces, name: str, most: int) -> None:
    if len(pieces.events) > most:
        raise ServiceError(
            400, "too_many_events", f"the body has {len(pieces.events)} events, {most} are allowed", field=name
        )


def _cut_carefully(body: bytes, name: str) -> Pieces:
    text = tolerant_json.text_of(body)
    value = tolerant_json.load_text(text)
    parts: dict[str, str] = {}
    events = value
    if name:
        if not isinstance(value, dict):
            raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
        events = value.pop(name, None)
        found = tolerant_json.defect(value)
        if found is not None:
            raise ServiceError(400, cast(ProblemCode, found.code), found.message, field=found.field)
        parts = tolerant_json.members(text)
        text = parts.pop(name, "")
    if not isinstance(events, list):
        kind = "nothing" if events is None else json_type(events)
        what = name or "the body"
        raise ServiceError(400, "wrong_type", f"{what} has to be a list of events, got {kind}", field=name)
    head = {key: Raw(tolerant_json.bytes_of(part)) for key, part in parts.items()}
    try:
        _readable(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ServiceError(400, "unreadable_json", f"what stands beside {name} can not be read") from None
    return Pieces(head, *tolerant_json.cut(events, text))
