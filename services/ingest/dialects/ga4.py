"""GA4's Measurement Protocol: POST /mp/collect; /debug/mp/collect keeps nothing and says what is wrong. Pure.

Event names stay GA4's. The protocol has no message ids: one is derived, so that a request sent again counts once.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlencode

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    NO_MEMBERS,
    DialectSpec,
    ParsedRequest,
    ReplayRequest,
    Request,
    Route,
)
from services.ingest.dialects.split import EventParts, SplitBody, parse_events, split_events
from services.ingest.dialects.web import page_context
from services.ingest.enrich.context import Context, build_context
from services.ingest.event.event import Event
from services.ingest.event.verdict import Verdict, json_type, read_id, reject, warning
from throughline.kit.clock import MAX_US, MIN_US

MAX_EVENTS = 25
"""In one request, as GA4 has it."""
MAX_EVENT_BYTES = 130 * 1024
"""What GA4 takes in one request may be one event: a purchase of 200 items."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_NAMES_HERE = {
    "messageId": "params.message_id",
    "userId": "user_id",
    "anonymousId": "client_id",
    "timestamp": "timestamp_micros",
    "event": "name",
    "properties": "params",
    "properties.order_id": "params.transaction_id",
    CONSENT_FIELD: "consent.analytics_storage",
}
_CAMPAIGN = {
    "source": "source",
    "medium": "medium",
    "campaign": "name",
    "campaign_id": "id",
    "term": "term",
    "content": "content",
}
_CONTEXT = {
    "consent": "consent",
    "device": "device",
    "ip_override": "ip",
    "user_agent": "userAgent",
    "user_location": "location",
}
"""Member of the body -> member of the context."""
_IDS = ("client_id", "app_instance_id", "user_id")
HEAD = (*_IDS, *_CONTEXT, "timestamp_micros", "user_properties")
"""What is read of a body beside its events."""
_USUAL = (*HEAD, "user_data", "non_personalized_ads", "validation_behavior")
_ITEM = {"item_id": "product_id", "quantity": "quantity"}
_PAGE = ("page_location", "page_referrer", "page_title")
_HINTS = frozenset({*_PAGE, "source", "medium"})
"""Parameters that say something of the page or the campaign."""
_ONCE = frozenset({"purchase", "refund"})
"""Events that are one for each transaction."""
_VALIDATION_CODES = {
    "missing_field": "VALUE_REQUIRED",
    "missing_id": "VALUE_REQUIRED",
    "missing_order_id": "VALUE_REQUIRED",
    "too_large": "VALUE_OUT_OF_BOUNDS",
    "too_long": "VALUE_OUT_OF_BOUNDS",
    "time_out_of_range": "VALUE_OUT_OF_BOUNDS",
}
"""Ours -> GA4's; all others are VALUE_INVALID."""


def parse(request: Request) -> ParsedRequest:
    """The events of one request; its `api_secret` is the write key.

    Raises:
        ServiceError: 400, nobody can read the body, or it has more than `MAX_EVENTS` events.
    """
    query = parse_qs(request.query, errors="replace")
    split = split_events(request.body, "events", _USUAL, max_events=MAX_EVENTS)
    stream = (query.get("measurement_id") or query.get("firebase_app_id") or [""])[0]
    return ParsedRequest(
        (query.get("api_secret") or [""])[0],
        parse_events(split, _Reader(split, stream), MAX_EVENT_BYTES),
        shared_context={"consent": split.head["consent"]} if "consent" in split.head else NO_MEMBERS,
        names=_NAMES_HERE,
        replay_request=partial(_replay_request, split.head, stream),
    )


def parse_debug(request: Request) -> ParsedRequest:
    """Parses a request to GA4's validation server, which keeps nothing and says what is wrong.

    Raises:
        ServiceError: 400, as `parse`.
    """
    parsed = parse(request)
    parsed.write_key, parsed.reply = None, _validation
    return parsed


