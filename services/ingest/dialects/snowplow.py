"""Snowplow's tracker protocol: POST tp2 and GET /i. Pure.

Every event is a flat object of texts, named by two to six letters. The app id (`aid`) says which source it is for.
`snowplow_context.py` reads what surrounds it, `snowplow_ecommerce.py` the e-commerce actions; `snowplow_names.py` has
the tables.
"""

import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from services.ingest.dialects import snowplow_ecommerce
from services.ingest.dialects.base import (
    CONSENT_FIELD,
    DialectSpec,
    ParsedRequest,
    ReplayRequest,
    Request,
    Route,
    When,
)
from services.ingest.dialects.snowplow_consent import CONSENT
from services.ingest.dialects.snowplow_context import (
    ABOUT_CONTEXT,
    SHORT,
    Surroundings,
    context_of,
    device,
    payload,
    schema_of,
    shopper,
)
from services.ingest.dialects.snowplow_ecommerce import Entities
from services.ingest.dialects.snowplow_names import ITEM, NAMES, PING, STRUCTURED, TRANSACTION
from services.ingest.dialects.split import EventParts, parse_event, parse_events, split_events
from services.ingest.event import tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import Verdict, json_type, reject, warning
from throughline.kit.clock import MAX_US, MIN_US

_TEXTS = msgspec.json.Decoder(dict[str, str])
_ANY = msgspec.json.Decoder()
_DATA = ("ue_px", "ue_pr", "cx", "co")
_PAYLOAD = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
_NOT_GIVEN = (None,) * len(ABOUT_CONTEXT)
Said = tuple[str, str, dict[str, Any], Raw]
"""Call, name and properties of an event, the latter decoded and as JSON."""
_PAGE_VIEW: Said = ("page", "", {}, Raw())
_KINDS = "pv, pp, se, ue, tr, ti"
_FLAT = {
    "pp": ("track", "page_ping", PING),
    "tr": ("track", "transaction", TRANSACTION),
    "ti": ("track", "transaction_item", ITEM),
}
_NAMES_HERE = {
    "messageId": "eid",
    "userId": "uid",
    "anonymousId": "duid",
    "timestamp": "dtm",
    "sentAt": "stm",
    CONSENT_FIELD: "cx",
}
_GIF = binascii.a2b_base64("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent pixel: some pages ask for /i as an image."""


def parse(request: Request) -> ParsedRequest:
    """The events of one request; their app id stands in for the write key.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    reader = _Reader()
    if request.method == "GET":
        fields, raw = _asked(request.query)
        defect = tolerant_json.texts_defect(fields)
        events = [parse_event(raw, lambda _, warnings: reader.read(fields, warnings), defect)]
        return ParsedRequest(reader.app_id, events, names=_NAMES_HERE, reply=_pixel, replay_request=_replay_request)
    events = parse_events(split_events(request.body, "data", ("schema",)), reader)
    return ParsedRequest(reader.app_id, events, names=_NAMES_HERE, replay_request=_replay_request)


def _replay_request() -> ReplayRequest:
    # Of an event that came in a query, too: it is kept as the object that a payload holds.
    return ReplayRequest("/com.snowplowanalytics.snowplow/tp2", member="data", shared={"schema": _PAYLOAD})


class _Reader:
    """Reads the events of one request, which are of one app."""

    def __init__(self) -> None:
        self.app_id = ""
        self._sent: tuple[str, int | None] = ("", None)
        self._contexts: dict[tuple[str | None, ...], Surroundings] = {}

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> EventParts:
        """One event.

        Raises:
            RejectedError: it can not be understood.
            msgspec.DecodeError: it holds a number that is out of range.
        """
        return self.read(_fields(raw), warnings)

    def read(self, fields: dict[str, str], warnings: list[Verdict]) -> EventParts:
        """One event, of its fields, which are used up.

        Raises:
            RejectedError: it can not be understood.
        """
        take = fields.pop
        kind = take("e", "")
        about = tuple(map(take, ABOUT_CONTEXT, _NOT_GIVEN))
        app_id = about[0] or ""
        if app_id != self.app_id:
            self._one_app(app_id)
        # What surrounds an event is the same for most events of a request.
        known = self._contexts.get(about)
        if known is None:
            known = self._contexts[about] = context_of(about)
        entities = known.entities
        call, name, properties, raw_properties = _what(kind, fields, known)
        anonymous = take("duid", "") or take("tnuid", "") or take("nuid", "")
        user: str | None = take("uid", "")
        if entities:
            anonymous = anonymous or device(entities)
            user = user or shopper(entities)
        device_us = _time(take("dtm", ""), "dtm", warnings)
        sent_text = take("stm", "")
        known_text, sent_us = self._sent
        if sent_text != known_text:
            sent_us = _time(sent_text, "stm", warnings)
            if sent_us is not None:
                self._sent = (sent_text, sent_us)
        true_text = take("ttm", "")
        true_us = _time(true_text, "ttm", warnings) if true_text else None
        if true_us is not None:
            # A true time is right whatever the device's clock says.
            when: When | None = (true_us, None)
        else:
            when = None if device_us is None else (device_us, sent_us)
        event = Event(
            type=call,
            messageId=take("eid", None),
            userId=user,
            anonymousId=anonymous,
            event=name,
            name=about[1] if kind == "pv" else name,
            properties=raw_properties,
        )
        extra = f'"snowplow":{msgspec.json.encode(fields).decode()}' if fields else ""
        return event, extra, properties or None, known.context, when

    def _one_app(self, app_id: str) -> None:
        if app_id and app_id != self.app_id:
            if self.app_id:
                reject("mixed_app_ids", "aid", "a request holds the events of one app id; send each app's own")
            self.app_id = app_id


def _pixel(_: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    return b"image/gif", _GIF


def _asked(query: str) -> tuple[dict[str, str], bytes]:
    """The fields in a query, and the same as JSON."""
    fields: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if value:
            if "%" in pair or "+" in pair:
                name, value = _unescaped(name), _unescaped(value)
            fields[name] = value
    return fields, tolerant_json.dump_texts(fields)


def _unescaped(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return _known_unescaped(text) if len(text) <= SHORT else _known_unescaped.__wrapped__(text)


@lru_cache(maxsize=4096)
def _known_unescaped(text: str) -> str:
    # Pages, their titles, languages and time zones come again and again.
    return unquote(text.replace("+", " "), errors="surrogateescape")  # a plus sign is a space, as in a form


def _fields(raw: bytes) -> dict[str, str]:
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
        elif isinstance(part, int | float) or (part is not None and name in _DATA):
            fields[name] = msgspec.json.encode(part).decode()
        elif part is not None:
            reject("wrong_type", name, f"{name} has to be text, got {json_type(part)}")
    return fields


def _what(kind: str, fields: dict[str, str], known: Surroundings) -> Said:
    """Call, name and properties, decoded and as JSON."""
    if kind == "pv":
        return _PAGE_VIEW
    if kind == "ue":
        encoded = fields.get("ue_px")
        if not (encoded and known.entities):
            return _self_describing(fields, known.entities)
        said = known.said.get(encoded)
        if said is None:
            said = known.said[encoded] = _self_describing(fields, known.entities)
        else:
            del fields["ue_px"]
            fields.pop("ue_pr", None)
        return said
    if kind == "se":
        properties = _renamed(fields, STRUCTURED)
        action = properties.get("se_action")
        if not action:
            reject("missing_field", "se_ac", "a structured event has to have an action as se_ac")
        return "track", action, properties, _raw(properties)
    flat = _FLAT.get(kind)
    if flat is None:
        if not kind:
            reject("missing_field", "e", f"an event has to name its kind as e: {_KINDS}")
        reject("unknown_type", "e", f"{kind[:100]!r} is none of: {_KINDS}")
    call, name, names = flat
    properties = _renamed(fields, names)
    return call, name, properties, _raw(properties)


def _self_describing(fields: dict[str, str], entities: Entities) -> Said:
    field = "ue_px" if "ue_px" in fields else "ue_pr"
    envelope = payload(fields.pop("ue_px", None), fields.pop("ue_pr", None), "ue")
    inner = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(inner, dict):
        reject("missing_field", field, f"{field} has to hold an event with its schema and data")
    vendor, name = schema_of(inner.get("schema"), field)
    data = inner.get("data")
    if not isinstance(data, dict):
        reject("wrong_type", f"{field}.data", f"the event's data has to be an object, got {json_type(data)}")
    call, called, properties = "track", NAMES.get(name, name), data
    if name == "snowplow_ecommerce_action":
        called, properties = _named(*snowplow_ecommerce.action(data, entities), f"{field}.data.type")
    elif name == "action" and vendor == "com.google.analytics.enhanced-ecommerce":
        called, properties = _named(*snowplow_ecommerce.enhanced(data, entities), f"{field}.data.action")
    elif name == "screen_view":
        call, called = "screen", str(data.get("name") or "")
    elif name == "message_notification" and data.get("action") == "click":
        called = "push_notification_tapped"
    return call, called, properties, _raw(properties)


def _named(name: Any, properties: dict[str, Any], field: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(name, str) or not name:
        reject("missing_field", field, f"{field} has to say what happened, as text")
    return name, properties


def _time(text: str, field: str, warnings: list[Verdict]) -> int | None:
    """Milliseconds since the epoch as microseconds."""
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
    return {name: fields.pop(field) for field, name in names.items() if field in fields}


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value)) if value else Raw()


_SUMMARY = "Snowplow: a payload of events; the write key is the app id"
_EXAMPLE = {"e": "pv", "url": "https://shop.example/", "aid": "tlw_...", "duid": "b1c0f4", "tv": "py-1.1.0"}
SPEC = DialectSpec(
    name="snowplow",
    routes=(
        Route("POST", "/com.snowplowanalytics.snowplow/tp2", parse, _SUMMARY, {"schema": _PAYLOAD, "data": [_EXAMPLE]}),
        Route("GET", "/i", parse, _SUMMARY, _EXAMPLE, tuple(_EXAMPLE), answer="image/gif"),
    ),
    consent=CONSENT,
    address_members=("ip",),
    address_parameters=("ip",),
)
