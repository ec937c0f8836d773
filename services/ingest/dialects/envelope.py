"""A request's body, opened: its events as raw JSON and what they share, without looking into the events. Pure.

A clean body is cut up by the fast decoder; one that is not (NaN, stray bytes, lone surrogates, NUL) by `careful.py`.
"""

from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from services.ingest.event import times, tolerant_json
from services.ingest.event.verdict import MAX_EVENT_BYTES, MAX_EVENTS, RefusedError, Verdict, json_type
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ProblemCode, ServiceError
from throughline.wire.codec import Envelope


class _Envelope(Struct, gc=False):
    batch: list[Raw]
    writeKey: Any = None  # noqa: N815
    sentAt: datetime | None = None  # noqa: N815
    context: Raw = Raw()
    integrations: Raw = Raw()


class Body(Struct, gc=False):
    """A request's body, opened: its events as raw JSON, and what they share."""

    call: str
    """The call all its events are, "" when each names its own."""
    events: list[Raw]
    defects: dict[int, Verdict]
    """Events that must not be kept, by position."""
    write_key: str
    sent_us: int | None
    context: dict[str, Raw]
    integrations: dict[str, Raw]


class _WriteKey(Struct, gc=False):
    writeKey: Any = None  # noqa: N815


_WRITE_KEY = msgspec.json.Decoder(_WriteKey)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_EMPTY: dict[str, Any] = {}
_EMPTY_LIKE = (b"{}", b"null", b"")


def open_body(body: bytes, call: str) -> Body:
    """Take a body apart, without looking into its events.

    `call` is the one the path names, "" for a batch.

    Raises:
        ServiceError: 400, the body is not JSON, not an object, or has too many events.
    """
    clean = body.isascii() or _is_utf8(body)
    if clean and (b"\\" not in body or b"\\u0000" not in body):
        try:
            if call:
                # Without a key in it, one event needs no look at all yet: whoever reads it finds what is wrong with it.
                key = _WRITE_KEY.decode(body).writeKey if b"writeKey" in body or body[:1] != b"{" else ""
                return Body(call, [Raw(body)], {}, _text(key), None, _EMPTY, _EMPTY)
            envelope = _ENVELOPE.decode(body)
            context, integrations = _shared(envelope.context), _shared(envelope.integrations)
            sent_us = None if envelope.sentAt is None else times.instant(envelope.sentAt, "sentAt")
        except (msgspec.DecodeError, RecursionError, RefusedError):
            pass
        else:
            _limit(len(envelope.batch), context, integrations)
            return Body(
                "",
                envelope.batch,
                {},
                _text(envelope.writeKey),
                sent_us,
                context,
                integrations,
            )
    return _open_carefully(body, call)


def envelope_of(body: Body) -> Envelope:
    """What makes one of a body's events a body of its own."""
    if body.call:
        return Envelope(f"/v1/{body.call}")
    shared: dict[str, Any] = {} if body.sent_us is None else {"sentAt": rfc3339(body.sent_us)}
    if body.context:
        shared["context"] = body.context
    if body.integrations:
        shared["integrations"] = body.integrations
    return Envelope("/v1/batch", before=before(shared, "batch"), after=b"]}")


def before(shared: dict[str, Any], name: str) -> bytes:
    """An object with these members and a list `name`, up to the list's first item."""
    members = msgspec.json.encode(shared)[:-1]
    return members + (b"," if shared else b"") + msgspec.json.encode(name) + b":["


def _open_carefully(body: bytes, call: str) -> Body:
    text = tolerant_json.text_of(body)
    value = tolerant_json.load_text(text)
    if not isinstance(value, dict):
        raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
    write_key = _text(value.get("writeKey"))
    if call:
        found = tolerant_json.defect_in(value, text)
        return Body(
            call, [Raw(tolerant_json.bytes_of(text))], {0: found} if found else {}, write_key, None, _EMPTY, _EMPTY
        )
    events = value.get("batch")
    if not isinstance(events, list):
        found_type = "nothing" if events is None else json_type(events)
        raise ServiceError(400, "wrong_type", f"batch has to be a list of events, got {found_type}", field="batch")
    _limit(len(events))
    parts = tolerant_json.members(text)
    for name in ("context", "integrations"):
        found = tolerant_json.defect_in(value.get(name), parts.get(name, ""))
        if found is not None:
            raise ServiceError(
                400, cast(ProblemCode, found.code), found.message, field=f"{name}.{found.field}".rstrip(".")
            )
    try:
        sent = times.parse(value.get("sentAt"), "sentAt")
        sent_us = None if sent is None else times.instant(sent, "sentAt")
    except RefusedError:
        sent_us = None
    try:
        context, integrations = (
            _shared(Raw(tolerant_json.bytes_of(parts.get(name, "")))) for name in ("context", "integrations")
        )
    except (msgspec.DecodeError, RecursionError):
        raise ServiceError(400, "unreadable_json", "the batch's context can not be read", field="context") from None
    _limit(len(events), context, integrations)
    raws, defects = tolerant_json.cut(events, parts["batch"])
    return Body("", raws, defects, write_key, sent_us, context, integrations)


def _shared(raw: Raw) -> dict[str, Raw]:
    if bytes(raw) in _EMPTY_LIKE:
        return _EMPTY
    return _FIELDS.decode(raw) if isinstance(_ANY.decode(raw), dict) else _EMPTY


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return not body.startswith(b"\xef\xbb\xbf")


def _limit(events: int, *shared: dict[str, Raw]) -> None:
    if events > MAX_EVENTS:
        raise ServiceError(400, "too_many_events", f"the batch has {events} events, {MAX_EVENTS} are allowed")
    # Each event is kept, and read, with what its batch shares.
    size = size_of(*shared)
    if size > MAX_EVENT_BYTES:
        raise ServiceError(
            400,
            "too_large",
            f"the batch's context and integrations, which each of its events has, have {size} bytes, "
            f"{MAX_EVENT_BYTES} are allowed",
            field="context",
        )


def size_of(*shared: dict[str, Raw]) -> int:
    """Bytes of what a batch shares with each of its events."""
    return sum(len(name) + len(part) for one in shared for name, part in one.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
