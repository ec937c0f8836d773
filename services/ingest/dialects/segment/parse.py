"""Segment's requests: one call in its own path, or a batch whose events name their calls. Pure.

The usual event is decoded straight into `Event`; an event of another shape is read member by member.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import (
    NO_MEMBERS,
    ParsedEvent,
    ParsedEvents,
    ParsedRequest,
    ReplayRequest,
    Request,
)
from services.ingest.dialects.split import SMALL_EVENT_BYTES, check_size, is_clean, single_event, split_events
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import CALLS, Event
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import (
    MAX_EVENT_BYTES,
    UNREADABLE,
    RejectedError,
    Verdict,
    json_type,
    reject,
    warning,
)
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError


class _WriteKey(msgspec.Struct, gc=False):
    writeKey: Any = None  # noqa: N815


_WRITE_KEY = msgspec.json.Decoder(_WriteKey)
_SENT_AT = msgspec.json.Decoder(datetime | None)
_EVENT = msgspec.json.Decoder(Event)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()

_HEAD = ("writeKey", "sentAt", "context", "integrations")
_LOOSE = ("writeKey", "sentAt")
"""Members of a batch that may be anything: then they say nothing."""
_IDS = frozenset({"userId", "anonymousId", "previousId", "messageId"})
_TEXTS = frozenset({"type", "event", "name"})
_TIMES = frozenset({"timestamp", "originalTimestamp", "sentAt"})
_OBJECTS = frozenset({"properties", "traits", "context", "integrations", "groupId", "category", "channel", "rudderId"})
_REPLAYS_OF_CALLS = {call: partial(ReplayRequest, f"/v1/{call}") for call in CALLS}


class _Events(msgspec.Struct, gc=False):
    """The events of a body, each read when its turn comes: nothing is read for a write key that is not known."""

    raws: list[Raw]
    defects: dict[int, Verdict]
    """Why events must not be kept, by position."""

    def __len__(self) -> int:
        return len(self.raws)

    def __iter__(self) -> Iterator[ParsedEvent]:
        """Returns the events.

        Raises:
            ServiceError: 400, the one event of a body is not JSON.
        """
        defects = self.defects
        for number, raw in enumerate(self.raws):
            warnings: list[Verdict] = []
            if defects and number in defects:
                yield _mended(raw, defects[number], warnings)
                continue
            try:
                if len(raw) > SMALL_EVENT_BYTES:
                    check_size(raw)
                yield ParsedEvent(raw, _EVENT.decode(raw), None, warnings)
            except RejectedError as error:
                yield ParsedEvent(raw, None, error.verdict, warnings)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield _unusual(raw, warnings)


def parse_call(request: Request, call: str) -> ParsedRequest:
    """Parses a request whose path names the call of its one event.

    Raises:
        ServiceError: 400, the body is not JSON, or no object.
    """
    body = request.body
    if is_clean(body):
        if len(body) <= SMALL_EVENT_BYTES:
            # A small event of the usual shape is read at once, with the key in it.
            try:
                event = _EVENT.decode(body)
            except (msgspec.DecodeError, RecursionError):
                pass
            else:
                return _request_of_call([ParsedEvent(body, event, None, [])], event.writeKey, call)
        try:
            # Without a key in it, the body is not read before it is validated. To look for one letter takes a tenth of
            # the time that the word takes.
            key = _WRITE_KEY.decode(body).writeKey if b"K" in body or body[:1] != b"{" else ""
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return _request_of_call(_Events([Raw(body)], {}), key, call)
    split = single_event(body)
    key = tolerant_json.load(body).get("writeKey") if b"writeKey" in body else ""
    return _request_of_call(_Events(split.events, split.defects), key, call)


def parse_batch(request: Request) -> ParsedRequest:
    """Parses a batch.

    Raises:
        ServiceError: 400, the body is not JSON, holds no list of events, or too many of them.
    """
    split = split_events(request.body, "batch", _HEAD, loose=_LOOSE)
    head = split.head
    context, integrations = _members(head, "context"), _members(head, "integrations")
    shared_bytes = sum(len(name) + len(part) for shared in (context, integrations) for name, part in shared.items())
    if shared_bytes > MAX_EVENT_BYTES:
        # Each event is kept, and read, with what its batch shares.
        raise ServiceError(
            400,
            "too_large",
            f"the batch's context and integrations, which each of its events has, have {shared_bytes} bytes, "
            f"{MAX_EVENT_BYTES} are allowed",
            field="context",
        )
    sent_us = _sent_us(head["sentAt"]) if "sentAt" in head else None
    return ParsedRequest(
        _text(_any(head["writeKey"])) if "writeKey" in head else "",
        _Events(split.events, split.defects),
        "",
        sent_us,
        context,
        integrations,
        shared_bytes,
        replay_request=partial(_replay_of_batch, sent_us, context, integrations),
        native=True,
    )


def parse_import(request: Request) -> ParsedRequest:
    """Parses a batch that a server sends, of what happened before.

    Raises:
        ServiceError: 400, as `parse_batch`.
    """
    parsed = parse_batch(request)
    parsed.from_server = True
    return parsed


def parse_metrics(_: Request) -> ParsedRequest:
    """Parses measurements that the browser library makes of itself: nothing of them is kept."""
    return ParsedRequest(None, [])


def _mended(raw: Raw, defect: Verdict, warnings: list[Verdict]) -> ParsedEvent:
    """Returns an event that holds what can not be kept, as it is without that."""
    mended = tolerant_json.mend(bytes(raw), defect, warnings)
    if mended is None:
        return ParsedEvent(raw, None, defect, warnings)
    try:
        check_size(Raw(mended))
    except RejectedError as error:
        return ParsedEvent(raw, None, error.verdict, warnings)
    parsed = _unusual(Raw(mended), warnings)
    parsed.raw = raw
    return parsed


def _unusual(raw: Raw, warnings: list[Verdict]) -> ParsedEvent:
    """Returns an event that is not of the usual shape.

    Raises:
        ServiceError: 400, it is not JSON.
    """
    try:
        event, extra, faults = _read_members(raw, warnings)
    except RejectedError as error:
        return ParsedEvent(raw, None, error.verdict, warnings)
    except (msgspec.DecodeError, RecursionError):
        # JSON that the decoder can not hold: most likely a number out of range.
        return ParsedEvent(raw, None, tolerant_json.defect_of(bytes(raw)) or UNREADABLE, warnings)
    rejection = faults[0]._replace(others=tuple(faults[1:])) if faults else None
    return ParsedEvent(raw, event, rejection, warnings, extra)


def _read_members(raw: Raw, warnings: list[Verdict]) -> tuple[Event, str, list[Verdict]]:
    """Returns an event, its members that have no field in `Event` as JSON without the outer braces, and the members
    that can not be understood.

    Raises:
        RejectedError: not an object.
        msgspec.DecodeError: a number is out of range.
    """
    try:
        members = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        reject("wrong_type", "", f"an event has to be an object, got {json_type(_ANY.decode(raw))}")
    fields: dict[str, Any] = {}
    extra: list[str] = []
    faults: list[Verdict] = []
    for name, part in members.items():
        if name in _OBJECTS:
            fields[name] = part
        elif name == "_metadata":
            fields["metadata"] = part
        elif name == "receivedAt":
            fields["receivedAt"] = part
        elif name != "writeKey":
            try:
                value = _field(name, _ANY.decode(part), warnings)
            except RejectedError as error:
                faults.append(error.verdict)
                continue
            if value is None:
                key = msgspec.json.encode(name).decode()
                extra.append(f"{key}:{bytes(part).decode()}")
            else:
                fields[name] = value
    return Event(**fields), ",".join(extra), faults


def _field(name: str, value: Any, warnings: list[Verdict]) -> Any:
    """Returns the value of a field of `Event`; None when the member is kept with the rest."""
    if name in _IDS:
        return _message_id(value) if name == "messageId" else read_id(value, name, warnings) or None
    if name in _TIMES:
        if value is None:
            return None
        time = times.parse(value, name)
        if time is None:
            warnings.append(warning("unreadable_time", name, f"{name} is not an ISO 8601 time; it was left out"))
        return time
    if name in _TEXTS and value is not None:
        if isinstance(value, str):
            return value
        if name == "name":
            warnings.append(
                warning("wrong_type", name, f"name has to be text, got {json_type(value)}; it was left out")
            )
            return None
        reject("wrong_type", name, f"{name} has to be text, got {json_type(value)}")
    return None


def _message_id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        reject("wrong_type", "messageId", f"messageId has to be text, got {json_type(value)}")
    return str(value)


def _request_of_call(events: ParsedEvents, key: Any, call: str) -> ParsedRequest:
    return ParsedRequest(_text(key), events, call, replay_request=_REPLAYS_OF_CALLS[call], native=True)


def _replay_of_batch(sent_us: int | None, context: Mapping[str, Raw], integrations: Mapping[str, Raw]) -> ReplayRequest:
    shared: dict[str, Any] = {} if sent_us is None else {"sentAt": rfc3339(sent_us)}
    if context:
        shared["context"] = context
    if integrations:
        shared["integrations"] = integrations
    return ReplayRequest("/v1/batch", member="batch", shared=shared)


def _members(head: dict[str, Raw], name: str) -> Mapping[str, Raw]:
    """Returns the members of an object in the head; none of another value."""
    try:
        return _FIELDS.decode(head[name]) or NO_MEMBERS if name in head else NO_MEMBERS
    except msgspec.ValidationError:
        return NO_MEMBERS


def _sent_us(raw: Raw) -> int | None:
    """Returns when the client sent a batch; None for what is no time."""
    try:
        try:
            sent = _SENT_AT.decode(raw)
        except msgspec.DecodeError:
            sent = times.parse(_any(raw), "sentAt")
        return None if sent is None else times.instant(sent, "sentAt")
    except RejectedError:
        return None


def _any(raw: Raw) -> Any:
    """Returns a member of the head that was not checked."""
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return tolerant_json.load(bytes(raw))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
