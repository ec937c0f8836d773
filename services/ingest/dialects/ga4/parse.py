"""Parses requests of GA4's Measurement Protocol: the events of one client. Pure.

Event names stay GA4's. The protocol has no message ids: one is derived, so that a request sent again counts once.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlencode

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    NO_MEMBERS,
    ParsedEvent,
    ParsedRequest,
    ReplayRequest,
    Request,
)
from services.ingest.dialects.split import SplitBody, parse_events, split_events
from services.ingest.dialects.web import page_context
from services.ingest.enrich.context import Context, build_context
from services.ingest.event.event import Event
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import MAX_MESSAGE_ID, Verdict, faults_among, json_type, reject, warning
from throughline.kit.clock import MAX_US, MIN_US

PATH = "/mp/collect"
MAX_EVENTS = 25
"""Maximum number of events of one request, the same as GA4's."""
MAX_CACHED_CONTEXT = 1024
"""Maximum number of bytes of what a request says of its client that is remembered for the next request."""
MAX_EVENT_BYTES = 130 * 1024
"""Maximum number of bytes of one event: all that GA4 takes in a request, because a purchase may list 200 items."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_FIELD_NAMES = {
    "messageId": "params.message_id",
    "userId": "user_id",
    "anonymousId": "client_id",
    "timestamp": "timestamp_micros",
    "event": "name",
    "properties": "params",
    "properties.order_id": "params.transaction_id",
    CONSENT_FIELD: "consent.analytics_storage",
}
_CAMPAIGN_MEMBERS = {
    "source": "source",
    "medium": "medium",
    "campaign": "name",
    "campaign_id": "id",
    "term": "term",
    "content": "content",
}
"""Parameter of an event -> member of `context.campaign`."""
_CONTEXT_MEMBERS = {
    "consent": "consent",
    "device": "device",
    "ip_override": "ip",
    "user_agent": "userAgent",
    "user_location": "location",
}
"""Member of the body -> member of the context."""
_IDS = ("client_id", "app_instance_id", "user_id")
_READ_HERE = (*_IDS, "timestamp_micros", "user_properties")
HEAD = (*_IDS, *_CONTEXT_MEMBERS, "timestamp_micros", "user_properties")
"""Members of the body that mean something here, besides `events`; all others are kept with each event."""
_USUAL = (*HEAD, "user_data", "non_personalized_ads", "validation_behavior")
_ITEM_PROPERTIES = (("item_id", "product_id"), ("quantity", "quantity"))
"""Members of an item, each with its typed property."""
_PAGE_PARAMETERS = ("page_location", "page_referrer", "page_title")
_CONTEXT_PARAMETERS = frozenset({*_PAGE_PARAMETERS, "source", "medium"})
"""Parameters without any of which an event has the context of its request."""
_ONCE_PER_TRANSACTION = frozenset({"purchase", "refund"})
"""Events of which there is one for each transaction."""
_VALIDATION_CODES = {
    "missing_field": "VALUE_REQUIRED",
    "missing_id": "VALUE_REQUIRED",
    "missing_order_id": "VALUE_REQUIRED",
    "too_large": "VALUE_OUT_OF_BOUNDS",
    "too_long": "VALUE_OUT_OF_BOUNDS",
    "time_out_of_range": "VALUE_OUT_OF_BOUNDS",
}
"""Code of a verdict -> GA4's code; any other is VALUE_INVALID."""


class _SentEvent(Struct, forbid_unknown_fields=True, gc=False):
    """The usual event as sent."""

    name: Any = ""
    params: Raw = Raw()
    timestamp_micros: Any = None


_SENT_EVENT = msgspec.json.Decoder(_SentEvent)


def parse_collect(request: Request) -> ParsedRequest:
    """Parses one request; its query parameter `api_secret` is the write key.

    Raises:
        ServiceError: 400, the body cannot be read, or has more than `MAX_EVENTS` events.
    """
    query = parse_qs(request.query, errors="replace")
    split = split_events(request.body, "events", _USUAL, max_events=MAX_EVENTS)
    stream = (query.get("measurement_id") or query.get("firebase_app_id") or [""])[0]
    reader = _Reader(split, stream)
    return ParsedRequest(
        (query.get("api_secret") or [""])[0],
        parse_events(split, reader, MAX_EVENT_BYTES, reader.find_faults),
        shared_context={"consent": split.head["consent"]} if "consent" in split.head else NO_MEMBERS,
        names=_FIELD_NAMES,
        replay_request=partial(_replay_request, split.head, stream),
        from_server=True,
        is_text_checked=True,
    )


def parse_debug(request: Request) -> ParsedRequest:
    """Parses a request to GA4's validation server, which keeps nothing and answers what is wrong.

    Raises:
        ServiceError: 400, as `parse_collect`.
    """
    parsed = parse_collect(request)
    parsed.write_key, parsed.reply = None, _validation_messages
    return parsed


