"""One event as Segment's libraries send it: the usual shape, and what is made of an unusual one. Pure."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.event import times
from services.ingest.event.verdict import Verdict, json_type, read_id, refuse, warning


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """The usual shape: text, times and objects where they belong. `Raw` parts are passed on as they came."""

    type: str | None = None
    messageId: str | None = None  # noqa: N815
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    previousId: str | None = None  # noqa: N815
    event: str | None = None
    name: str | None = None
    timestamp: datetime | None = None
    originalTimestamp: datetime | None = None  # noqa: N815
    sentAt: datetime | None = None  # noqa: N815
    properties: Raw = Raw()
    traits: Raw = Raw()
    context: Raw = Raw()
    integrations: Raw = Raw()
    groupId: Raw = Raw()  # noqa: N815
    category: Raw = Raw()
    channel: Raw = Raw()  # RudderStack's: which kind of library sent it
    rudderId: Raw = Raw()  # noqa: N815
    writeKey: Any = None  # noqa: N815
    metadata: Raw = msgspec.field(default=Raw(), name="_metadata")


_EVENT = msgspec.json.Decoder(Event)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()

_IDS = frozenset({"userId", "anonymousId", "previousId", "messageId"})
_TEXTS = frozenset({"type", "event", "name"})
_TIMES = frozenset({"timestamp", "originalTimestamp", "sentAt"})
_PARTS = frozenset({"properties", "traits", "context", "integrations", "groupId", "category", "channel", "rudderId"})


def read_event(raw: Raw, notes: list[Verdict]) -> tuple[Event, str]:
    """An event, and those of its fields that have no place in `Event`, as the inside of a JSON object ("" if none).

    Raises:
        RefusedError: not an object, or a field that can not be understood.
        msgspec.DecodeError: a number is out of range.
    """
    try:
        return _EVENT.decode(raw), ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        refuse("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    known: dict[str, Any] = {}
    extra: list[str] = []
    for name, value in fields.items():
        if name in _PARTS:
            known[name] = value
        elif name == "_metadata":
            known["metadata"] = value
        elif name != "writeKey":
            read = _field(name, _ANY.decode(value), notes)
            if read is None:
                key = msgspec.json.encode(name).decode()
                extra.append(f"{key}:{bytes(value).decode()}")
            else:
                known[name] = read
    return Event(**known), ",".join(extra)


def _field(name: str, value: Any, notes: list[Verdict]) -> Any:
    """The field's value for `Event`; None when it belongs to the rest."""
    if name in _IDS:
        if name == "messageId":
            return _message_id(value)
        return read_id(value, name, notes) or None
    if name in _TIMES:
        if value is None:
            return None
        time = times.parse(value, name)
        if time is None:
            notes.append(warning("unreadable_time", name, f"{name} is not an ISO 8601 time; it was left out"))
        return time
    if name in _TEXTS and value is not None:
        if isinstance(value, str):
            return value
        if name == "name":
            notes.append(warning("wrong_type", name, f"name has to be text, got {json_type(value)}; it was left out"))
            return None
        refuse("wrong_type", name, f"{name} has to be text, got {json_type(value)}")
    return None


def _message_id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        refuse("wrong_type", "messageId", f"messageId has to be text, got {json_type(value)}")
    return str(value)
