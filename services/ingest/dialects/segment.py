"""Segment's HTTP API: a body, whole or in a batch, to touchpoints with a verdict per event. Pure.

The usual event is decoded straight into `Event` (`event.py`, which also reads the unusual ones); a body that is not
clean JSON goes through `careful.py`. Every event ends in `_touchpoint`.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from services.ingest import times
from services.ingest.channel import channel_of
from services.ingest.dialects import careful
from services.ingest.dialects.event import Event, read_event
from services.ingest.dialects.fields import NONE, read_fields
from services.ingest.verdict import (
    ILLEGAL_IDS,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    MAX_MESSAGE_ID,
    MAX_TEXT,
    RefusedError,
    Verdict,
    json_type,
    read_id,
    refuse,
    warning,
)
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

CALLS = frozenset({"track", "page", "screen", "identify", "group", "alias"})


class _Envelope(Struct, gc=False):
    batch: list[Raw]
    writeKey: Any = None  # noqa: N815
    sentAt: datetime | None = None  # noqa: N815
    context: Raw = Raw()
    integrations: Raw = Raw()


class Body(NamedTuple):
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


class Result(NamedTuple):
    """What became of a body's events."""

    touchpoints: list[Touchpoint]
    verdicts: list[Verdict | None]
    """In the order of the events; None is ok."""
    refused: list[tuple[Verdict, bytes]]
    """With the event, whole."""


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
                fields = msgspec.json.decode(body, type=_WriteKey)
                return Body(call, [Raw(body)], {}, _text(fields.writeKey), None, _EMPTY, _EMPTY)
            envelope = _ENVELOPE.decode(body)
            context, integrations = _shared(envelope.context), _shared(envelope.integrations)
        except (msgspec.DecodeError, RecursionError, RefusedError):
            pass
        else:
            _limit(len(envelope.batch))
            sent = envelope.sentAt
            return Body(
                "",
                envelope.batch,
                {},
                _text(envelope.writeKey),
                None if sent is None else times.instant(sent, "sentAt"),
                context,
                integrations,
            )
    return _open_carefully(body, call)


class _WriteKey(Struct, gc=False):
    writeKey: Any = None  # noqa: N815


def _open_carefully(body: bytes, call: str) -> Body:
    value = careful.load(body)
    if not isinstance(value, dict):
        raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
    write_key = _text(value.get("writeKey"))
    if call:
        found = careful.defect(value)
        return Body(call, [Raw(body)], {0: found} if found else {}, write_key, None, _EMPTY, _EMPTY)
    events = value.get("batch")
    if not isinstance(events, list):
        found_type = "nothing" if events is None else json_type(events)
        raise ServiceError(400, "wrong_type", f"batch has to be a list of events, got {found_type}", field="batch")
    _limit(len(events))
    shared = {name: value.get(name) for name in ("context", "integrations")}
    for name, part in shared.items():
        found = careful.defect(part)
        if found is not None:
            raise ServiceError(400, found.code, found.message, field=f"{name}.{found.field}".rstrip("."))
    try:
        sent = times.parse(value.get("sentAt"), "sentAt")
        sent_us = None if sent is None else times.instant(sent, "sentAt")
    except RefusedError:
        sent_us = None
    defects = {number: found for number, event in enumerate(events) if (found := careful.defect(event)) is not None}
    return Body(
        "",
        [Raw(careful.dump(event)) for event in events],
        defects,
        write_key,
        sent_us,
        _shared(Raw(careful.dump(shared["context"]))),
        _shared(Raw(careful.dump(shared["integrations"]))),
    )


