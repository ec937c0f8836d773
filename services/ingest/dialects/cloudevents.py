"""CloudEvents 1.0 over HTTP: binary (headers `ce-*`), structured and batched. Pure.

`type` becomes the event's name, `source` and `id` its message id, `subject` the customer unless extensions name one.
A binary event is put into the JSON format first, so that all are read alike and a refused one is kept whole.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from services.ingest.dialects.base import Item, Opened, Request
from services.ingest.dialects.cloudevents_headers import attributes_of
from services.ingest.dialects.pieces import Found, cut, embedded, is_clean, item, whole
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import MAX_MESSAGE_ID, Verdict, json_type, read_id, refuse, warning
from services.ingest.validate import consent
from throughline.wire.codec import Envelope

MAX_EVENT_BYTES = 128 * 1024
"""Of one event in the JSON format: everybody has to take 64 KiB of data, which may be base64 here."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_NAMES_HERE = {
    "messageId": "id",
    "userId": "subject",
    "anonymousId": "anonymousid",
    "timestamp": "time",
    consent.FIELD: "analyticsconsent",
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


def read(request: Request) -> Opened:
    """The events of one request. The write key is in Authorization, or in the query as `write_key`.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    content_type = request.header(b"content-type")
    media_type = content_type.partition(";")[0].strip().lower()
    batch = media_type.startswith(_BATCH)
    if not media_type.startswith(_STRUCTURED):
        if request.header(b"ce-specversion") or request.header(b"ce-id"):
            return _opened(request, [_binary(request, content_type, media_type)], _alone)
        batch = request.body.lstrip()[:1] == b"["
    pieces = cut(request.body, "") if batch else whole(request.body)
    items = [item(raw, _event, pieces.defects.get(number)) for number, raw in enumerate(pieces.events)]
    return _opened(request, items, _of_a_batch if batch else _alone)


def _opened(request: Request, items: list[Item], envelope: Callable[[], Envelope]) -> Opened:
    write_key = parse_qs(request.query, errors="replace").get("write_key", [""])[0] if request.query else ""
    return Opened(write_key, items, names=_NAMES_HERE, max_event_bytes=MAX_EVENT_BYTES, envelope=envelope)


def _alone() -> Envelope:
    # A binary event's too: it is kept in the JSON format.
    return Envelope("/v1/cloudevents", f"{_STRUCTURED}+json")


def _of_a_batch() -> Envelope:
    return Envelope("/v1/cloudevents", f"{_BATCH}+json", before=b"[", after=b"]")


@lru_cache(maxsize=256)
def name_of(kind: str) -> str:
    """The event's name in a `type`: its last part, versions left out; `order.paid` is `order_paid`."""
    parts = [part for part in _SEPARATORS.split(kind) if part]
    while len(parts) > 1 and _VERSION.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) > 1 and _DEED.fullmatch(parts[-1]):
        return f"{parts[-2]}_{parts[-1]}"
    return parts[-1] if parts else ""


def _binary(request: Request, content_type: str, media_type: str) -> Item:
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
            return item(tolerant_json.dump_texts(attributes), _event, defect)
    raw = said = tolerant_json.dump_texts(attributes)
    if body:
        raw = said[:-1] + b',"data":' + body + b"}"
    if defect is not None or not _DATA.isdisjoint(attributes):
        return item(raw, _event, defect)
    known: Any = map(attributes.get, _SENT_FIELDS)
    sent = _Sent(*known)
    if body:
        sent.data = Raw(body.strip())
    kept = ""
    if not attributes.keys() <= _USUAL:
        kept = said.decode() if _IDS.isdisjoint(attributes) else _kept(attributes)
    return item(raw, lambda _, notes: _said(sent, kept, data if type(data) is dict else None, notes))


def _event(raw: bytes, notes: list[Verdict]) -> Found:
    """One event in the JSON format.

    Raises:
        RefusedError: it can not be understood.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    sent, kept = _sent(raw)
    return _said(sent, kept, None, notes)


def _said(sent: _Sent, kept: str, properties: dict[str, Any] | None, notes: list[Verdict]) -> Found:
    """What an event says; `kept` are its attributes as JSON if it has unusual ones, `properties` its data decoded."""
    version = sent.specversion
    if version not in _VERSIONS:
        version = _text("specversion", version)
        refuse("unsupported_version", "specversion", f"specversion {version[:20]!r} is none of: {', '.join(_VERSIONS)}")
    kind = _text("type", sent.type)
    source, own_id = _text("source", sent.source), _text("id", sent.id)
    name = name_of(kind)
    if not name:
        refuse("missing_field", "type", f"type {kind[:100]!r} has no name in it")
    user, anonymous = read_id(sent.userid, "userid", notes), read_id(sent.anonymousid, "anonymousid", notes)
    if not user and not anonymous:
        user = read_id(sent.subject, "subject", notes)
    occurred = times.parse(sent.time, "time")
    if occurred is None and sent.time is not None:
        notes.append(warning("unreadable_time", "time", "time is not an RFC 3339 time; it was left out"))
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
        refuse("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    data = {name: fields.pop(name) for name in _DATA if name in fields}
    attributes = {name: _ANY.decode(part) for name, part in fields.items()}
    known = {name: attributes[name] for name in _SENT_FIELDS if name in attributes}
    return _Sent(**known, **data), _kept(attributes)


def _kept(attributes: dict[str, Any]) -> str:
    return msgspec.json.encode({name: value for name, value in attributes.items() if name not in _IDS}).decode()


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        refuse("missing_field", name, f"an event has to have the attribute {name}")
    if type(value) is not str:
        refuse("wrong_type", name, f"{name} has to be text, got {json_type(value)}")
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
        refuse("unreadable_base64", "data_base64", "data_base64 is not base64")
    media_type = sent.datacontenttype or "application/json"
    media_type = media_type.partition(";")[0].strip().lower() if isinstance(media_type, str) else ""
    if _is_json(media_type):
        value = embedded(content, "data")
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
