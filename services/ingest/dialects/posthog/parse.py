"""Parses PostHog's requests: one event, a list of events, or `{"batch": [...]}`. Pure.

The body is JSON, or a form whose field `data` holds JSON; either may be in base64, and that may hold gzip. event.py
translates the events; settings.py answers what else the libraries ask for.
"""

import base64
import binascii
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    REPLAYED_LIBRARY,
    ParsedEvent,
    ParsedRequest,
    ReplayRequest,
    Request,
    SentBody,
)
from services.ingest.dialects.posthog.event import IDENTIFY, EventReader
from services.ingest.dialects.posthog.wire import HEAD, UsualBatch, find_faults, try_usual_batch
from services.ingest.dialects.segment.parse import parse_batch as parse_segment_batch
from services.ingest.dialects.split import (
    SplitBody,
    is_clean,
    parse_events,
    single_event,
    split_events,
    try_fast_split,
    try_plain_base64,
)
from services.ingest.event import times, tolerant_json
from services.ingest.event.gzip import GZIP_MAGIC, unpack
from services.ingest.event.verdict import RejectedError, Verdict
from throughline.kit.errors import ServiceError

RESULTS_PATH = "/i/v1/analytics/events"
"""The newer endpoint, whose answer has a result for each event by its uuid."""
ENGAGE_PATH = "/engage"
"""Every event that is sent here describes a person, as `$identify` does, whatever its name."""
REPLAY_PATH = "/i/v0/e"
"""Not `/batch`, where a body is known as PostHog's by its key, which a replay does not have."""
LIBRARY_HEADER = b"posthog-sdk-info"
MAX_FORM_FIELDS = 100

_FIELD_NAMES = {
    "userId": "distinct_id",
    "anonymousId": "distinct_id",
    "previousId": "distinct_id",
    "messageId": "uuid",
    "traits": "$set",
    CONSENT_FIELD: "properties.consent.analytics",
}
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_JSON_STARTS = (b"{", b"[")
_DATA_FIELD = b"data="
_KEY_NAMES = ("api_key", "token")


class _KeyProperties(Struct, gc=False):
    token: Any = None


class _KeyMembers(Struct, gc=False):
    """The members of an event outside a batch that may hold the write key."""

    api_key: Any = None
    token: Any = None
    properties: _KeyProperties | None = None


_KEY_MEMBERS = msgspec.json.Decoder(_KeyMembers)


def parse_capture(request: Request) -> ParsedRequest:
    """Parses a request to one of PostHog's own paths.

    The write key is `api_key` or `token` of the body, else of its first event, else `token` of that event's properties.

    Raises:
        ServiceError: 400, the body cannot be read, or has too many events.
    """
    body, query = _json_body(request)
    return _parsed(request, body, try_usual_batch(body), query)


def parse_batch(request: Request) -> ParsedRequest:
    """Parses a request to `/batch`, where Segment's libraries send too: a body with PostHog's write key is PostHog's,
    and so is a form or base64.

    Raises:
        ServiceError: 400, the body cannot be read, or has too many events.
    """
    body = request.body
    if b'"api_key"' in body or b'"token"' in body:
        batch = try_usual_batch(body)
        names = _member_names(body) if batch is None else batch.head
        if any(name in names for name in _KEY_NAMES):
            if batch is None:
                body, query = _json_body(request)
                return _parsed(request, body, None, query)
            return _parsed(request, body, batch, _query(request))
    elif body.strip() and not body.lstrip().startswith(_JSON_STARTS):
        unwrapped, query = _json_body(request)
        if unwrapped.startswith(_JSON_STARTS):
            return _parsed(request, unwrapped, try_usual_batch(unwrapped), query)
    return parse_segment_batch(request)


def _parsed(request: Request, body: bytes, batch: UsualBatch | None, query: dict[str, list[str]]) -> ParsedRequest:
    """Parses a body; `batch` is the same, if it is a usual one."""
    is_engage = request.path.strip("/") == ENGAGE_PATH.strip("/")
    library = _library(request)
    name = IDENTIFY if is_engage else ""
    events: list[ParsedEvent] | None = None
    if batch is not None:
        head, sent_at = batch.head, _sent_at(request, query, batch.head)
        events = EventReader(sent_at, library, name).read_all(batch, SentBody(lambda: _split(body).events))
        write_key = _write_key(head, [] if head else _split(body).events)
    if events is None:
        split = _split(body)
        sent_at = _sent_at(request, query, split.head)
        reader = EventReader(sent_at, library, name)
        events = parse_events(split, reader, find_faults=partial(find_faults, is_named=is_engage))
        write_key = _write_key(split.head, split.events)
    has_results = request.path.rstrip("/") == RESULTS_PATH
    return ParsedRequest(
        write_key if events or not has_results else None,
        events,
        names=_FIELD_NAMES,
        reply=partial(_results, events) if has_results else None,
        replay_request=partial(_replay_request, request, sent_at),
        is_text_checked="\0" not in library,
    )


def _replay_request(request: Request, sent_at: datetime | None) -> ReplayRequest:
    shared = {} if sent_at is None else {"sent_at": sent_at.isoformat()}
    library = _library(request)
    path = ENGAGE_PATH if request.path.strip("/") == ENGAGE_PATH.strip("/") else REPLAY_PATH
    return ReplayRequest(path, library=library if library.isascii() else "", member="batch", shared=shared)


def _library(request: Request) -> str:
    """Returns what the headers say of the client's library, "" for nothing."""
    return request.header(LIBRARY_HEADER) or request.header(REPLAYED_LIBRARY)