def judge(body: Body, *, workspace: int, source: int, received_us: int, new_id: Callable[[], str]) -> Result:
    """A verdict for every event of a body, and the touchpoints of those that are kept. Never raises for an event.

    `new_id` gives a random message id for an event that has neither its own nor a time to derive one from.
    """
    touchpoints: list[Touchpoint] = []
    verdicts: list[Verdict | None] = []
    refused: list[tuple[Verdict, bytes]] = []
    batch = Batch(body.call, body.sent_us, body.context, body.integrations, workspace, source, received_us, new_id)
    defects = body.defects
    for number, raw in enumerate(body.events):
        try:
            if defects and number in defects:
                raise RefusedError(*defects[number][1:])
            notes: list[Verdict] = []
            touchpoints.append(_read(raw, batch, notes))
        except RefusedError as error:
            verdicts.append(error.verdict)
            refused.append((error.verdict, bytes(raw)))
        else:
            verdicts.append(notes[0] if notes else None)
    return Result(touchpoints, verdicts, refused)


class Batch(NamedTuple):
    """What the events of one body share while they are judged."""

    call: str
    sent_us: int | None
    context: dict[str, Raw]
    integrations: dict[str, Raw]
    workspace: int
    source: int
    received_us: int
    new_id: Callable[[], str]


def _read(raw: Raw, batch: Batch, notes: list[Verdict]) -> Touchpoint:
    size = len(raw)
    if size > MAX_EVENT_BYTES:
        refuse("too_large", "", f"the event has {size} bytes, {MAX_EVENT_BYTES} are allowed")
    if size > 2 * MAX_DEPTH and _may_be_deep(raw):
        _look_closely(raw)
    try:
        event, extra = read_event(raw, notes)
        return _touchpoint(event, raw, batch, notes, extra)
    except (msgspec.DecodeError, RecursionError):
        # JSON the decoder can not hold: most likely a number out of range.
        _look_closely(raw)
        refuse("unreadable", "", "the event can not be read")


def _look_closely(raw: Raw) -> None:
    found = careful.defect(careful.load(bytes(raw)))
    if found is not None:
        raise RefusedError(*found[1:])


def _touchpoint(event: Event, raw: Raw, batch: Batch, notes: list[Verdict], extra: str) -> Touchpoint:
    call = batch.call or event.type
    name = event.name or ""
    if call == "track":
        name = event.event or ""
        if not name:
            refuse("missing_field", "event", "a track call has to name its event")
    elif call not in CALLS:
        if not call:
            refuse("missing_field", "type", "an event in a batch has to name its type: " + ", ".join(sorted(CALLS)))
        refuse("unknown_type", "type", f"{call[:100]!r} is none of: " + ", ".join(sorted(CALLS)))
    if len(name) > MAX_TEXT:
        refuse("too_long", "event", f"the name has {len(name)} characters, {MAX_TEXT} are allowed")

    user = _usual_id(event.userId, "userId", notes)
    anonymous = _usual_id(event.anonymousId, "anonymousId", notes)
    actor = user or anonymous
    if not actor:
        for note in notes:
            if note.code == "illegal_id":
                refuse(note.code, note.field, note.message)
        refuse("missing_id", "userId", "an event needs a userId or an anonymousId")
    previous = ""
    if call == "alias":
        previous = _usual_id(event.previousId, "previousId", notes)
        if not user:
            refuse("missing_field", "userId", "an alias call needs the userId that previousId becomes")
        if not previous and not anonymous:
            refuse("missing_field", "previousId", "an alias call needs the previousId that becomes userId")

    # When.
    received_us = batch.received_us
    client = event.originalTimestamp or event.timestamp
    client_us = 0
    occurred_us = received_us
    if client is not None:
        client_us = times.instant(client, "timestamp")
        sent_us = batch.sent_us if event.sentAt is None else times.instant(event.sentAt, "sentAt")
        occurred_us, future = times.correct(client_us, sent_us, received_us)
        if future:
            notes.append(
                warning("time_in_future", "timestamp", "the time lies in the future; that of receiving is used")
            )

    message_id = event.messageId or _missing_message_id(raw, batch, client_us, notes)
    if len(message_id) > MAX_MESSAGE_ID:
        refuse("too_long", "messageId", f"messageId has {len(message_id)} characters, {MAX_MESSAGE_ID} are allowed")

    # What: the typed fields, and the rest as it came.
    properties, rest = _part("properties", event.properties, "")
    if event.traits:
        _, rest = _part("traits", event.traits, rest)
    context, rest = _part("context", _merged("context", event.context, batch.context), rest)
    integrations = _merged("integrations", event.integrations, batch.integrations)
    if integrations:
        _ANY.decode(integrations)
        rest = _with("integrations", integrations, rest)
    if event.groupId:
        _ANY.decode(event.groupId)
        rest = _with("groupId", event.groupId, rest)
    if event.metadata:
        _ANY.decode(event.metadata)
        rest = _with("_metadata", event.metadata, rest)
    if extra:
        rest = f"{rest},{extra}" if rest else extra
    fields = read_fields(properties, notes) if properties else NONE
    return Touchpoint(
        occurred_us,
        message_id,
        actor,
        call,
        name,
        batch.workspace,
        batch.source,
        channel_of(properties, context),
        received_us,
        client_us,
        user,
        anonymous,
        previous,
        *fields,
        tuple([note.code for note in notes]) if notes else (),
        f"{{{rest}}}",
    )


