"""A request's body, split into its events without reading them. Pure.

A clean body is split by the fast decoder. A body that is not (NaN, stray bytes, lone surrogates, NUL) is split by
`tolerant_json`, so that what is wrong with one event leaves its neighbours as they are.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import ParsedEvent
from services.ingest.event import tolerant_json
from services.ingest.event.verdict import (
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    UNREADABLE,
    RejectedError,
    Verdict,
    json_type,
    reject,
)
from throughline.kit.errors import ProblemCode, ServiceError

ReadEvent = Callable[[bytes, list[Verdict]], ParsedEvent]
"""From one event as JSON, and the list that takes its warnings.

Raises RejectedError, or a decoder's error for what can not be decoded.
"""

FindFaults = Callable[[bytes], list[Verdict]]
"""From an event as JSON to all that a dialect's own checks find wrong with it: a rejected one is looked at twice."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_EVENTS = msgspec.json.Decoder(list[Raw])
_ANY = msgspec.json.Decoder()
_BYTES = msgspec.json.Decoder(bytes)
_OBJECT = msgspec.json.Decoder(msgspec.defstruct("AnyObject", []))
"""Takes any object, and keeps nothing of it."""
_NUL = re.compile(rb"\\u0000").search  # twice as fast as `in`
READ_ERRORS = (RejectedError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading one event may raise."""
SMALL_EVENT_BYTES = 2 * MAX_DEPTH
"""Number of bytes up to which no event can be nested too deeply: each level takes two."""


class SplitBody(NamedTuple):
    """A body, split."""

    head: dict[str, Raw]
    """The members of the body beside the events."""
    events: list[Raw]
    defects: dict[int, Verdict]
    """Why events must not be kept, by position."""


def split_events(
    body: bytes,
    member: str,
    usual: tuple[str, ...] = (),
    *,
    max_events: int = MAX_EVENTS,
    loose: tuple[str, ...] | None = None,
) -> SplitBody:
    """Split a body into the events in the list `member`, or in the list that is the body if `member` is "".

    `usual` are the members that bodies have beside the events as a rule: a body with no others takes one decoding.
    With `loose`, members that are not usual are left out of the head, and what stands in `loose` is not checked.

    Raises:
        ServiceError: 400, the body is not JSON, is something else, or has more than `max_events` events.
    """
    split = try_fast_split(body, member, usual, max_events=max_events, ignore_others=loose is not None)
    if split is None:
        split = (_split_clean(body, member) if loose is None and is_clean(body) else None) or _split_tolerantly(
            body, member, usual, loose
        )
        check_count(len(split.events), member, max_events)
    return split


def try_fast_split(
    body: bytes, member: str, usual: tuple[str, ...], *, max_events: int = MAX_EVENTS, ignore_others: bool = False
) -> SplitBody | None:
    """`split_events` of a clean body that has the list `member` and no others than `usual`; None for another body.

    Raises:
        ServiceError: 400, it has more than `max_events` events.
    """
    if not usual or not is_clean(body):
        return None
    try:
        decoded = _decoder(member, usual, ignore_others).decode(body)
        head = decodable({name: part for name in usual if (part := getattr(decoded, name))})
    except (msgspec.DecodeError, RecursionError):
        return None
    split = SplitBody(head, getattr(decoded, member), {})
    check_count(len(split.events), member, max_events)
    return split


def single_event(body: bytes) -> SplitBody:
    """Split a body that is one event, an object.

    Raises:
        ServiceError: 400, the body is not JSON, or no object.
    """
    if is_clean(body):
        try:
            _OBJECT.decode(body)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return SplitBody({}, [Raw(body)], {})
    text = tolerant_json.text_of(body)
    value = tolerant_json.load_text(text)
    if not isinstance(value, dict):
        raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
    defect = tolerant_json.defect_in(value, text)
    return SplitBody({}, [Raw(tolerant_json.bytes_of(text))], {0: defect} if defect else {})


def parse_events(
    split: SplitBody, read: ReadEvent, max_bytes: int = MAX_EVENT_BYTES, find_faults: FindFaults | None = None
) -> list[ParsedEvent]:
    """Returns the events of a split body, each read, or rejected with its verdict."""
    defects = split.defects
    events = []
    for number, sent in enumerate(split.events):
        if len(sent) > SMALL_EVENT_BYTES or number in defects:
            events.append(parse_event(sent, read, defects.get(number), max_bytes, find_faults))
            continue
        raw = bytes(sent)
        warnings: list[Verdict] = []
        try:
            events.append(read(raw, warnings))
        except READ_ERRORS as error:
            events.append(_unread(raw, raw, error, warnings, find_faults))
    return events


def parse_event(
    raw: bytes | Raw,
    read: ReadEvent,
    defect: Verdict | None = None,
    max_bytes: int = MAX_EVENT_BYTES,
    find_faults: FindFaults | None = None,
) -> ParsedEvent:
    """Returns one event, read, or rejected with its verdict, whose other faults `find_faults` gives."""
    raw = bytes(raw)
    warnings: list[Verdict] = []
    sent = raw
    if defect is not None:
        mended = tolerant_json.mend(raw, defect, warnings)
        if mended is None:
            return ParsedEvent(raw, None, defect, warnings)
        raw = mended
    try:
        parsed = read(raw, warnings)
    except READ_ERRORS as error:
        return _unread(sent, raw, error, warnings, find_faults)
    parsed.raw = sent
    parsed.rejection = size_rejection(raw, max_bytes)
    return parsed


def _unread(
    sent: bytes, raw: bytes, error: Exception, warnings: list[Verdict], find_faults: FindFaults | None
) -> ParsedEvent:
    """Returns an event that could not be read: `raw` is what `sent` became when it was mended."""
    if not isinstance(error, RejectedError):
        # JSON that the decoder can not hold: most likely a number out of range.
        return ParsedEvent(sent, None, tolerant_json.defect_of(raw) or UNREADABLE, warnings)
    verdict = error.verdict
    if find_faults is not None:
        verdict = verdict._replace(others=tuple(fault for fault in find_faults(raw) if fault != verdict))
    return ParsedEvent(sent, None, verdict, warnings)


def size_rejection(raw: bytes, max_bytes: int) -> Verdict | None:
    """Returns why an event is too large or nested too deeply, None when it is not."""
    size = len(raw)
    if size > max_bytes:
        return Verdict("rejected", "too_large", "", f"the event has {size} bytes, {max_bytes} are allowed")
    if size > SMALL_EVENT_BYTES and tolerant_json.may_be_deep(raw):
        try:
            return tolerant_json.defect_of(raw)
        except ServiceError:  # it is not JSON
            return UNREADABLE
    return None


def check_size(raw: Raw) -> None:
    """Check an event before it is read.

    Raises:
        RejectedError: too large, or nested too deeply.
        ServiceError: 400, not JSON at all.
    """
    size = len(raw)
    if size > MAX_EVENT_BYTES:
        reject("too_large", "", f"the event has {size} bytes, {MAX_EVENT_BYTES} are allowed")
    if size > SMALL_EVENT_BYTES and tolerant_json.may_be_deep(bytes(raw)):
        tolerant_json.reject_defects(raw)


def embedded_json(data: bytes, field: str, warnings: list[Verdict]) -> Any:
    """Returns the value of JSON that stands inside of a text, where the checks of the body did not see it.

    What is mended in it goes to `warnings`.

    Raises:
        RejectedError: it is not JSON, or holds what no event may.
    """
    if is_clean(data) and not tolerant_json.may_be_deep(data):
        try:
            return _ANY.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass
    try:
        value = tolerant_json.load(data)
    except ServiceError as error:
        reject(error.code, field, f"{field}: {error.message.replace('the body', 'it')}")
    defect = tolerant_json.defect(value)
    if defect is not None:
        notes: list[Verdict] = []
        mended = tolerant_json.mend(data, defect, notes)
        if mended is not None:
            warnings += [note._replace(field=f"{field}.{note.field}".rstrip(".")) for note in notes]
            return tolerant_json.load(mended)
        reject(defect.code, f"{field}.{defect.field}".rstrip("."), defect.message)
    return value


def try_plain_base64(data: bytes) -> bytes | None:
    """Returns the bytes of base64 with its padding and nothing else; None for other data. Twice as fast as binascii."""
    if b"\\" in data:  # an escape of JSON
        return None
    try:
        return _BYTES.decode(b'"%b"' % data)
    except msgspec.DecodeError:
        return None


def is_clean(body: bytes) -> bool:
    """Whether the fast decoder's result for a body can be used: UTF-8 without a byte order mark and without NUL."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
        if body.startswith(b"\xef\xbb\xbf"):
            return False
    # Whether there is any backslash takes a twentieth of the time to find out.
    return b"\\" not in body or _NUL(body) is None


@lru_cache(maxsize=64)
def _decoder(member: str, usual: tuple[str, ...], ignore_others: bool) -> msgspec.json.Decoder[Any]:
    members = [(name, Raw, Raw()) for name in usual]
    shape = msgspec.defstruct(
        "UsualBody", [(member, list[Raw]), *members], forbid_unknown_fields=not ignore_others, gc=False
    )
    return msgspec.json.Decoder(shape)


def _split_clean(body: bytes, member: str) -> SplitBody | None:
    try:
        if not member:
            return SplitBody({}, _EVENTS.decode(body), {})
        head = _FIELDS.decode(body)
        events = _EVENTS.decode(head.pop(member))
        return SplitBody(decodable(head), events, {})
    except (msgspec.DecodeError, RecursionError, KeyError):
        return None


def decodable(head: dict[str, Raw]) -> dict[str, Raw]:
    """Returns a head of which no member holds a number that is out of range or nests without end."""
    for part in head.values():
        _ANY.decode(part)
    return head


def check_count(events: int, member: str, max_events: int) -> None:
    """Refuse a body with too many events in the list `member`.

    Raises:
        ServiceError: 400, it has more than `max_events`.
    """
    if events > max_events:
        raise ServiceError(
            400, "too_many_events", f"the body has {events} events, {max_events} are allowed", field=member
        )


def _split_tolerantly(body: bytes, member: str, usual: tuple[str, ...], loose: tuple[str, ...] | None) -> SplitBody:
    text = tolerant_json.text_of(body)
    value = tolerant_json.load_text(text)
    parts: dict[str, str] = {}
    events = value
    if member:
        if not isinstance(value, dict):
            raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
        events = value.pop(member, None)
        parts = tolerant_json.members(text)
        text = parts.pop(member, "")
        if loose is not None:
            parts = {name: part for name, part in parts.items() if name in usual}
            value = {name: part for name, part in value.items() if name in usual and name not in loose}
        defect = tolerant_json.defect_in(value, "".join(parts[name] for name in value))
        if defect is not None:
            raise ServiceError(400, cast(ProblemCode, defect.code), defect.message, field=defect.field)
    if not isinstance(events, list):
        kind = "nothing" if events is None else json_type(events)
        raise ServiceError(
            400, "wrong_type", f"{member or 'the body'} has to be a list of events, got {kind}", field=member
        )
    head = {name: Raw(tolerant_json.bytes_of(part)) for name, part in parts.items()}
    try:
        decodable({name: part for name, part in head.items() if not loose or name not in loose})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ServiceError(400, "unreadable_json", f"what stands beside {member} can not be read") from None
    return SplitBody(head, *tolerant_json.split_list(events, text))
