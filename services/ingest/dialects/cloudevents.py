"""CloudEvents 1.0 over HTTP: binary (headers `ce-*`), structured and batched. Pure.

`type` becomes the event's name, `source` and `id` its message id, `subject` the customer unless extensions name one.
A binary event is put into the JSON format first, so that all are read alike and a refused one is kept single_event.
"""

import base64
import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    ConsentSources,
    DialectSpec,
    ParsedEvent,
    ParsedRequest,
    ReplayRequest,
    Request,
    Route,
)
from services.ingest.dialects.cloudevents_headers import attributes_of
from services.ingest.dialects.consent import answers
from services.ingest.dialects.split import (
    EventParts,
    embedded_json,
    is_clean,
    parse_event,
    parse_events,
    single_event,
    split_events,
)
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import MAX_MESSAGE_ID, Verdict, json_type, read_id, reject, warning

MAX_EVENT_BYTES = 128 * 1024
"""Of one event in the JSON format: everybody has to take 64 KiB of data, which may be base64 here."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_NAMES_HERE = {
    "messageId": "id",
    "userId": "subject",
    "anonymousId": "anonymousid",
    "timestamp": "time",
    CONSENT_FIELD: "analyticsconsent",
}
_BATCH = "application/cloudevents-batch"
_STRUCTURED = "application/cloudevents"
_VERSIONS = ("1.0", "0.3")
_SEPARATORS = re.compile(r"[./:#]+")
_VERSION = re.compile(r"v?\d+([_-]\d+)*", re.IGNORECASE)
_DEED = re.compile(r"[A-Za-z][a-z]*ed|[Pp]aid|[Ss]ent|[Bb]egun|[Ww]on|[Ll]ost")


class _Sent(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
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


_SENT = msgspec.json.Decoder(_Sent)
_IDS = frozenset({"userid", "anonymousid"})
_DATA = frozenset({"data", "data_base64"})
_SENT_FIELDS = tuple(name for name in _Sent.__struct_fields__ if name not in _DATA)
_USUAL = frozenset(_SENT_FIELDS)


def parse(request: Request) -> ParsedRequest:
    """The events of one request. The write key is in Authorization, or in the query as `write_key`.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    content_type = request.header(b"content-type")
    media_type = content_type.partition(";")[0].strip().lower()
    batch = media_type.startswith(_BATCH)
    if not media_type.startswith(_STRUCTURED):
        if request.header(b"ce-specversion") or request.header(b"ce-id"):
            return _request(request, [_binary(request, content_type, media_type)], batch=False)
        batch = request.body.lstrip()[:1] == b"["
    split = split_events(request.body, "") if batch else single_event(request.body)
    return _request(request, parse_events(split, _event, MAX_EVENT_BYTES), batch)


def _request(request: Request, events: list[ParsedEvent], batch: bool) -> ParsedRequest:
    write_key = parse_qs(request.query, errors="replace").get("write_key", [""])[0] if request.query else ""
    replay_request = _replay_of_batch if batch else _replay_of_event
    return ParsedRequest(write_key, events, names=_NAMES_HERE, replay_request=replay_request)


def _replay_of_event() -> ReplayRequest:
    # A binary event's too: it is kept in the JSON format.
    return ReplayRequest("/v1/cloudevents", f"{_STRUCTURED}+json")


def _replay_of_batch() -> ReplayRequest:
    return ReplayRequest("/v1/cloudevents", f"{_BATCH}+json", member="")


@lru_cache(maxsize=256)
def name_of(kind: str) -> str:
    """The event's name in a `type`: its last part, versions left out; `order.paid` is `order_paid`."""
    parts = [part for part in _SEPARATORS.split(kind) if part]
    while len(parts) > 1 and _VERSION.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) > 1 and _DEED.fullmatch(parts[-1]):
        return f"{parts[-2]}_{parts[-1]}"
    return parts[-1] if parts else ""


def _binary(request: Request, content_type: str, media_type: str) -> ParsedEvent:
    """A binary event, put into the JSON format. As a rule it is read without taking that apart again."""
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
            return parse_event(tolerant_json.dump_texts(attributes), _event, defect, MAX_EVENT_BYTES)
    raw = said = tolerant_json.dump_texts(attributes)
    if body:
        raw = said[:-1] + b',"data":' + body + b"}"
    if defect is not None or not _DATA.isdisjoint(attributes):
        return parse_event(raw, _event, defect, MAX_EVENT_BYTES)
    known: Any = map(attributes.get, _SENT_FIELDS)
    sent = _Sent(*known)
    if body:
        sent.data = Raw(body.strip())
    kept = ""
    if not attributes.keys() <= _USUAL:
        kept = said.decode() if _IDS.isdisjoint(attributes) else _kept(attributes)
    properties = data if type(data) is dict else None
    return parse_event(raw, lambda _, warnings: _parts(sent, kept, properties, warnings), max_bytes=MAX_EVENT_BYTES)


