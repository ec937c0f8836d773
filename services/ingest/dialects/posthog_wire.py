"""PostHog's event as it is on the wire: the usual shape, and what is made of an unusual one. Pure."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.event import times
from services.ingest.event.verdict import Verdict, json_type, read_id, reject, warning


class Sent(Struct, forbid_unknown_fields=True, gc=False):
    """The usual event. What has a place of its own in `Event` is typed; `Raw` parts are passed on as they came."""

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


_KEPT = ("type", "library", "library_version", "session_id", "window_id", "options")
"""Members beside the properties that are kept under their own names."""
_WIRE = {"set": "$set", "set_once": "$set_once", "unset": "$unset"}
_PARTS = ("properties", "set", "set_once", "unset", *_KEPT)


_PLAIN = ("event", "distinct_id", "uuid", "timestamp", "offset", "sent_at", "api_key", "token")


class Options(Struct, gc=False):
    """What the newer endpoint takes out of the properties."""

    process_person_profile: Any = None
    cookieless_mode: Any = None
    disable_skew_correction: Any = None


class Known(Struct, gc=False):
    """The properties that say who, where and through what; all others are not looked at."""

    distinct_id: Any = None
    alias: Any = None
    title: Any = None
    utm_source: Any = None
    utm_medium: Any = None
    utm_campaign: Any = None
    utm_term: Any = None
    utm_content: Any = None
    anonymous: Any = msgspec.field(default=None, name="$anon_distinct_id")
    device: Any = msgspec.field(default=None, name="$device_id")
    identified: Any = msgspec.field(default=None, name="$is_identified")
    profiled: Any = msgspec.field(default=None, name="$process_person_profile")
    cookieless: Any = msgspec.field(default=None, name="$cookieless_mode")
    ignore_sent_at: Any = msgspec.field(default=None, name="$ignore_sent_at")
    url: Any = msgspec.field(default=None, name="$current_url")
    referrer: Any = msgspec.field(default=None, name="$referrer")
    screen: Any = msgspec.field(default=None, name="$screen_name")
    group_type: Any = msgspec.field(default=None, name="$group_type")
    group_key: Any = msgspec.field(default=None, name="$group_key")
    library: Any = msgspec.field(default=None, name="$lib")
    library_version: Any = msgspec.field(default=None, name="$lib_version")
    user_agent: Any = msgspec.field(default=None, name="$raw_user_agent")
    ip: Any = msgspec.field(default=None, name="$ip")
    device_type: Any = msgspec.field(default=None, name="$device_type")
    os: Any = msgspec.field(default=None, name="$os_name")
    group_set: Raw = msgspec.field(default=Raw(), name="$group_set")
    set: Raw = msgspec.field(default=Raw(), name="$set")
    set_once: Raw = msgspec.field(default=Raw(), name="$set_once")


_PASSED_ON = frozenset({"$group_set", "$set", "$set_once"})
_LOOKED_AT = Known.__struct_encode_fields__[: -len(_PASSED_ON)]
_KNOWN = msgspec.json.Decoder(Known)


def known(raw: Raw, properties: dict[str, Any]) -> Known:
    """What is known of the properties, `raw` and decoded: read once more only if there is a part to be passed on."""
    if _PASSED_ON.isdisjoint(properties):
        looked_at: Any = map(properties.get, _LOOKED_AT)
        return Known(*looked_at)
    return _KNOWN.decode(raw)


_SENT = msgspec.json.Decoder(Sent)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
EMPTY_OBJECT = len("{}")


def decode(raw: bytes, warnings: list[Verdict]) -> tuple[Sent, str]:
    """One event, and the inside of a JSON object with its members that are not known here.

    Raises:
        RejectedError: not an object, or a member that can not be understood.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    try:
        return _SENT.decode(raw), ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _unusual(raw, warnings)


def extra_of(sent: Sent, extra: str) -> str:
    """What is kept beside the properties, after `extra`, the inside of a JSON object too."""
    said = sent.type or sent.options or sent.session_id or sent.window_id or sent.unset
    if not (said or sent.library or sent.library_version):
        return extra
    parts = [extra] if extra else []
    for name in ("unset", *_KEPT):
        part = getattr(sent, name)
        if len(part) > EMPTY_OBJECT:
            _ANY.decode(part)  # not looked at, but it has to be readable
            parts.append(f'"{_WIRE.get(name, name)}":{str(part, "utf-8")}')
    return ",".join(parts)


def _unusual(raw: bytes, warnings: list[Verdict]) -> tuple[Sent, str]:
    """An event whose shape is not the usual one, field by field; and those of its fields that are not known here."""
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    sent = Sent()
    for name in _PARTS:
        setattr(sent, name, fields.pop(_WIRE.get(name, name), Raw()))
    values = {name: _ANY.decode(fields.pop(name)) for name in _PLAIN if name in fields}
    event = values.get("event")
    if event is not None and not isinstance(event, str):
        reject("wrong_type", "event", f"event has to be text, got {json_type(event)}")
    sent.event = event
    sent.distinct_id = read_id(values.get("distinct_id"), "distinct_id", warnings)
    sent.uuid = _message_id(values.get("uuid"))
    sent.sent_at = values.get("sent_at")
    time, offset = values.get("timestamp"), values.get("offset")
    sent.timestamp = None if time is None else times.parse(time, "timestamp")
    if time is not None and sent.timestamp is None:
        warnings.append(warning("unreadable_time", "timestamp", "timestamp is not an ISO 8601 time; it was left out"))
    if isinstance(offset, int | float) and not isinstance(offset, bool):
        try:
            sent.offset = float(offset)
        except OverflowError:
            reject("number_out_of_range", "offset", "offset is too large a number")
    elif offset is not None:
        warnings.append(warning("unreadable_time", "offset", "offset is not a number of milliseconds; it was left out"))
    for part in fields.values():
        _ANY.decode(part)
    return sent, ",".join(f"{msgspec.json.encode(key).decode()}:{str(part, 'utf-8')}" for key, part in fields.items())


def _message_id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        reject("wrong_type", "uuid", f"uuid has to be text, got {json_type(value)}")
    return str(value)