def _replay_request(head: dict[str, Raw], stream: str) -> ReplayRequest:
    # Sorted: a body is read in one of two ways, each with its own order, and the same is kept of both.
    shared = {name: head[name] for name in sorted(head)}
    return ReplayRequest(f"/mp/collect?{urlencode({'measurement_id': stream})}", member="events", shared=shared)


class _Sent(Struct, forbid_unknown_fields=True, gc=False):
    """The usual event."""

    name: Any = ""
    params: Raw = Raw()
    timestamp_micros: Any = None


_SENT = msgspec.json.Decoder(_Sent)


class _Reader:
    """Reads the events of one request, which are of one client."""

    def __init__(self, split: SplitBody, stream: str) -> None:
        head = split.head
        shared = {name: _ANY.decode(head[name]) for name in HEAD if name in head}
        self._ids = [shared.get(name) for name in _IDS]
        self._time = shared.get("timestamp_micros")
        self._read_time: int | None = None
        self._context = {_CONTEXT[name]: part for name, part in shared.items() if name in _CONTEXT and part is not None}
        self._looked = build_context(self._context)
        self._traits = _raw(_values(shared.get("user_properties")))
        self._extra = ",".join(f"{_text(name)}:{_text(_ANY.decode(head[name]))}" for name in head if name not in HEAD)
        self._digest = blake2b(f"{stream}\0{_text(self._ids)}\0".encode(), digest_size=16)
        self._seen: dict[bytes, int] = {}

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> EventParts:
        """One event.

        Raises:
            RejectedError: it can not be understood.
            msgspec.DecodeError: it holds a number that is out of range.
        """
        sent, extra = _sent(raw)
        name = sent.name
        if not isinstance(name, str):
            reject("wrong_type", "name", f"name has to be text, got {json_type(name)}")
        if not name:
            reject("missing_field", "name", "an event has to have a name")
        params = _ANY.decode(sent.params) if sent.params else {}
        if not isinstance(params, dict):
            if params is not None:
                reject("wrong_type", "params", f"params has to be an object, got {json_type(params)}")
            params = {}
        micros = sent.timestamp_micros
        client_us = self._common_time(warnings) if micros is None else _time(micros, warnings)
        client, app, user = self._ids
        added = _added(params)
        properties = {**added, **params} if added else params
        event = Event(
            type="track",
            event=name,
            messageId=self._message_id(name, params, client_us),
            # Text is looked at when the touchpoint is built.
            userId=user if type(user) is str else read_id(user, "user_id", warnings),
            anonymousId=client if type(client) is str and client else _other_id(client, app, warnings),
            properties=Raw(b"%b,%b" % (_encode(added)[:-1], bytes(sent.params)[1:])) if added else sent.params,
            traits=self._traits,
        )
        if self._extra:
            extra = f"{self._extra},{extra}" if extra else self._extra
        when = None if client_us is None else (client_us, None)
        return event, extra, properties or None, self._context_of(params), when

    def _common_time(self, warnings: list[Verdict]) -> int | None:
        if self._read_time is None:
            self._read_time = _time(self._time, warnings)
        return self._read_time

    def _message_id(self, name: str, params: dict[str, Any], client_us: int | None) -> str | None:
        """The same for a request sent again; None when nothing tells that from another event like it."""
        own = params.get("message_id")
        if isinstance(own, str) and own:
            return own
        once = name in _ONCE and params.get("transaction_id")
        if client_us is None and not once:
            return None
        event = msgspec.json.encode([name, params], order="sorted")
        again = 0
        if not once:
            again = self._seen.get(event, 0)
            self._seen[event] = again + 1
        digest = self._digest.copy()
        digest.update(b"%d\0%d\0%b" % (-1 if client_us is None else client_us, again, event))
        return digest.hexdigest()

    def _context_of(self, params: dict[str, Any]) -> Context:
        if params.keys().isdisjoint(_HINTS):
            return self._looked
        url, referrer, title = (_string(params.get(name)) for name in _PAGE)
        context = page_context(url, referrer, title)
        campaign = {_CAMPAIGN[name]: params[name] for name in _CAMPAIGN if _string(params.get(name))}
        if "source" in campaign or "medium" in campaign:
            context["campaign"] = campaign
        return build_context({**self._context, **context})


