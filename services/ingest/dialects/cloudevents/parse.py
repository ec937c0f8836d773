"""Parses CloudEvents over HTTP. Pure.

`type` becomes the event's name, `source` and `id` its message id, `subject` the customer unless extensions name one.
A binary event is put into the JSON format first, so that events of all modes are read alike and a rejected one is kept
whole.
"""

import base64
import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from services.ingest.dialects.base import CONSENT_FIELD, ParsedEvent, ParsedRequest, ReplayRequest, Request
from services.ingest.dialects.cloudevents.headers import attributes_of
from services.ingest.dialects.split import (
    embedded_json,
    is_clean,
    parse_event,
    parse_events,
    single_event,
    split_events,
)
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import MAX_MESSAGE_ID, Verdict, faults_among, json_type, reject, warning

PATH = "/v1/cloudevents"
MAX_EVENT_BYTES = 128 * 1024
"""Maximum number of bytes of one event in the JSON format: CloudEvents asks every receiver to take 64 KiB of data,
which base64 makes longer here."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_FIELD_NAMES = {
    "messageId": "id",
    "userId": "subject",
    "anonymousId": "anonymousid",
    "timestamp": "time",
    CONSENT_FIELD: "analyticsconsent",
}
_BATCH = "application/cloudevents-batch"
_STRUCTURED = "application/cloudevents"
"""Also the beginning of `_BATCH`."""
_VERSIONS = ("1.0", "0.3")
_SEPARATORS = re.compile(r"[./:#]+")
_VERSION = re.compile(r"v?\d+([_-]\d+)*", re.IGNORECASE)
_DEED = re.compile(r"[A-Za-z][a-z]*ed|[Pp]aid|[Ss]ent|[Bb]egun|[Ww]on|[Ll]ost")
"""A last part of `type` that says what happened, and not to what."""


class _SentEvent(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An event in the JSON format with none but the usual attributes."""

    specversion: Any = None
    type: Any = None
    source: Any = None
    id: Any = None
    subject: Any = None
    time: Any = None
    datacontenttype: Any = None
    dataschema: Any = None
    userid: Any = None
    anonymousid: Any = None
    analyticsconsent: Any = None
    data: Raw | UnsetType = UNSET
    data_base64: Raw | UnsetType = UNSET


_SENT_EVENT = msgspec.json.Decoder(_SentEvent)
_encode = msgspec.json.Encoder().encode
_IDS = frozenset({"userid", "anonymousid"})
_DATA = frozenset({"data", "data_base64"})
_ATTRIBUTES = tuple(name for name in _SentEvent.__struct_fields__ if name not in _DATA)
_ATTRIBUTE_SET = frozenset(_ATTRIBUTES)


def parse_cloudevents(request: Request) -> ParsedRequest:
    """Parses one event or a batch. The write key is in Authorization, or is the query parameter `write_key`.

    Raises:
        ServiceError: 400, the body cannot be read.
    """
    content_type = request.header(b"content-type")
    media_type = content_type.partition(";")[0].strip().lower()
    is_batch = media_type.startswith(_BATCH)
    if not media_type.startswith(_STRUCTURED):
        if request.header(b"ce-specversion") or request.header(b"ce-id"):
            event, is_text_checked = _binary_event(request, content_type, media_type)
            return _parsed(request, [event], is_batch=False, is_text_checked=is_text_checked)
        is_batch = request.body.lstrip()[:1] == b"["
    split = split_events(request.body, "") if is_batch else single_event(request.body)
    reader = _Reader()
    events = parse_events(split, reader, MAX_EVENT_BYTES, _find_faults)
    # What base64 holds may be any text; what else the body holds was checked with it.
    is_text_checked = b"\\" not in request.body and not reader.has_base64
    return _parsed(request, events, is_batch, is_text_checked=is_text_checked)


def _parsed(
    request: Request, events: list[ParsedEvent], is_batch: bool, *, is_text_checked: bool = False
) -> ParsedRequest:
    write_key = parse_qs(request.query, errors="replace").get("write_key", [""])[0] if request.query else ""
    replay_request = _replay_of_batch if is_batch else _replay_of_event
    return ParsedRequest(
        write_key,
        events,
        names=_FIELD_NAMES,
        replay_request=replay_request,
        from_server=True,
        is_text_checked=is_text_checked,
    )


def _replay_of_event() -> ReplayRequest:
    # A binary event's too: it is kept in the JSON format.
    return ReplayRequest(PATH, f"{_STRUCTURED}+json")