def _replay_request(head: dict[str, Raw], stream: str) -> ReplayRequest:
    # Sorted: a body is split in one of two ways, each with its own order, and the replay is the same for both.
    shared = {name: head[name] for name in sorted(head)}
    return ReplayRequest(f"{PATH}?{urlencode({'measurement_id': stream})}", member="events", shared=shared)


class _Reader:
    """Reads the events of one request, which are of one client."""

    def __init__(self, split: SplitBody, stream: str) -> None:
        head = split.head
        members = {name: _ANY.decode(head[name]) for name in _READ_HERE if name in head}
        self._ids = [members.get(name) for name in _IDS]
        if type(self._ids[0]) is float:
            # A client id like 1234567890.1234567890, sent bare, is a number that no float holds.
            self._ids[0] = bytes(head["client_id"]).decode()
        self._micros = members.get("timestamp_micros")
        self._shared_us: int | None = None
        """`_micros`, once an event without its own time has asked for it."""
        parts = tuple([bytes(head[name]) if name in head else b"" for name in _CONTEXT_MEMBERS])
        is_cached = sum(map(len, parts)) <= MAX_CACHED_CONTEXT
        self._context = (_cached_context if is_cached else _parse_context)(parts)
        self._traits = _raw(_trait_values(members.get("user_properties")))
        self._extra = ",".join(f"{_json(name)}:{_json(_ANY.decode(head[name]))}" for name in head if name not in HEAD)
        self._digest = blake2b(f"{stream}\0{_json(self._ids)}\0".encode(), digest_size=16)
        self._repeats: dict[bytes, int] = {}
        """Event as JSON -> number of events of the request that are the same."""

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
        """Returns one event.

        Raises:
            RejectedError: the event cannot be understood.
            msgspec.DecodeError: a number is out of range.
        """
        sent, extra = _decode_event(raw)
        name = sent.name if type(sent.name) is str and sent.name else _name(sent)
        params = _ANY.decode(sent.params) if sent.params else {}
        if type(params) is not dict:
            params = _params(sent)
        micros = sent.timestamp_micros
        if micros is not None:
            client_us = _parse_micros(micros, warnings)
        elif self._shared_us is not None:
            client_us = self._shared_us
        else:
            client_us = self._time_of_request(warnings)
        client, app, user = self._ids
        typed = _typed_properties(params)
        event = Event(
            type="track",
            event=name,
            messageId=self._message_id(name, params, client_us, warnings),
            # A text is checked when the event is validated.
            userId=user if type(user) is str else read_id(user, "user_id", warnings),
            anonymousId=client if type(client) is str and client else _device_id(client, app, warnings),
            properties=Raw(b"%b,%b" % (_encode(typed)[:-1], bytes(sent.params)[1:])) if typed else sent.params,
            traits=self._traits,
        )
        if self._extra:
            extra = f"{self._extra},{extra}" if extra else self._extra
        return ParsedEvent(
            raw,
            event,
            None,
            warnings,
            extra,
            ({**typed, **params} if typed else params) or None,
            self._context if params.keys().isdisjoint(_CONTEXT_PARAMETERS) else self._context_of(params),
            None if client_us is None else (client_us, None),
        )

    def find_faults(self, raw: bytes) -> list[Verdict]:
        """Returns all that is wrong with the members of an event."""
        faults = faults_among((lambda: _decode_event(raw),))
        if faults:
            return faults
        sent, _ = _decode_event(raw)
        client, app, user = self._ids
        warnings: list[Verdict] = []
        return faults_among(
            (
                lambda: _name(sent),
                lambda: _params(sent),
                lambda: _parse_micros(sent.timestamp_micros, warnings),
                lambda: read_id(user, "user_id", warnings),
                lambda: _device_id(client, app, warnings),
            )
        )

    def _time_of_request(self, warnings: list[Verdict]) -> int | None:
        if self._shared_us is None:
            self._shared_us = _parse_micros(self._micros, warnings)
        return self._shared_us

    def _message_id(
        self, name: str, params: dict[str, Any], client_us: int | None, warnings: list[Verdict]
    ) -> str | None:
        """Returns the id that the event has again when its request is sent again; None when nothing tells that from
        another event like it."""
        sent_id = params.get("message_id")
        if sent_id is not None and isinstance(sent_id, str | int | float):
            sent_id = read_id(sent_id, "params.message_id", warnings, MAX_MESSAGE_ID)
            if sent_id:
                return sent_id
        once = name in _ONCE_PER_TRANSACTION and params.get("transaction_id")
        if client_us is None and not once:
            return None
        event = _encode_sorted([name, params])
        repeats = 0
        if not once:
            repeats = self._repeats.get(event, 0)
            self._repeats[event] = repeats + 1
        digest = self._digest.copy()
        digest.update(b"%d\0%d\0%b" % (-1 if client_us is None else client_us, repeats, event))
        return digest.hexdigest()

    def _context_of(self, params: dict[str, Any]) -> Context:
        """Returns the context of an event with some of `_CONTEXT_PARAMETERS`."""
        url, referrer, title = (_text_or_none(params.get(name)) for name in _PAGE_PARAMETERS)
        members = page_context(url, referrer, title)
        campaign = {
            _CAMPAIGN_MEMBERS[name]: params[name] for name in _CAMPAIGN_MEMBERS if _text_or_none(params.get(name))
        }
        if "source" in campaign or "medium" in campaign:
            members["campaign"] = campaign
        return build_context({**self._context.decoded, **members})


