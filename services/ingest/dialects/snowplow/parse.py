"""Parses Snowplow's requests: a payload of events (POST), or one event in the query (GET). Pure.

An event is a flat object of texts under short names, which Snowplow's tracker protocol lists. Its app id, `aid`, is the
write key. context.py reads the fields that many events share, ecommerce.py the e-commerce actions.
"""

import binascii
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import CONSENT_FIELD, ParsedEvent, ParsedRequest, ReplayRequest, Request, When
from services.ingest.dialects.snowplow import ecommerce
from services.ingest.dialects.snowplow.context import (
    CONTEXT_FIELDS,
    MAX_CACHED,
    NO_SHARED_CONTEXT,
    Entities,
    SharedContext,
    context_of,
    context_of_texts,
    decode_field,
    device_id,
    schema_of,
    shopper_id,
    with_entities,
)
from services.ingest.dialects.snowplow.names import EVENT_NAMES, ITEM, PAGE_PING, STRUCTURED, TRANSACTION
from services.ingest.dialects.split import parse_event, parse_events, split_events
from services.ingest.event import tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import Verdict, faults_among, json_type, reject, warning
from throughline.kit.clock import MAX_US, MIN_US

PAYLOAD_PATH = "/com.snowplowanalytics.snowplow/tp2"
PAYLOAD_SCHEMA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"

