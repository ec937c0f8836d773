"""Snowplow's tracker protocol: POST tp2 and GET /i. Pure.

Every event is a flat object of texts, named by two to six letters. The app id (`aid`) says which source it is for.
`snowplow_names.py` has the tables, `snowplow_ecommerce.py` the e-commerce actions.
"""

import binascii
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw

from services.ingest.dialects import careful, snowplow_ecommerce
from services.ingest.dialects.dialect import Opened, Request
from services.ingest.dialects.event import Event
from services.ingest.dialects.pieces import cut, embedded, item
from services.ingest.dialects.snowplow_ecommerce import Entities
from services.ingest.dialects.snowplow_names import ITEM, NAMES, PING, STRUCTURED, TRANSACTION
from services.ingest.dialects.web import page_context
from services.ingest.verdict import Verdict, json_type, refuse, warning
from throughline.kit.clock import EPOCH

_TEXTS = msgspec.json.Decoder(dict[str, str])
_ANY = msgspec.json.Decoder()
_DATA = ("ue_px", "ue_pr", "cx", "co")
_ABOUT_CONTEXT = ("url", "refr", "page", "ua", "ip", "lang", "tz", "aid", "tv")
_KINDS = "pv, pp, se, ue, tr, ti"
_FLAT = {
    "pp": ("page", "page_ping", PING),
    "tr": ("track", "transaction", TRANSACTION),
    "ti": ("track", "transaction_item", ITEM),
}
_NAMES_HERE = {"messageId": "eid", "userId": "uid", "anonymousId": "duid", "timestamp": "dtm", "sentAt": "stm"}
_GIF = binascii.a2b_base64("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent pixel: some pages ask for /i as an image."""


def read(request: Request) -> Opened:
    """The events of one request; their app id stands in for the write key.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    reader = _Reader()
    if request.method == "GET":
        fields = dict(parse_qsl(request.query, errors="surrogateescape"))
        items = [item(careful.dump(fields), reader, careful.defect(fields))]
        return Opened(reader.app_id, items, reply=_pixel, names=_NAMES_HERE)
    pieces = cut(request.body, "data")
    defects = pieces.defects
    items = [item(raw, reader, defects.get(number)) for number, raw in enumerate(pieces.events)]
    return Opened(reader.app_id, items, names=_NAMES_HERE)


class _Reader:
    """Reads the events of one request, which are of one app."""

    def __init__(self) -> None:
        self.app_id = ""
        self._contexts: dict[tuple[str | None, ...], tuple[Raw, Entities]] = {}

    def __call__(self, raw: bytes, notes: list[Verdict]) -> tuple[Event, str]:
        """One event.

        Raises:
            RefusedError: it can not be understood.
            msgspec.DecodeError: it holds a number that is out of range.
        """
        fields = _fields(raw)
        self._one_app(fields.get("aid", ""))
        take = fields.pop
        kind = take("e", "")
        context, entities = self._context(fields)
        call, name, properties = _what(kind, fields, entities)
        title = take("page", None)
        for about in _ABOUT_CONTEXT:
            take(about, None)
        anonymous = take("duid", "") or take("tnuid", "") or take("nuid", "") or _device(entities)
        device_time, sent = _time(take("dtm", ""), "dtm", notes), _time(take("stm", ""), "stm", notes)
        true_time = _time(take("ttm", ""), "ttm", notes)
        event = Event(
            type=call,
            messageId=take("eid", None),
            userId=take("uid", "") or _shopper(entities),
            anonymousId=anonymous,
            event=name,
            name=title if kind == "pv" else name,
            # A true time is right whatever the device's clock says.
            timestamp=true_time or device_time,
            sentAt=None if true_time else sent,
            properties=properties,
            context=context,
        )
        return event, f'"snowplow":{msgspec.json.encode(fields).decode()}' if fields else ""

    def _one_app(self, app_id: str) -> None:
        if app_id and app_id != self.app_id:
            if self.app_id:
                refuse("mixed_app_ids", "aid", "a request holds the events of one app id; send each app's own")
            self.app_id = app_id

    def _context(self, fields: dict[str, str]) -> tuple[Raw, Entities]:
        """What surrounds an event: the same for most events of a request."""
        get = fields.get
        encoded, plain = fields.pop("cx", None), fields.pop("co", None)
        key = (*[get(name) for name in _ABOUT_CONTEXT], encoded, plain)
        known = self._contexts.get(key)
        if known is None:
            known = self._contexts[key] = _read_context(fields, encoded, plain)
        return known


def _pixel(_: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    return b"image/gif", _GIF


def _fields(raw: bytes) -> dict[str, str]:
    try:
        return _TEXTS.decode(raw)
    except msgspec.ValidationError:
        pass
    value = _ANY.decode(raw)
    if not isinstance(value, dict):
        refuse("wrong_type", "", f"an event has to be an object, got {json_type(value)}")
    fields: dict[str, str] = {}
    for name, part in value.items():
        if isinstance(part, str):
            fields[name] = part
        elif isinstance(part, bool):
            fields[name] = "1" if part else "0"
        elif isinstance(part, int | float) or (part is not None and name in _DATA):
            fields[name] = msgspec.json.encode(part).decode()
        elif part is not None:
            refuse("wrong_type", name, f"{name} has to be text, got {json_type(part)}")
    return fields


def _what(kind: str, fields: dict[str, str], entities: Entities) -> tuple[str, str, Raw]:
    """Call, name and properties."""
    if kind == "pv":
        return "page", "", Raw()
    if kind == "ue":
        return _self_describing(fields, entities)
    if kind == "se":
        properties = _renamed(fields, STRUCTURED)
        action = properties.get("se_action")
        if not action:
            refuse("missing_field", "se_ac", "a structured event has to have an action as se_ac")
        return "track", action, _raw(properties)
    flat = _FLAT.get(kind)
    if flat is None:
        if not kind:
            refuse("missing_field", "e", f"an event has to name its kind as e: {_KINDS}")
        refuse("unknown_type", "e", f"{kind[:100]!r} is none of: {_KINDS}")
    call, name, names = flat
    return call, name, _raw(_renamed(fields, names))


def _self_describing(fields: dict[str, str], entities: Entities) -> tuple[str, str, Raw]:
    field = "ue_px" if "ue_px" in fields else "ue_pr"
    envelope = _payload(fields.pop("ue_px", None), fields.pop("ue_pr", None), "ue")
    inner = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(inner, dict):
        refuse("missing_field", field, f"{field} has to hold an event with its schema and data")
    vendor, name = _schema(inner.get("schema"), field)
    data = inner.get("data")
    if not isinstance(data, dict):
        refuse("wrong_type", f"{field}.data", f"the event's data has to be an object, got {json_type(data)}")
    call, called, properties = "track", NAMES.get(name, name), data
    if name == "snowplow_ecommerce_action":
        called, properties = _named(*snowplow_ecommerce.action(data, entities), f"{field}.data.type")
    elif name == "action" and vendor == "com.google.analytics.enhanced-ecommerce":
        called, properties = _named(*snowplow_ecommerce.enhanced(data, entities), f"{field}.data.action")
    elif name == "screen_view":
        call, called = "screen", str(data.get("name") or "")
    elif name == "message_notification" and data.get("action") == "click":
        called = "push_notification_tapped"
    return call, called, _raw(properties)


def _named(name: Any, properties: dict[str, Any], field: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(name, str) or not name:
        refuse("missing_field", field, f"{field} has to say what happened, as text")
    return name, properties


def _schema(schema: Any, field: str) -> tuple[str, str]:
    """Vendor and name of `iglu:vendor/name/format/version`."""
    parts = schema.removeprefix("iglu:").split("/") if isinstance(schema, str) else []
    if len(parts) < 2 or not parts[1]:
        refuse("missing_field", f"{field}.schema", "the schema has to be iglu:vendor/name/format/version")
    return parts[0], parts[1]


def _read_context(fields: dict[str, str], encoded: str | None, plain: str | None) -> tuple[Raw, Entities]:
    get = fields.get
    context = page_context(get("url"), get("refr"), get("page"))
    for field, name in (("ua", "userAgent"), ("ip", "ip"), ("lang", "locale"), ("tz", "timezone")):
        if get(field):
            context[name] = get(field)
    if get("tv"):
        context["library"] = {"name": get("tv")}
    entities: Entities = {}
    envelope = _payload(encoded, plain, "c")
    if envelope is not None:
        found = envelope.get("data") if isinstance(envelope, dict) else None
        if not isinstance(found, list):
            refuse("wrong_type", "cx", "contexts have to be a list of entities, each with its schema and data")
        context["entities"] = found
        for entity in found:
            data = entity.get("data") if isinstance(entity, dict) else None
            if isinstance(data, dict):
                entities.setdefault(_schema(entity.get("schema"), "cx")[1], []).append(data)
    return _raw(context), entities


def _payload(encoded: str | None, plain: str | None, prefix: str) -> Any:
    """The JSON in one of a pair of fields, the first of which is base64 for URLs; None when neither is given."""
    if encoded:
        field = f"{prefix}_px" if prefix == "ue" else "cx"
        try:
            # A space is a plus that went through a query; padding is optional.
            data = binascii.a2b_base64(encoded.replace("-", "+").replace("_", "/").replace(" ", "+") + "==")
        except ValueError:
            refuse("unreadable_base64", field, f"{field} is not base64")
        return embedded(data, field)
    if plain:
        return embedded(plain.encode(), f"{prefix}_pr" if prefix == "ue" else "co")
    return None


def _device(entities: Entities) -> str:
    """The id a mobile tracker gives to its installation."""
    found = entities.get("client_session")
    device = found[0].get("userId") if found else None
    return device if isinstance(device, str) else ""


def _shopper(entities: Entities) -> str | None:
    """The user the e-commerce plugin was told of, unless it is a guest."""
    found = entities.get("user")
    if not found or found[0].get("is_guest"):
        return None
    shopper = found[0].get("id")
    return shopper if isinstance(shopper, str) else None


def _time(text: str, field: str, notes: list[Verdict]) -> datetime | None:
    """Milliseconds since the epoch."""
    if not text:
        return None
    try:
        return EPOCH + timedelta(milliseconds=int(text))
    except ValueError:
        notes.append(warning("unreadable_time", field, f"{field} is not a number of milliseconds; it was left out"))
        return None
    except OverflowError:
        refuse("time_out_of_range", field, f"{field} lies outside the years 1-9999")


def _renamed(fields: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    return {name: fields.pop(field) for field, name in names.items() if field in fields}


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value)) if value else Raw()