def _parse_context(parts: tuple[bytes, ...]) -> Context:
    """Returns the context of `_CONTEXT_MEMBERS`, each as JSON, b"" for one that was not sent."""
    values = [_ANY.decode(part) if part else None for part in parts]
    names = _CONTEXT_MEMBERS.values()
    return build_context({name: value for name, value in zip(names, values, strict=True) if value is not None})


_cached_context = lru_cache(maxsize=1024)(_parse_context)


def _decode_event(raw: bytes) -> tuple[_SentEvent, str]:
    """Returns an event, and its members that have no place there, as JSON without the outer braces."""
    try:
        return _SENT_EVENT.decode(raw), ""
    except msgspec.ValidationError:
        pass
    try:
        members = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    sent = _SentEvent(params=members.pop("params", Raw()))
    if "name" in members:
        sent.name = _ANY.decode(members.pop("name"))
    if "timestamp_micros" in members:
        sent.timestamp_micros = _ANY.decode(members.pop("timestamp_micros"))
    return sent, ",".join(f"{_json(name)}:{_json(_ANY.decode(part))}" for name, part in members.items())


def _name(sent: _SentEvent) -> str:
    name = sent.name
    if not isinstance(name, str):
        reject("wrong_type", "name", f"name has to be text, got {json_type(name)}")
    if not name:
        reject("missing_field", "name", "an event has to have a name")
    return name


def _params(sent: _SentEvent) -> dict[str, Any]:
    params = _ANY.decode(sent.params) if sent.params else {}
    if isinstance(params, dict):
        return params
    if params is not None and params != []:
        reject("wrong_type", "params", f"params has to be an object, got {json_type(params)}")
    return {}


def _device_id(client: Any, app: Any, warnings: list[Verdict]) -> str:
    return read_id(client, "client_id", warnings) or read_id(app, "app_instance_id", warnings)


def _typed_properties(params: dict[str, Any]) -> dict[str, Any]:
    """Returns the typed properties that the parameters hold under another name, and not under that of the property."""
    typed: dict[str, Any] = {}
    if "transaction_id" in params and "order_id" not in params:
        typed["order_id"] = params["transaction_id"]
    items = params.get("items")
    # An event with several items is about each of them, not about one.
    if type(items) is list and len(items) == 1 and type(items[0]) is dict:
        value_of = items[0].get
        for name, property_name in _ITEM_PROPERTIES:
            value = value_of(name)
            if value is not None and property_name not in params:
                typed[property_name] = value
    return typed


def _trait_values(properties: Any) -> Any:
    """Returns `{"plan": {"value": "gold"}}` as `{"plan": "gold"}`."""
    if not isinstance(properties, dict):
        return None
    return {
        name: part["value"] if isinstance(part, dict) and "value" in part else part for name, part in properties.items()
    }


def _parse_micros(micros: Any, warnings: list[Verdict]) -> int | None:
    """Returns a number of microseconds since the epoch, which may be sent as text; None for none."""
    if micros is None or micros == "":
        return None
    try:
        if isinstance(micros, int | float | str) and not isinstance(micros, bool):
            us = int(micros)
            if MIN_US <= us <= MAX_US:
                return us
            _reject_time()
    except ValueError:
        pass
    except OverflowError:  # infinite
        _reject_time()
    warnings.append(
        warning("unreadable_time", "timestamp_micros", "timestamp_micros is not a number of microseconds; left out")
    )
    return None


def _reject_time() -> NoReturn:
    reject("time_out_of_range", "timestamp_micros", "timestamp_micros lies outside the years 1-9999")


def _validation_messages(verdicts: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    """Returns what GA4's validation server answers."""
    messages = [
        {
            "fieldPath": f"events[{number}].{fault.field}".rstrip("."),
            "description": fault.message,
            "validationCode": _VALIDATION_CODES.get(fault.code, "VALUE_INVALID"),
        }
        for number, verdict in enumerate(verdicts)
        if verdict is not None
        for fault in (verdict, *verdict.others)
    ]
    return b"application/json", msgspec.json.encode({"validationMessages": messages})


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value)) if value else Raw()