def _sent(raw: bytes) -> tuple[_Sent, str]:
    """An event, and the inside of a JSON object with its members that are not known here."""
    try:
        return _SENT.decode(raw), ""
    except msgspec.ValidationError:
        pass
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    sent = _Sent(params=fields.pop("params", Raw()))
    if "name" in fields:
        sent.name = _ANY.decode(fields.pop("name"))
    if "timestamp_micros" in fields:
        sent.timestamp_micros = _ANY.decode(fields.pop("timestamp_micros"))
    return sent, ",".join(f"{_text(name)}:{_text(_ANY.decode(part))}" for name, part in fields.items())


def _other_id(client: Any, app: Any, warnings: list[Verdict]) -> str:
    return read_id(client, "client_id", warnings) or read_id(app, "app_instance_id", warnings)


def _added(params: dict[str, Any]) -> dict[str, Any]:
    """The typed fields under the names they have here, where the parameters have none of that name."""
    added: dict[str, Any] = {}
    if "transaction_id" in params:
        added["order_id"] = params["transaction_id"]
    items = params.get("items")
    # What an event with several items is about is in them, not in one of them.
    if isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict):
        for name, ours in _ITEM.items():
            value = items[0].get(name)
            if value is not None:
                added[ours] = value
    if added and not params.keys().isdisjoint(added):
        return {name: value for name, value in added.items() if name not in params}
    return added


def _values(properties: Any) -> Any:
    """`{"plan": {"value": "gold"}}` as `{"plan": "gold"}`."""
    if not isinstance(properties, dict):
        return None
    return {
        name: part["value"] if isinstance(part, dict) and "value" in part else part for name, part in properties.items()
    }


def _time(micros: Any, warnings: list[Verdict]) -> int | None:
    """A number of microseconds since the epoch, or the same as text."""
    if micros is None or micros == "":
        return None
    try:
        if isinstance(micros, int | float | str) and not isinstance(micros, bool):
            us = int(micros)
            if MIN_US <= us <= MAX_US:
                return us
            _out_of_range()
    except ValueError:
        pass
    except OverflowError:  # infinite
        _out_of_range()
    warnings.append(
        warning("unreadable_time", "timestamp_micros", "timestamp_micros is not a number of microseconds; left out")
    )
    return None


def _out_of_range() -> NoReturn:
    reject("time_out_of_range", "timestamp_micros", "timestamp_micros lies outside the years 1-9999")


def _validation(verdicts: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    """Returns what GA4's validation server answers."""
    messages = [
        {
            "fieldPath": f"events[{number}].{verdict.field}".rstrip("."),
            "description": verdict.message,
            "validationCode": _VALIDATION_CODES.get(verdict.code, "VALUE_INVALID"),
        }
        for number, verdict in enumerate(verdicts)
        if verdict is not None
    ]
    return b"application/json", msgspec.json.encode({"validationMessages": messages})


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value)) if value else Raw()


_EXAMPLE = {
    "client_id": "b1c0f4",
    "events": [{"name": "purchase", "params": {"transaction_id": "A-1001", "value": 59.9}}],
}
_SUMMARY = "GA4 Measurement Protocol: the write key is the api_secret"
_PARAMETERS = ("api_secret", "measurement_id")
SPEC = DialectSpec(
    name="ga4",
    routes=(
        Route("POST", "/mp/collect", parse, _SUMMARY, _EXAMPLE, _PARAMETERS),
        Route("POST", "/debug/mp/collect", parse_debug, _SUMMARY, _EXAMPLE, _PARAMETERS, answer="object"),
    ),
    key_names=("api_secret",),
    address_members=("ip_override", "_uip"),
    address_parameters=("_uip",),
)