def _usual_id(value: str | None, field: str, notes: list[Verdict]) -> str:
    if value is None:
        return ""
    if len(value) > MAX_TEXT or value.strip().lower() in ILLEGAL_IDS:
        return read_id(value, field, notes)
    return value


def _missing_message_id(raw: Raw, batch: Batch, client_us: int, notes: list[Verdict]) -> str:
    """An id that a retry of the same event gets again, if the event says when it happened; else a random one."""
    if not client_us:
        notes.append(
            warning(
                "missing_message_id", "messageId", "without messageId and timestamp a retry counts as another event"
            )
        )
        return batch.new_id()
    fields = _FIELDS.decode(raw)
    for volatile in ("sentAt", "writeKey", "_metadata"):
        fields.pop(volatile, None)
    digest = blake2b(f"{batch.source}\0{batch.call}\0".encode(), digest_size=16)
    digest.update(msgspec.json.encode(fields, order="sorted"))
    return digest.hexdigest()


def _part(name: str, raw: Raw, rest: str) -> tuple[dict[str, Any], str]:
    """One of the objects an event carries: decoded, and `rest` with its JSON as it came.

    Raises:
        RefusedError: it is not an object.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    if not raw:
        return _EMPTY, rest
    value = _ANY.decode(raw)
    if type(value) is not dict:
        if value is None:
            return _EMPTY, rest
        refuse("wrong_type", name, f"{name} has to be an object, got {json_type(value)}")
    return value, _with(name, raw, rest)


def _with(name: str, raw: Raw, rest: str) -> str:
    text = f'"{name}":{str(raw, "utf-8")}'
    return f"{rest},{text}" if rest else text


def _merged(name: str, own: Raw, shared: dict[str, Raw]) -> Raw:
    """An event's own part over the one its batch gives to all."""
    if not shared:
        return own
    try:
        fields = _FIELDS.decode(own) if own and bytes(own) != b"null" else {}
    except msgspec.ValidationError:
        refuse("wrong_type", name, f"{name} has to be an object")
    return Raw(msgspec.json.encode({**shared, **fields}))


def _shared(raw: Raw) -> dict[str, Raw]:
    if bytes(raw) in _EMPTY_LIKE:
        return _EMPTY
    return _FIELDS.decode(raw) if isinstance(_ANY.decode(raw), dict) else _EMPTY


def _may_be_deep(raw: Raw) -> bool:
    text = bytes(raw)
    return text.count(b"{") + text.count(b"[") > MAX_DEPTH


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return not body.startswith(b"\xef\xbb\xbf")


def _limit(events: int) -> None:
    if events > MAX_EVENTS:
        raise ServiceError(400, "too_many_events", f"the batch has {events} events, {MAX_EVENTS} are allowed")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
