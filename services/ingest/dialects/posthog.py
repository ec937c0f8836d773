"""PostHog: /batch, /e, /capture and their like, and the newer /i/v1/analytics/events. Pure.

The body is one event, a list of them, or `{"batch": [...]}`; as JSON, or as the form field `data` in base64.
`posthog_event.py` reads one event, `posthog_answers.py` says what else the libraries ask for.
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
    Answers,
    ConsentSources,
    DialectSpec,
    ParsedEvent,
    ParsedRequest,
    ReplayRequest,
    Request,
    Route,
    SettingsRoute,
)
from services.ingest.dialects.consent import parse_answer
from services.ingest.dialects.posthog_answers import config_script_settings, config_settings, parse_flags
from services.ingest.dialects.posthog_event import reader
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

V1 = "/i/v1/analytics/events"
"""Where a library wants a result for each event, by its uuid."""

NAMES = {
    "userId": "distinct_id",
    "anonymousId": "distinct_id",
    "previousId": "distinct_id",
    "messageId": "uuid",
    "traits": "$set",
    CONSENT_FIELD: "properties.consent.analytics",
}

MAX_FIELDS = 100
"""Of a form."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_JSON = (b"{", b"[")
_DATA = b"data="
_KEYS = frozenset({"api_key", "token"})
_HEAD = ("api_key", "token", "sent_at", "historical_migration", "created_at")
"""What stands beside the events as a rule."""


class _InProperties(Struct, gc=False):
    token: Any = None


class _Key(Struct, gc=False):
    """Where an event that is not in a batch carries the write key."""

    api_key: Any = None
    token: Any = None
    properties: _InProperties | None = None


_KEY = msgspec.json.Decoder(_Key)


def parse(request: Request) -> ParsedRequest:
    """The events of one request.

    The write key is `api_key` or `token` of the body, of its first event or in that event's properties; else the
    request's own (Authorization).

    Raises:
        ServiceError: 400, nobody can read the body, or it has too many events.
    """
    body, query = _plain(request)
    return _request(request, _split(body), query)


def _request(request: Request, split: SplitBody, query: dict[str, list[str]]) -> ParsedRequest:
    sent_at = _sent_at(request, query, split.head)
    events = parse_events(split, reader(sent_at, request.header(b"posthog-sdk-info")))
    with_results = request.path.rstrip("/") == V1
    return ParsedRequest(
        _write_key(split) if events or not with_results else None,
        events,
        names=NAMES,
        reply=partial(_results, events) if with_results else None,
        replay_request=partial(_replay_request, request, sent_at),
    )


def _replay_request(request: Request, sent_at: datetime | None) -> ReplayRequest:
    # Not /batch, where the body has to carry its key to be known as PostHog's.
    shared = {} if sent_at is None else {"sent_at": sent_at.isoformat()}
    library = request.header(b"posthog-sdk-info")
    return ReplayRequest("/i/v0/e", library=library if library.isascii() else "", member="batch", shared=shared)


def parse_batch(request: Request) -> ParsedRequest:
    """Parses what comes to /batch, where Segment's libraries send too: the body of PostHog's names its project.

    Raises:
        ServiceError: 400, nobody can read the body, or it has too many events.
    """
    body = request.body
    if b'"api_key"' in body or b'"token"' in body:
        split = try_fast_split(body, "batch", _HEAD)
        if not _KEYS.isdisjoint(_names(body) if split is None else split.head):
            return parse(request) if split is None else _request(request, split, _query(request))
    return parse_segment_batch(request)


def _plain(request: Request) -> tuple[bytes, dict[str, list[str]]]:
    """The JSON of a request, taken out of a form or a query where it stands in one, and its query."""
    query = _query(request)
    body = request.body.strip()
    if body.startswith(_JSON) or not body:
        return body, query
    if body.startswith(_DATA) or b"&data=" in body:
        data, form = _form(body)
        return _decoded(data), {**form, **query}
    try:
        return _decoded(body), query
    except ServiceError:
        return body, query  # whose readers say what is wrong with it


def _form(body: bytes) -> tuple[bytes, dict[str, list[str]]]:
    """The field `data` of a form, and its other fields."""
    fields = body.split(b"&")
    if len(fields) > MAX_FIELDS:
        raise ServiceError(400, "unreadable_data", f"the form has more than {MAX_FIELDS} fields")
    data, others = b"", []
    for field in fields:
        if field.startswith(_DATA) and not data:
            data = unquote_to_bytes(field.removeprefix(_DATA).replace(b"+", b" "))
        else:
            others.append(field)
    return data, parse_qs(b"&".join(others).decode("latin-1"), errors="replace") if others else {}


def _query(request: Request) -> dict[str, list[str]]:
    return parse_qs(request.query, errors="replace") if request.query else {}


def _decoded(data: bytes) -> bytes:
    """JSON that may stand in base64, and in gzip within that."""
    data = data.strip()
    if data.startswith(_JSON):
        return data
    # A plus sign that nobody escaped has become a space on its way.
    data = data.replace(b" ", b"+").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    padded = data + b"=" * (-len(data) % 4)
    try:
        found = try_plain_base64(padded) or base64.b64decode(padded, validate=True)
    except binascii.Error:
        raise ServiceError(
            400, "unreadable_data", "data is neither JSON nor base64; lz64 is not understood", field="data"
        ) from None
    return unpack(found).strip() if found.startswith(GZIP_MAGIC) else found.strip()


def _split(body: bytes) -> SplitBody:
    if body.startswith(b"["):
        return split_events(body, "")
    split = try_fast_split(body, "batch", _HEAD)
    if split is None:
        split = split_events(body, "batch") if b'"batch"' in body and "batch" in _names(body) else single_event(body)
    return split


def _names(body: bytes) -> Collection[str]:
    """The names of a body's members; none if it is no object."""
    if is_clean(body):
        try:
            return _FIELDS.decode(body)
        except (msgspec.DecodeError, RecursionError):
            pass
    value = tolerant_json.load(body)
    return value if isinstance(value, dict) else ()


def _sent_at(request: Request, query: dict[str, list[str]], head: dict[str, Raw]) -> datetime | None:
    """When the client says it sent: in the body, in the query (milliseconds), or in the newer endpoint's header."""
    said: list[Any] = [_ANY.decode(head["sent_at"])] if "sent_at" in head else []
    for name in ("sent_at", "_"):
        text = query.get(name, [""])[0]
        said.append(int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else text)
    said.append(request.header(b"posthog-request-timestamp"))
    for value in said:
        try:
            found = times.parse(value, "sent_at")
        except RejectedError:
            continue
        if found is not None:
            return found
    return None


def _write_key(split: SplitBody) -> str:
    for name in ("api_key", "token"):
        if name in split.head:
            key = _ANY.decode(split.head[name])
            if isinstance(key, str) and key:
                return key
    if not split.head and split.events:
        try:
            found = _KEY.decode(split.events[0])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        inner = None if found.properties is None else found.properties.token
        for key in (found.api_key, found.token, inner):
            if isinstance(key, str) and key:
                return key
    return ""


def _results(items: Sequence[ParsedEvent], verdicts: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    """The newer endpoint's answer: a result for each uuid."""
    results: dict[str, dict[str, str]] = {}
    for one, verdict in zip(items, verdicts, strict=True):
        uuid = one.event.messageId if one.event is not None else _uuid(bytes(one.raw))
        if not uuid:
            continue
        if verdict is None:
            results[uuid] = {"result": "ok"}
        else:
            result = "drop" if verdict.status in ("rejected", "dropped") else "warning"
            details = f"{verdict.code} {verdict.field}: {verdict.message}"
            results[uuid] = {"result": result, "details": details}
    return b"application/json", msgspec.json.encode({"results": results})


def _uuid(raw: bytes) -> str:
    try:
        found = _ANY.decode(_FIELDS.decode(raw)["uuid"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return ""
    return found if isinstance(found, str) else ""


def _cookieless_answers(value: Any) -> Answers:
    return (False,) if parse_answer(value) else ()


_SUMMARY = "PostHog: one event, a list, or a batch; the write key is the project's api_key"
_EXAMPLE = {
    "api_key": "tlw_...",
    "batch": [{"event": "Order Completed", "distinct_id": "customer-42", "properties": {"order_id": "A-1001"}}],
}
_FLAGS_SUMMARY = "PostHog: which feature flags are on; none, and nothing is kept"
SPEC = DialectSpec(
    name="posthog",
    routes=(
        Route("POST", "/batch", parse_batch, _SUMMARY, _EXAMPLE),
        *(
            Route("POST", path, parse, _SUMMARY, _EXAMPLE)
            for path in ("/e", "/capture", "/engage", "/i/v0/e", "/i/v0/ai/batch")
        ),
        Route("POST", V1, parse, _SUMMARY, _EXAMPLE, answer="object"),
        *(Route("POST", path, parse_flags, _FLAGS_SUMMARY, {}, answer="object") for path in ("/flags", "/decide")),
    ),
    key_names=("api_key", "token"),
    consent=ConsentSources(properties={"$cookieless_mode": _cookieless_answers}, events={"$opt_in": lambda _: (True,)}),
    address_members=("$ip",),
    settings=(
        SettingsRoute("/array/{key}/config", "What posthog-js asks for before it sends", config_settings),
        SettingsRoute(
            "/array/{key}/config.js", "The same, as a script", config_script_settings, "application/javascript"
        ),
    ),
)