def _replay_of_batch() -> ReplayRequest:
    return ReplayRequest(PATH, f"{_BATCH}+json", member="")


@lru_cache(maxsize=256)
def name_of(event_type: str) -> str:
    """Returns the event's name in an attribute `type`: its last part, no version; `order.paid` gives `order_paid`."""
    parts = [part for part in _SEPARATORS.split(event_type) if part]
    while len(parts) > 1 and _VERSION.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) > 1 and _DEED.fullmatch(parts[-1]):
        return f"{parts[-2]}_{parts[-1]}"
    return parts[-1] if parts else ""


def _binary_event(request: Request, content_type: str, media_type: str) -> tuple[ParsedEvent, bool]:
    """Returns a binary event as its JSON format says it, and whether its text was checked. As a rule that JSON is not
    decoded again."""
    attributes = attributes_of(request.headers)
    if media_type:
        attributes["datacontenttype"] = content_type
    defect = tolerant_json.texts_defect(attributes)
    body = request.body
    data: Any = None
    if body:
        try:
            data = _ANY.decode(body) if _is_json(media_type) and is_clean(body) else UNSET
        except (msgspec.DecodeError, RecursionError):
            data = UNSET
        if data is UNSET:
            attributes["data_base64"] = base64.b64encode(body).decode()
            raw = tolerant_json.dump_texts(attributes)
            return parse_event(raw, _Reader(), defect, MAX_EVENT_BYTES, _find_faults), False
    dumped = tolerant_json.dump_texts(attributes)
    raw = dumped[:-1] + b',"data":' + body + b"}" if body else dumped
    if defect is not None or not _DATA.isdisjoint(attributes):
        return parse_event(raw, _Reader(), defect, MAX_EVENT_BYTES, _find_faults), False
    values: Any = map(attributes.get, _ATTRIBUTES)
    sent = _SentEvent(*values)
    if body:
        sent.data = Raw(body.strip())
    attributes_json = ""
    if not attributes.keys() <= _ATTRIBUTE_SET:
        attributes_json = dumped.decode() if _IDS.isdisjoint(attributes) else _kept(attributes)
    properties = data if type(data) is dict else None

    def read(raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
        return _translate(raw, sent, attributes_json, properties, warnings)

    # The attributes have no defect, and the body is clean JSON.
    return parse_event(raw, read, max_bytes=MAX_EVENT_BYTES, find_faults=_find_faults), True


class _Reader:
    """Reads events in the JSON format."""

    def __init__(self) -> None:
        self.has_base64 = False
        """Whether one of the events so far has data in base64."""

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
        """Returns one event.

        Raises:
            RejectedError: the event cannot be understood.
            msgspec.DecodeError: a number is out of range.
        """
        sent, attributes_json = _decode_event(raw)
        if sent.data_base64 is not UNSET:
            self.has_base64 = True
        return _translate(raw, sent, attributes_json, None, warnings)


def _translate(
    raw: bytes, sent: _SentEvent, attributes_json: str, properties: dict[str, Any] | None, warnings: list[Verdict]
) -> ParsedEvent:
    """Returns an event in the terms of `Event`.

    `attributes_json` has its attributes if it has others than the usual ones, else ""; `properties` is its data.
    """
    if sent.specversion not in _VERSIONS:
        _require_version(sent)
    name = (name_of(sent.type) if type(sent.type) is str else "") or _name(sent)
    source, sent_id = sent.source, sent.id
    if not (type(source) is str and source and type(sent_id) is str and sent_id):
        source, sent_id = _required_text("source", source), _required_text("id", sent_id)
    user = anonymous = ""
    if sent.userid is not None:
        user = read_id(sent.userid, "userid", warnings)
    if sent.anonymousid is not None:
        anonymous = read_id(sent.anonymousid, "anonymousid", warnings)
    if not user and not anonymous:
        # A text is checked when the event is validated.
        user = sent.subject if type(sent.subject) is str else read_id(sent.subject, "subject", warnings)
    time = times.parse(sent.time, "time")
    if time is None and sent.time is not None:
        warnings.append(warning("unreadable_time", "time", "time is not an RFC 3339 time; it was left out"))
    event = Event(
        type="track",
        event=name,
        messageId=_message_id(source, sent_id, warnings),
        userId=user,
        anonymousId=anonymous,
        timestamp=time,
        properties=_properties(sent, warnings),
    )
    if sent.analyticsconsent is not None:
        event.context = _raw({"consent": {"analytics": sent.analyticsconsent}})
    if not attributes_json:
        sent.data = sent.data_base64 = UNSET
        sent.userid = sent.anonymousid = None
        attributes_json = _encode(sent).decode()
    return ParsedEvent(raw, event, None, warnings, f'"cloudevents":{attributes_json}', properties)


def _find_faults(raw: bytes) -> list[Verdict]:
    """Returns all that is wrong with the attributes of an event."""
    faults = faults_among((lambda: _decode_event(raw),))
    if faults:
        return faults
    sent, _ = _decode_event(raw)
    warnings: list[Verdict] = []
    return faults_among(
        (
            lambda: _require_version(sent),
            lambda: _name(sent),
            lambda: _required_text("source", sent.source),
            lambda: _required_text("id", sent.id),
            lambda: read_id(sent.userid, "userid", warnings),
            lambda: read_id(sent.anonymousid, "anonymousid", warnings),
            lambda: times.parse(sent.time, "time"),
            lambda: _properties(sent, warnings),
        )
    )


def _require_version(sent: _SentEvent) -> None:
    version = sent.specversion
    if version not in _VERSIONS:
        version = _required_text("specversion", version)
        reject("unsupported_version", "specversion", f"specversion {version[:20]!r} is none of: {', '.join(_VERSIONS)}")


def _name(sent: _SentEvent) -> str:
    event_type = _required_text("type", sent.type)
    name = name_of(event_type)
    if not name:
        reject("missing_field", "type", f"type {event_type[:100]!r} has no name in it")
    return name


def _decode_event(raw: bytes) -> tuple[_SentEvent, str]:
    """Returns an event, and its attributes as JSON if it has others than the usual ones, else ""."""
    try:
        return _SENT_EVENT.decode(raw), ""
    except msgspec.ValidationError:
        pass
    try:
        members = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    data = {name: members.pop(name) for name in _DATA if name in members}
    attributes = {name: _ANY.decode(part) for name, part in members.items()}
    usual = {name: attributes[name] for name in _ATTRIBUTES if name in attributes}
    return _SentEvent(**usual, **data), _kept(attributes)


def _kept(attributes: dict[str, Any]) -> str:
    return msgspec.json.encode({name: value for name, value in attributes.items() if name not in _IDS}).decode()


def _required_text(name: str, value: Any) -> str:
    if type(value) is str and value:
        return value
    if value is None or value == "":
        reject("missing_field", name, f"an event has to have the attribute {name}")
    return reject("wrong_type", name, f"{name} has to be text, got {json_type(value)}")


def _message_id(source: str, sent_id: str, warnings: list[Verdict]) -> str | None:
    """Returns the event's message id, None for a placeholder; the id that was sent is unique within its source only."""
    sent_id = read_id(sent_id, "id", warnings, MAX_EVENT_BYTES)
    if not sent_id:
        return None
    message_id = f"{source}#{sent_id}"
    if len(message_id) <= MAX_MESSAGE_ID:
        return message_id
    return blake2b(message_id.encode(), digest_size=16).hexdigest()


def _properties(sent: _SentEvent, warnings: list[Verdict]) -> Raw:
    """Returns data that is an object as it is; other data as the property `data`, or as `data_base64` where its bytes
    are no text."""
    data = sent.data
    if data is not UNSET:
        content = bytes(data)
        if content[:1] == b"{" or content.lstrip()[:1] == b"{":
            return data
        value = _ANY.decode(data)
        return Raw() if value is None or value == [] else _raw({"data": value})
    encoded = None if sent.data_base64 is UNSET else _ANY.decode(sent.data_base64)
    if encoded is None:
        return Raw()
    try:
        content = base64.b64decode(encoded, validate=True)
    except (ValueError, TypeError):
        reject("unreadable_base64", "data_base64", "data_base64 is not base64")
    media_type = sent.datacontenttype or "application/json"
    media_type = media_type.partition(";")[0].strip().lower() if isinstance(media_type, str) else ""
    if _is_json(media_type):
        value = embedded_json(content, "data", warnings)
        return Raw() if value == [] else _raw(value if isinstance(value, dict) else {"data": value})
    if media_type.startswith("text/") or media_type.endswith("xml"):
        try:
            return _raw({"data": content.decode()})
        except UnicodeDecodeError:
            pass
    return _raw({"data_base64": encoded})


def _is_json(media_type: str) -> bool:
    return not media_type or media_type.endswith(("/json", "+json"))


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value)) if value else Raw()
