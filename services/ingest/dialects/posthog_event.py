"""One event as PostHog's libraries send it, in Segment's terms. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw, Struct

from services.ingest import times
from services.ingest.dialects.event import Event
from services.ingest.dialects.web import page_context
from services.ingest.verdict import Verdict, json_type, read_id, refuse, warning

COOKIELESS = "$posthog_cookieless"
"""What posthog-js writes for everybody whom it must not tell apart."""

_UTM = (
    ("utm_source", "source"),
    ("utm_medium", "medium"),
    ("utm_campaign", "name"),
    ("utm_term", "term"),
    ("utm_content", "content"),
)


class _Sent(Struct, forbid_unknown_fields=True, gc=False):
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


class _Options(Struct, gc=False):
    """What the newer endpoint takes out of the properties."""

    process_person_profile: Any = None
    cookieless_mode: Any = None
    disable_skew_correction: Any = None


class _Known(Struct, gc=False):
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
    group_set: Raw = msgspec.field(default=Raw(), name="$group_set")
    set: Raw = msgspec.field(default=Raw(), name="$set")
    set_once: Raw = msgspec.field(default=Raw(), name="$set_once")
    library: Any = msgspec.field(default=None, name="$lib")
    library_version: Any = msgspec.field(default=None, name="$lib_version")
    user_agent: Any = msgspec.field(default=None, name="$raw_user_agent")
    ip: Any = msgspec.field(default=None, name="$ip")


_SENT = msgspec.json.Decoder(_Sent)
_KNOWN = msgspec.json.Decoder(_Known)
_OPTIONS = msgspec.json.Decoder(_Options)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_T = TypeVar("_T")
EMPTY_OBJECT = len("{}")
_NO_PART = (b"", b"null", b"{}")
_NOTHING = _Known()
_NO_OPTIONS = _Options()


def reader(sent_at: datetime | None, library: str) -> Callable[[bytes, list[Verdict]], tuple[Event, str]]:
    """What reads the events of one request, sent at `sent_at` by the client's clock (None: not said).

    `library` is what the request's headers say of the client, "" for nothing.

    The function it gives raises RefusedError for an event that can not be understood, msgspec.DecodeError for one that
    holds a number out of range.
    """

    def read(raw: bytes, notes: list[Verdict]) -> tuple[Event, str]:
        try:
            sent, extra = _SENT.decode(raw), ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            sent, extra = _unusual(raw, notes)
        return _event(sent, sent_at, library, notes), _extra(sent, extra)

    return read


def _event(sent: _Sent, sent_at: datetime | None, library: str, notes: list[Verdict]) -> Event:
    properties = sent.properties
    known = _look(_KNOWN, properties, _NOTHING)
    options = _look(_OPTIONS, sent.options, _NO_OPTIONS)
    name = sent.event
    if not name:
        refuse("missing_field", "event", "a PostHog event has to name its event")
    distinct = sent.distinct_id or read_id(known.distinct_id, "distinct_id", notes)
    if distinct == COOKIELESS or _yes(known.cookieless) or _yes(options.cookieless_mode):
        refuse("missing_id", "distinct_id", "sent in cookieless mode, which tells nobody from anybody else")
    event = Event(
        messageId=sent.uuid or None,
        timestamp=_time(sent, sent_at),
        context=_context(known, library),
        properties=_without_ip(properties) if known.ip is not None else properties,
        traits=_traits(sent, known),
    )
    if not (_yes(known.ignore_sent_at) or _yes(options.disable_skew_correction)):
        event.sentAt = _instant(sent.sent_at) or sent_at
    if name == "$create_alias":
        # The alias is the id that the customer goes by from now on.
        event.type, event.userId, event.previousId = "alias", _alias(known, notes), distinct
        if not distinct:
            _nobody(notes)
    elif name == "$merge_dangerously":
        event.type, event.userId, event.previousId = "alias", distinct, _alias(known, notes)
        if not distinct:
            _nobody(notes)
    elif _is_anonymous(distinct, known, options) and name != "$identify":
        event.anonymousId = distinct
    else:
        event.userId = distinct
    if name == "$pageview":
        event.type = "page"
    elif name == "$screen":
        event.type, event.name = "screen", known.screen if isinstance(known.screen, str) else None
    elif name == "$identify":
        event.type, event.anonymousId = "identify", read_id(known.anonymous, "properties.$anon_distinct_id", notes)
    elif name == "$set":
        event.type = "identify"
    elif name == "$groupidentify":
        if distinct == f"${known.group_type}_{known.group_key}":
            refuse(
                "missing_id", "distinct_id", "describes a group and names no customer; give groupIdentify a distinctId"
            )
        event.type, event.traits = "group", known.group_set
        event.groupId = Raw(msgspec.json.encode(known.group_key))
    elif not event.type:
        event.type, event.event = "track", name
    return event


def _look(decoder: msgspec.json.Decoder[_T], part: Raw, nothing: _T) -> _T:
    if len(part) <= EMPTY_OBJECT:
        return nothing
    try:
        return decoder.decode(part)
    except msgspec.ValidationError:  # null or no object, which is found out where the parts are put together
        return nothing


def _is_anonymous(distinct: str, known: _Known, options: _Options) -> bool:
    """Whether a distinct id is not yet a customer's: the first of these that is said decides.

    Browsers and apps say whether they have identified their user; servers say of an event nobody is known for that it
    makes no person; older browser libraries have the device's own id there.
    """
    if known.identified is not None:
        return not _yes(known.identified)
    profiled = options.process_person_profile if known.profiled is None else known.profiled
    if profiled is not None and not _yes(profiled):
        return True
    return isinstance(known.device, str) and known.device == distinct


def _time(sent: _Sent, sent_at: datetime | None) -> datetime | None:
    if sent.timestamp is not None or sent.offset is None:
        return sent.timestamp
    at = _instant(sent.sent_at) or sent_at
    try:
        return None if at is None else at - timedelta(milliseconds=sent.offset)
    except (OverflowError, ValueError):
        refuse("time_out_of_range", "offset", "offset leads out of the years 1-9999")


def _instant(value: Any) -> datetime | None:
    return None if value is None else times.parse(value, "sent_at")


def _context(known: _Known, library: str) -> Raw:
    referrer = known.referrer if known.referrer != "$direct" else None
    context = page_context(_text(known.url), _text(referrer), _text(known.title))
    campaign = {ours: value for name, ours in _UTM if (value := _text(getattr(known, name)))}
    if campaign:
        context["campaign"] = campaign
    if known.user_agent is not None:
        context["userAgent"] = known.user_agent
    if known.ip is not None:
        context["ip"] = known.ip
    if known.library is not None:
        context["library"] = {"name": known.library, "version": known.library_version}
    elif library:
        name, _, version = library.partition("/")
        context["library"] = {"name": name, "version": version}
    return Raw(msgspec.json.encode(context)) if context else Raw()


def _without_ip(properties: Raw) -> Raw:
    # It stands in the context, where addresses are looked for before anything is kept.
    fields = _FIELDS.decode(properties)
    fields.pop("$ip", None)
    return Raw(msgspec.json.encode(fields))


def _traits(sent: _Sent, known: _Known) -> Raw:
    """What is said about the person; what is set for good comes after what is set once, the event's own last."""
    parts = [part for part in (known.set_once, sent.set_once, known.set, sent.set) if bytes(part) not in _NO_PART]
    if len(parts) < 2:
        return parts[0] if parts else Raw()
    merged: dict[str, Raw] = {}
    for part in parts:
        try:
            merged.update(_FIELDS.decode(part))
        except msgspec.ValidationError:
            refuse("wrong_type", "$set", f"$set has to be an object, got {json_type(_ANY.decode(part))}")
    return Raw(msgspec.json.encode(merged))