def _json_body(request: Request) -> tuple[bytes, dict[str, list[str]]]:
    """Returns the JSON of a body, whatever it is wrapped in, and the parameters of the query and the form."""
    query = _query(request)
    body = request.body.strip()
    if body.startswith(_JSON_STARTS) or not body:
        return body, query
    if body.startswith(_DATA_FIELD) or b"&data=" in body:
        data, parameters = _form(body)
        return _unwrap(data), {**parameters, **query}
    try:
        return _unwrap(body), query
    except ServiceError:
        return body, query  # parsing it as JSON gives the better error


def _form(body: bytes) -> tuple[bytes, dict[str, list[str]]]:
    """Returns the field `data` of a form, and its other fields."""
    fields = body.split(b"&") if b"&" in body else [body]  # a split looks at each byte by itself
    if len(fields) > MAX_FORM_FIELDS:
        raise ServiceError(400, "unreadable_data", f"the form has more than {MAX_FORM_FIELDS} fields")
    data, others = b"", []
    for field in fields:
        if field.startswith(_DATA_FIELD) and not data:
            data = field.removeprefix(_DATA_FIELD)
            if b"%" in data or b"+" in data:
                data = unquote_to_bytes(data.replace(b"+", b" "))
        else:
            others.append(field)
    return data, parse_qs(b"&".join(others).decode("latin-1"), errors="replace") if others else {}


def _query(request: Request) -> dict[str, list[str]]:
    return parse_qs(request.query, errors="replace") if request.query else {}


def _unwrap(data: bytes) -> bytes:
    """Returns JSON that is plain, in base64, or in gzip within base64."""
    data = data.strip()
    if data.startswith(_JSON_STARTS):
        return data
    decoded = try_plain_base64(data)
    if not decoded:
        decoded = _of_base64(data)
    return unpack(decoded).strip() if decoded.startswith(GZIP_MAGIC) else decoded.strip()


def _of_base64(data: bytes) -> bytes:
    """Returns the bytes of base64, for URLs too, whatever a form has made of it, with its padding or without.

    Raises:
        ServiceError: 400, it is no base64.
    """
    # A plus sign that was not escaped has become a space.
    data = data.replace(b" ", b"+").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    padded = data + b"=" * (-len(data) % 4)
    try:
        return try_plain_base64(padded) or base64.b64decode(padded, validate=True)
    except binascii.Error:
        raise ServiceError(
            400, "unreadable_data", "data is neither JSON nor base64; lz64 is not understood", field="data"
        ) from None


def _split(body: bytes) -> SplitBody:
    if body.startswith(b"["):
        return split_events(body, "")
    split = try_fast_split(body, "batch", HEAD)
    if split is not None:
        return split
    is_batch = b'"batch"' in body and "batch" in _member_names(body)
    return split_events(body, "batch") if is_batch else single_event(body)


def _member_names(body: bytes) -> Collection[str]:
    """Returns the names of a body's members, none if it is no object.

    Raises:
        ServiceError: 400, the body is not JSON.
    """
    if is_clean(body):
        try:
            return _MEMBERS.decode(body)
        except (msgspec.DecodeError, RecursionError):
            pass
    value = tolerant_json.load(body)
    return value if isinstance(value, dict) else ()


def _sent_at(request: Request, query: dict[str, list[str]], head: dict[str, Raw]) -> datetime | None:
    """Returns when the client sent the request, by the body, the query (milliseconds) or a header."""
    values: list[Any] = [_ANY.decode(head["sent_at"])] if "sent_at" in head else []
    for name in ("sent_at", "_"):
        text = query.get(name, [""])[0]
        values.append(int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else text)
    values.append(request.header(b"posthog-request-timestamp"))
    for value in values:
        try:
            time = times.parse(value, "sent_at")
        except RejectedError:
            continue
        if time is not None:
            return time
    return None


def _write_key(head: dict[str, Raw], events: list[Raw]) -> str:
    """Returns the key that a body carries: in its head, else, without a head, in the first event."""
    for name in _KEY_NAMES:
        if name in head:
            key = _ANY.decode(head[name])
            if isinstance(key, str) and key:
                return key
    if not head and events:
        try:
            event = _KEY_MEMBERS.decode(events[0])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        property_key = None if event.properties is None else event.properties.token
        for key in (event.api_key, event.token, property_key):
            if isinstance(key, str) and key:
                return key
    return ""


def _results(events: Sequence[ParsedEvent], verdicts: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    """Returns the newer endpoint's answer: a result for each uuid."""
    results: dict[str, dict[str, str]] = {}
    for parsed, verdict in zip(events, verdicts, strict=True):
        uuid = parsed.event.messageId if parsed.event is not None else _uuid(bytes(parsed.raw))
        if not uuid:
            continue
        if verdict is None:
            results[uuid] = {"result": "ok"}
        else:
            result = "drop" if verdict.status in ("rejected", "dropped") else "warning"
            faults = (verdict, *verdict.others)
            details = "; ".join(f"{fault.code} {fault.field}: {fault.message}" for fault in faults)
            results[uuid] = {"result": result, "details": details}
    return b"application/json", msgspec.json.encode({"results": results})


def _uuid(raw: bytes) -> str:
    """Returns the uuid of an event that could not be read otherwise, or ""."""
    try:
        uuid = _ANY.decode(_MEMBERS.decode(raw)["uuid"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return ""
    return uuid if isinstance(uuid, str) else ""
