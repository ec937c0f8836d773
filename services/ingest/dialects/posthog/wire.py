"""PostHog's event as it is sent: the usual shape decoded at once, any other shape member by member. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.split import check_count, decodable, is_clean
from services.ingest.event import times, tolerant_json
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import (
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    Verdict,
    faults_among,
    json_type,
    reject,
    warning,
)

EMPTY_OBJECT = len("{}")


class WireEvent(Struct, forbid_unknown_fields=True, gc=False):
    """An event of the usual shape. `Raw` members are kept, or passed on, as they were sent."""

    event: str | None = None
    distinct_id: str | None = None
    uuid: str | None = None
    timestamp: datetime | None = None
    offset: float | None = None
    sent_at: Any = None
    properties: Raw = Raw()
    set: Raw = msgspec.field(default=Raw(), name="$set")
    set_once: Raw = msgspec.field(default=Raw(), name="$set_once")
    unset: Raw = msgspec.field(default=Raw(), name="$unset")
    options: Raw = Raw()
    session_id: Raw = Raw()
    window_id: Raw = Raw()
    type: Raw = Raw()
    library: Raw = Raw()
    library_version: Raw = Raw()
    api_key: Any = None
    token: Any = None


_EXTRA_MEMBERS = ("type", "library", "library_version", "session_id", "window_id", "options")
"""Members beside the properties that are kept under their own names."""
_WIRE_NAMES = {"set": "$set", "set_once": "$set_once", "unset": "$unset"}
"""Field of `WireEvent` -> member of the event, where they differ."""
_RAW_MEMBERS = ("properties", "set", "set_once", "unset", *_EXTRA_MEMBERS)
_DECODED_MEMBERS = ("event", "distinct_id", "uuid", "timestamp", "offset", "sent_at", "api_key", "token")


class Options(Struct, gc=False):
    """The member `options`, where the newer endpoint has what was a property before."""

    process_person_profile: Any = None
    cookieless_mode: Any = None
    disable_skew_correction: Any = None


class RawProperties(Struct, gc=False):
    """Properties that are passed on as JSON."""

    group_set: Raw = msgspec.field(default=Raw(), name="$group_set")
    set: Raw = msgspec.field(default=Raw(), name="$set")
    set_once: Raw = msgspec.field(default=Raw(), name="$set_once")


class _UsualBody(Struct, forbid_unknown_fields=True, gc=False):
    """A batch whose events all have the usual shape."""

    batch: list[WireEvent]
    api_key: Raw = Raw()
    token: Raw = Raw()
    sent_at: Raw = Raw()
    historical_migration: Raw = Raw()
    created_at: Raw = Raw()


class UsualBatch(NamedTuple):
    """A body whose events were decoded with it, because nothing in it is unusual."""

    head: dict[str, Raw]
    """The members of the body beside the events."""
    events: list[WireEvent]


HEAD = _UsualBody.__struct_fields__[1:]
"""Members that bodies have beside the events as a rule."""
NO_RAW_PROPERTIES = RawProperties()
_RAW_PROPERTIES = frozenset(RawProperties.__struct_encode_fields__)

_WIRE_EVENT = msgspec.json.Decoder(WireEvent)
_RAW_PROPERTY_DECODER = msgspec.json.Decoder(RawProperties)
_USUAL_BODY = msgspec.json.Decoder(_UsualBody)
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()


def raw_properties(raw: Raw, properties: Mapping[str, Any]) -> RawProperties:
    """Returns those of an event's properties that are passed on as JSON; `raw` is all of them, `properties` decoded."""
    # The other way round, each of the properties would be looked up.
    return NO_RAW_PROPERTIES if properties.keys().isdisjoint(_RAW_PROPERTIES) else _RAW_PROPERTY_DECODER.decode(raw)


def try_usual_batch(body: bytes) -> UsualBatch | None:
    """Returns a clean batch none of whose events is unusual, too large or nested too deeply; None for another body,
    which takes two decodings.

    Raises:
        ServiceError: 400, it has more than `MAX_EVENTS` events.
    """
    if not is_clean(body) or tolerant_json.may_be_deep(body):
        return None
    try:
        decoded = _USUAL_BODY.decode(body)
        head = decodable({name: part for name in HEAD if (part := getattr(decoded, name))})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    check_count(len(decoded.batch), "batch", MAX_EVENTS)
    lengths = [len(event.properties) for event in decoded.batch]
    # No event is longer than its properties and all that is no properties of an event.
    if lengths and max(lengths) + len(body) - sum(lengths) > MAX_EVENT_BYTES:
        return None
    return UsualBatch(head, decoded.batch)