_TEXTS = msgspec.json.Decoder(dict[str, str])
_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_JSON_FIELDS = ("ue_px", "ue_pr", "cx", "co")
"""Fields whose text holds JSON, plain or in base64."""
_NO_CONTEXT_FIELDS = (None,) * len(CONTEXT_FIELDS)
Content = tuple[str, str, dict[str, Any], Raw]
"""Call, name and properties of an event; the properties are decoded, and as JSON."""
_PAGE_VIEW: Content = ("page", "", {}, Raw())
_KINDS = "pv, pp, se, ue, tr, ti"
_FLAT_KINDS = {
    "pp": ("page_ping", PAGE_PING),
    "tr": ("transaction", TRANSACTION),
    "ti": ("transaction_item", ITEM),
}
"""Kind of event -> its name, and the fields that are its properties."""
_FIELD_NAMES = {
    "messageId": "eid",
    "userId": "uid",
    "anonymousId": "duid",
    "timestamp": "dtm",
    "sentAt": "stm",
    CONSENT_FIELD: "cx",
}
_PIXEL = binascii.a2b_base64("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent image of one pixel: pages without a tracker ask for /i as an image."""


def parse_payload(request: Request) -> ParsedRequest:
    """Parses a payload, an object whose member `data` lists events of one app.

    Raises:
        ServiceError: 400, the body cannot be read.
    """
    reader = _Reader()
    events = parse_events(split_events(request.body, "data", ("schema",)), reader, find_faults=find_faults)
    return ParsedRequest(
        reader.app_id,
        events,
        names=_FIELD_NAMES,
        replay_request=_replay_request,
        takes_app_id=True,
        is_text_checked=True,
    )


def parse_query(request: Request) -> ParsedRequest:
    """Parses one event whose fields are the query's parameters."""
    reader = _Reader()
    query = request.query
    fields = _query_fields(query)
    is_plain = query.isascii() and "%" not in query and "\0" not in query
    defect = None if is_plain else tolerant_json.texts_defect(fields)
    # The rejected topic, and a replay, have the event as the object that a payload would hold.
    raw = tolerant_json.dump_texts(fields)
    read = reader if defect is not None else partial(_read_fields, reader, fields)
    events = [parse_event(raw, read, defect, find_faults=find_faults)]
    return ParsedRequest(
        reader.app_id,
        events,
        names=_FIELD_NAMES,
        reply=_pixel,
        replay_request=_replay_request,
        takes_app_id=True,
        is_text_checked=True,
    )


def _read_fields(reader: "_Reader", fields: dict[str, str], raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
    return reader.read(raw, fields, warnings)


def find_faults(raw: bytes) -> list[Verdict]:
    """Returns all that is wrong with the fields of an event."""
    faults = faults_among((lambda: _fields_of(raw),))
    if faults:
        return faults
    fields = _fields_of(raw)
    warnings: list[Verdict] = []
    return faults_among(
        (
            lambda: context_of(tuple(map(fields.get, CONTEXT_FIELDS))),
            lambda: _content(fields.get("e", ""), {**fields}, NO_SHARED_CONTEXT, warnings),
            *(partial(_time, fields.get(name, ""), name, warnings) for name in ("dtm", "stm", "ttm")),
        )
    )


def _replay_request() -> ReplayRequest:
    return ReplayRequest(PAYLOAD_PATH, member="data", shared={"schema": PAYLOAD_SCHEMA})


class _Reader:
    """Reads the events of one request, which must be of one app."""

    def __init__(self) -> None:
        self.app_id = ""
        self._sent: tuple[str, int | None] = ("", None)
        """The last `stm` as text, and parsed: all events of a request have the same."""
        self._contexts: dict[tuple[str | None, ...], SharedContext] = {}
        self._last: tuple[tuple[str | None, ...], SharedContext] = ((), NO_SHARED_CONTEXT)
        """The last `CONTEXT_FIELDS` but for the entities, and their context: orders differ in their entities only."""

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
        """Returns one event.

        Raises:
            RejectedError: the event cannot be understood.
            msgspec.DecodeError: a number is out of range.
        """
        return self.read(raw, _fields_of(raw), warnings)

    def read(self, raw: bytes, fields: dict[str, str], warnings: list[Verdict]) -> ParsedEvent:
        """Returns one event; removes from `fields` those that it reads.

        Raises:
            RejectedError: the event cannot be understood.
        """
        take = fields.pop
        kind = take("e", "")
        context_fields = tuple(map(take, CONTEXT_FIELDS, _NO_CONTEXT_FIELDS))
        app_id = context_fields[0] or ""
        if app_id != self.app_id:
            self._set_app(app_id)
        shared = self._contexts.get(context_fields)
        if shared is None:
            texts, shared = self._last
            if context_fields[:-2] != texts:
                texts = context_fields[:-2]
                shared = context_of_texts(texts)
                self._last = texts, shared
            if context_fields[-2] or context_fields[-1]:
                shared = with_entities(shared, *context_fields[-2:])
            self._contexts[context_fields] = shared
        entities = shared.entities
        warnings += shared.warnings
        call, name, properties, raw_properties = _content(kind, fields, shared, warnings)
        anonymous_id = take("duid", "") or take("tnuid", "") or take("nuid", "")
        user_id: str | None = take("uid", "")
        if entities:
            anonymous_id = anonymous_id or device_id(entities)
            user_id = user_id or shopper_id(entities)
        device_us = _time(take("dtm", ""), "dtm", warnings)
        sent_text = take("stm", "")
        last_sent_text, sent_us = self._sent
        if sent_text != last_sent_text:
            sent_us = _time(sent_text, "stm", warnings)
            if sent_us is not None:
                self._sent = (sent_text, sent_us)
        true_text = take("ttm", "")
        true_us = _time(true_text, "ttm", warnings) if true_text else None
        if true_us is not None:
            # A true time does not come from the device's clock: there is nothing to correct by the time of sending.
            when: When | None = (true_us, None)
        else:
            when = None if device_us is None else (device_us, sent_us)
        event = Event(
            type=call,
            messageId=take("eid", None),
            userId=user_id,
            anonymousId=anonymous_id,
            event=name,
            name=context_fields[1] if kind == "pv" else name,
            properties=raw_properties,
        )
        extra = f'"snowplow":{_encode(fields).decode()}' if fields else ""
        return ParsedEvent(raw, event, None, warnings, extra, properties or None, shared.context, when)

    def _set_app(self, app_id: str) -> None:
        if app_id and app_id != self.app_id:
            if self.app_id:
                reject("mixed_app_ids", "aid", "a request holds the events of one app id; send each app's own")
            self.app_id = app_id


def _pixel(_: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    return b"image/gif", _PIXEL


def _query_fields(query: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in query.replace("+", " ").split("&"):  # a plus sign is a space, as in a form
        name, _, value = pair.partition("=")
        if value:
            if "%" in pair:
                name, value = _unquoted(name), _unquoted(value)
            fields[name] = value
    return fields


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    return _unquote(text) if len(text) <= MAX_CACHED else _unquote.__wrapped__(text)


@lru_cache(maxsize=4096)
def _unquote(text: str) -> str:
    # Cached, because addresses, titles, languages and time zones come again and again.
    return unquote(text, errors="surrogateescape")


def _fields_of(raw: bytes) -> dict[str, str]:
    try:
        return _TEXTS.decode(raw)
    except msgspec.ValidationError:
        pass
    value = _ANY.decode(raw)
    if not isinstance(value, dict):
        reject("wrong_type", "", f"an event has to be an object, got {json_type(value)}")
    fields: dict[str, str] = {}
    for name, part in value.items():
        if isinstance(part, str):
            fields[name] = part
        elif isinstance(part, bool):
            fields[name] = "1" if part else "0"
        elif isinstance(part, int | float) or (part is not None and name in _JSON_FIELDS):
            fields[name] = msgspec.json.encode(part).decode()
        elif part is not None:
            reject("wrong_type", name, f"{name} has to be text, got {json_type(part)}")
    return fields


def _content(kind: str, fields: dict[str, str], shared: SharedContext, warnings: list[Verdict]) -> Content:
    if kind == "pv":
        return _PAGE_VIEW
    if kind == "ue":
        encoded = fields.get("ue_px")
        if not (encoded and shared.entities):
            return _self_describing(fields, shared.entities, warnings)
        content = shared.self_describing.get(encoded)
        if content is None:
            content = shared.self_describing[encoded] = _self_describing(fields, shared.entities, warnings)
        else:
            del fields["ue_px"]
            fields.pop("ue_pr", None)
        return content
    if kind == "se":
        properties = _renamed(fields, STRUCTURED)
        action = properties.get("se_action")
        if not action:
            reject("missing_field", "se_ac", "a structured event has to have an action as se_ac")
        return "track", action, properties, _raw(properties)
    flat = _FLAT_KINDS.get(kind)
    if flat is None:
        if not kind:
            reject("missing_field", "e", f"an event has to name its kind as e: {_KINDS}")
        reject("unknown_type", "e", f"{kind[:100]!r} is none of: {_KINDS}")
    name, names = flat
    properties = _renamed(fields, names)
    return "track", name, properties, _raw(properties)


def _self_describing(fields: dict[str, str], entities: Entities, warnings: list[Verdict]) -> Content:
    """Returns the content of an event whose schema says what it is, with its data in the field `ue_px` or `ue_pr`."""
    field = "ue_px" if "ue_px" in fields else "ue_pr"
    outer = decode_field(fields.pop("ue_px", None), fields.pop("ue_pr", None), "ue_px", "ue_pr", warnings)
    inner = outer.get("data") if isinstance(outer, dict) else None
    if not isinstance(inner, dict):
        reject("missing_field", field, f"{field} has to hold an event with its schema and data")
    vendor, schema_name = schema_of(inner.get("schema"), field)
    data = inner.get("data")
    if data == []:
        data = {}
    if not isinstance(data, dict):
        reject("wrong_type", f"{field}.data", f"the event's data has to be an object, got {json_type(data)}")
    call, name, properties = "track", EVENT_NAMES.get(schema_name, schema_name), data
    if schema_name == "snowplow_ecommerce_action":
        name, properties = _require_name(*ecommerce.parse_action(data, entities), f"{field}.data.type")
    elif schema_name == "action" and vendor == "com.google.analytics.enhanced-ecommerce":
        name, properties = _require_name(*ecommerce.parse_enhanced_action(data, entities), f"{field}.data.action")
    elif schema_name == "screen_view":
        call, name = "screen", str(data.get("name") or "")
    elif schema_name == "message_notification" and data.get("action") == "click":
        name = "push_notification_tapped"
    return call, name, properties, _raw(properties)


def _require_name(name: Any, properties: dict[str, Any], field: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(name, str) or not name:
        reject("missing_field", field, f"{field} has to say what happened, as text")
    return name, properties


def _time(text: str, field: str, warnings: list[Verdict]) -> int | None:
    """Returns the microseconds of a text of milliseconds since the epoch."""
    if not text:
        return None
    try:
        us = int(text) * 1000
    except ValueError:
        warnings.append(warning("unreadable_time", field, f"{field} is not a number of milliseconds; it was left out"))
        return None
    if not MIN_US <= us <= MAX_US:
        reject("time_out_of_range", field, f"{field} lies outside the years 1-9999")
    return us


def _renamed(fields: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    """Returns the fields in `names` by their new names; removes them from `fields`."""
    return {name: fields.pop(field) for field, name in names.items() if field in fields}


def _raw(value: Any) -> Raw:
    return Raw(_encode(value)) if value else Raw()