def _alias(known: _Known, notes: list[Verdict]) -> str:
    alias = read_id(known.alias, "properties.alias", notes)
    if not alias:
        for note in notes:
            if note.code == "illegal_id":
                refuse(note.code, note.field, note.message)
        refuse("missing_field", "properties.alias", "the other id of an alias has to stand in properties.alias")
    return alias


def _nobody(notes: list[Verdict]) -> NoReturn:
    for note in notes:
        if note.code == "illegal_id":
            refuse(note.code, note.field, note.message)
    refuse("missing_id", "distinct_id", "an event needs a distinct_id")


def _extra(sent: _Sent, extra: str) -> str:
    parts = [extra] if extra else []
    for name in ("unset", *_KEPT):
        part = getattr(sent, name)
        if len(part) > EMPTY_OBJECT:
            parts.append(f'"{_WIRE.get(name, name)}":{str(part, "utf-8")}')
    return ",".join(parts)


def _unusual(raw: bytes, notes: list[Verdict]) -> tuple[_Sent, str]:
    """An event whose shape is not the usual one, field by field; and those of its fields that are not known here."""
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        refuse("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    sent = _Sent()
    for name in _PARTS:
        setattr(sent, name, fields.pop(_WIRE.get(name, name), Raw()))
    values = {name: _ANY.decode(fields.pop(name)) for name in _PLAIN if name in fields}
    event = values.get("event")
    if event is not None and not isinstance(event, str):
        refuse("wrong_type", "event", f"event has to be text, got {json_type(event)}")
    sent.event = event
    sent.distinct_id = read_id(values.get("distinct_id"), "distinct_id", notes)
    sent.uuid = _message_id(values.get("uuid"))
    sent.sent_at = values.get("sent_at")
    time, offset = values.get("timestamp"), values.get("offset")
    sent.timestamp = None if time is None else times.parse(time, "timestamp")
    if time is not None and sent.timestamp is None:
        notes.append(warning("unreadable_time", "timestamp", "timestamp is not an ISO 8601 time; it was left out"))
    if isinstance(offset, int | float) and not isinstance(offset, bool):
        sent.offset = float(offset)
    elif offset is not None:
        notes.append(warning("unreadable_time", "offset", "offset is not a number of milliseconds; it was left out"))
    return sent, ",".join(f"{msgspec.json.encode(key).decode()}:{str(part, 'utf-8')}" for key, part in fields.items())


_PLAIN = ("event", "distinct_id", "uuid", "timestamp", "offset", "sent_at", "api_key", "token")


def _message_id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        refuse("wrong_type", "uuid", f"uuid has to be text, got {json_type(value)}")
    return str(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _yes(value: Any) -> bool:
    """A switch as PostHog reads it: `true`, and "true" or 1 in its place."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1")
    return bool(value)