def decode_event(raw: bytes, warnings: list[Verdict]) -> tuple[WireEvent, str]:
    """Returns one event, and its members that `WireEvent` does not have as JSON without the outer braces.

    Raises:
        RejectedError: not an object, or a member that cannot be understood.
        msgspec.DecodeError: a number is out of range.
    """
    try:
        return _WIRE_EVENT.decode(raw), ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_unusual(raw, warnings)


def add_extra_members(event: WireEvent, extra: str) -> str:
    """Returns the members that are kept beside the properties, after `extra`, as JSON without the outer braces.

    Raises:
        msgspec.DecodeError: one of them holds a number out of range.
    """
    has_members = event.type or event.options or event.session_id or event.window_id or event.unset
    if not (has_members or event.library or event.library_version):
        return extra
    parts = [extra] if extra else []
    for name in ("unset", *_EXTRA_MEMBERS):
        part = getattr(event, name)
        if len(part) > EMPTY_OBJECT:
            _ANY.decode(part)  # kept as JSON, so it must be decodable
            parts.append(f'"{_WIRE_NAMES.get(name, name)}":{str(part, "utf-8")}')
    return ",".join(parts)


def find_faults(raw: bytes, is_named: bool) -> list[Verdict]:
    """Returns all that is wrong with the members of an event; `is_named`: whether its path names the event."""
    try:
        members = _MEMBERS.decode(raw)
        values = {name: _ANY.decode(members[name]) for name in _DECODED_MEMBERS if name in members}
    except (msgspec.DecodeError, RecursionError):
        return []
    get = values.get
    warnings: list[Verdict] = []
    return faults_among(
        (
            lambda: None if is_named else require_name(_event_name(get("event"))),
            lambda: read_id(get("distinct_id"), "distinct_id", warnings),
            lambda: _message_id(get("uuid")),
            lambda: None if get("timestamp") is None else times.parse(get("timestamp"), "timestamp"),
            lambda: _offset(get("offset")),
        )
    )


def require_name(name: str | None) -> str:
    """Returns the name of an event.

    Raises:
        RejectedError: it has none.
    """
    if not name:
        reject("missing_field", "event", "a PostHog event has to name its event")
    return name


def _event_name(name: Any) -> str | None:
    if name is not None and not isinstance(name, str):
        reject("wrong_type", "event", f"event has to be text, got {json_type(name)}")
    return name


def _offset(offset: Any) -> float | None:
    """Returns a number of milliseconds; None for anything else."""
    if not isinstance(offset, int | float) or isinstance(offset, bool):
        return None
    try:
        return float(offset)
    except OverflowError:
        reject("number_out_of_range", "offset", "offset is too large a number")


def _decode_unusual(raw: bytes, warnings: list[Verdict]) -> tuple[WireEvent, str]:
    try:
        members = _MEMBERS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    event = WireEvent()
    for name in _RAW_MEMBERS:
        setattr(event, name, members.pop(_WIRE_NAMES.get(name, name), Raw()))
    values = {name: _ANY.decode(members.pop(name)) for name in _DECODED_MEMBERS if name in members}
    event.event = _event_name(values.get("event"))
    distinct_id = values.get("distinct_id")
    if not distinct_id and "$distinct_id" in members:
        distinct_id = _ANY.decode(members.pop("$distinct_id"))
    event.distinct_id = read_id(distinct_id, "distinct_id", warnings)
    event.uuid = _message_id(values.get("uuid"))
    event.sent_at = values.get("sent_at")
    time, offset = values.get("timestamp"), values.get("offset")
    event.timestamp = None if time is None else times.parse(time, "timestamp")
    if time is not None and event.timestamp is None:
        warnings.append(warning("unreadable_time", "timestamp", "timestamp is not an ISO 8601 time; it was left out"))
    event.offset = _offset(offset)
    if event.offset is None and offset is not None:
        warnings.append(warning("unreadable_time", "offset", "offset is not a number of milliseconds; it was left out"))
    for part in members.values():
        _ANY.decode(part)
    extra = (f"{msgspec.json.encode(name).decode()}:{str(part, 'utf-8')}" for name, part in members.items())
    return event, ",".join(extra)


def _message_id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        reject("wrong_type", "uuid", f"uuid has to be text, got {json_type(value)}")
    return str(value)