def _event(raw: bytes, warnings: list[Verdict]) -> EventParts:
    """One event in the JSON format.

    Raises:
        RejectedError: it can not be understood.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    sent, kept = _sent(raw)
    return _parts(sent, kept, None, warnings)


def _parts(sent: _Sent, kept: str, properties: dict[str, Any] | None, warnings: list[Verdict]) -> EventParts:
    """What an event says; `kept` are its attributes as JSON if it has unusual ones, `properties` its data decoded."""
    version = sent.specversion
    if version not in _VERSIONS:
        version = _text("specversion", version)
        reject("unsupported_version", "specversion", f"specversion {version[:20]!r} is none of: {', '.join(_VERSIONS)}")
    kind = _text("type", sent.type)
    source, own_id = _text("source", sent.source), _text("id", sent.id)
    name = name_of(kind)
    if not name:
        reject("missing_field", "type", f"type {kind[:100]!r} has no name in it")
    user, anonymous = read_id(sent.userid, "userid", warnings), read_id(sent.anonymousid, "anonymousid", warnings)
    if not user and not anonymous:
        user = read_id(sent.subject, "subject", warnings)
    occurred = times.parse(sent.time, "time")
    if occurred is None and sent.time is not None:
        warnings.append(warning("unreadable_time", "time", "time is not an RFC 3339 time; it was left out"))
    event = Event(
        type="track",
        event=name,
        messageId=_message_id(source, own_id),
        userId=user,
        anonymousId=anonymous,
        timestamp=occurred,
        properties=_properties(sent),
    )
    if sent.analyticsconsent is not None:
        event.context = _raw({"consent": {"analytics": sent.analyticsconsent}})
    if not kept:
        sent.data = sent.data_base64 = UNSET
        sent.userid = sent.anonymousid = None
        kept = msgspec.json.encode(sent).decode()
    return event, f'"cloudevents":{kept}', properties, None, None


def _sent(raw: bytes) -> tuple[_Sent, str]:
    """An event, and its attributes as JSON if it has others than the usual ones."""
    try:
        return _SENT.decode(raw), ""
    except msgspec.ValidationError:
        pass
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    data = {name: fields.pop(name) for name in _DATA if name in fields}
    attributes = {name: _ANY.decode(part) for name, part in fields.items()}
    known = {name: attributes[name] for name in _SENT_FIELDS if name in attributes}
    return _Sent(**known, **data), _kept(attributes)


def _kept(attributes: dict[str, Any]) -> str:
    return msgspec.json.encode({name: value for name, value in attributes.items() if name not in _IDS}).decode()


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        reject("missing_field", name, f"an event has to have the attribute {name}")
    if type(value) is not str:
        reject("wrong_type", name, f"{name} has to be text, got {json_type(value)}")
    return value


def _message_id(source: str, own_id: str) -> str:
    """An id is unique within its source only."""
    both = f"{source}#{own_id}"
    return both if len(both) <= MAX_MESSAGE_ID else blake2b(both.encode(), digest_size=16).hexdigest()


def _properties(sent: _Sent) -> Raw:
    """An object as it is; anything else as the property `data`, or `data_base64` for bytes that are no text."""
    data = sent.data
    if data is not UNSET:
        if bytes(data).lstrip()[:1] == b"{":
            return data
        value = _ANY.decode(data)
        return Raw() if value is None else _raw({"data": value})
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
        value = embedded_json(content, "data")
        return _raw(value if isinstance(value, dict) else {"data": value})
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


SPEC = DialectSpec(
    name="cloudevents",
    routes=(
        Route(
            "POST",
            "/v1/cloudevents",
            parse,
            "CloudEvents: binary, structured or batched",
            {
                "specversion": "1.0",
                "id": "1",
                "source": "/shop",
                "type": "Order Completed",
                "subject": "customer-42",
                "data": {"order_id": "A-1001"},
            },
            parameters=("write_key",),
        ),
    ),
    key_names=("write_key",),
    consent=ConsentSources(members={"analyticsconsent": answers}),
)
