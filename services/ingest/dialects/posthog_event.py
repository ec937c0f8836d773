"""One event as PostHog's libraries send it, in Segment's terms. Pure."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from services.ingest.dialects.posthog_wire import EMPTY_OBJECT, Known, Options, Sent, decode, extra_of
from services.ingest.dialects.posthog_wire import known as known_of
from services.ingest.dialects.split import EventParts
from services.ingest.dialects.web import page_context
from services.ingest.enrich.context import Context, build_context
from services.ingest.event import times
from services.ingest.event.event import Event
from services.ingest.event.verdict import Verdict, json_type, read_id, reject, warning

COOKIELESS = "$posthog_cookieless"
"""What posthog-js writes for everybody whom it must not tell apart."""

_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_UTM = ("source", "medium", "name", "term", "content")


_OPTIONS = msgspec.json.Decoder(Options)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_SMALL = 8 * 1024
"""Bytes of properties up to which what they say of the context is remembered."""
MAX_LIBRARY = 200
"""Characters that are kept of what the headers say of the client."""
_NO_RAW = Raw()
_NO_PART = (b"", b"null", b"{}")
_NOTHING = Known()
_CALLS = {"$pageview": "page", "$screen": "screen"}
_NO_OPTIONS = Options()


def reader(sent_at: datetime | None, library: str) -> Callable[[bytes, list[Verdict]], EventParts]:
    """What reads the events of one request, sent at `sent_at` by the client's clock (None: not said).

    `library` is what the request's headers say of the client, "" for nothing.

    The function it gives raises RejectedError for an event that can not be understood, msgspec.DecodeError for one that
    holds a number out of range.
    """

    library = library[:MAX_LIBRARY]

    def read(raw: bytes, warnings: list[Verdict]) -> EventParts:
        sent, extra = decode(raw, warnings)
        decoded = _ANY.decode(sent.properties) if len(sent.properties) > EMPTY_OBJECT else None
        properties = decoded if type(decoded) is dict else None
        known = _NOTHING if properties is None else known_of(sent.properties, properties)
        event = _event(sent, known, sent_at, library, warnings)
        context = _context(known, library, small=len(sent.properties) <= _SMALL)
        if known.ip is not None and properties is not None:
            del properties["$ip"]
        return event, extra_of(sent, extra), properties, context, None

    return read


def _event(sent: Sent, known: Known, sent_at: datetime | None, library: str, warnings: list[Verdict]) -> Event:
    options = _options(sent.options)
    name = sent.event
    if not name:
        reject("missing_field", "event", "a PostHog event has to name its event")
    distinct = sent.distinct_id or read_id(known.distinct_id, "distinct_id", warnings)
    event = Event(
        messageId=sent.uuid or None,
        timestamp=_time(sent, sent_at),
        properties=_without_ip(sent.properties) if known.ip is not None else sent.properties,
        traits=_traits(sent, known),
    )
    if distinct == COOKIELESS or _yes(known.cookieless) or _yes(options.cookieless_mode):
        # Refused for want of an id, unless the source wants to count what has no consent.
        warnings.append(
            warning("missing_id", "distinct_id", "sent in cookieless mode, which tells nobody from anybody else")
        )
        event.type, event.event = _CALLS.get(name, "track"), name
        return event
    if not (_yes(known.ignore_sent_at) or _yes(options.disable_skew_correction)):
        event.sentAt = _instant(sent.sent_at) or sent_at
    if name == "$create_alias":
        # The alias is the id that the customer goes by from now on.
        event.type, event.userId, event.previousId = "alias", _alias(known, warnings), distinct
        if not distinct:
            _nobody(warnings)
    elif name == "$merge_dangerously":
        event.type, event.userId, event.previousId = "alias", distinct, _alias(known, warnings)
        if not distinct:
            _nobody(warnings)
    elif _is_anonymous(distinct, known, options) and name != "$identify":
        event.anonymousId = distinct
    else:
        event.userId = distinct
    if name == "$pageview":
        event.type = "page"
    elif name == "$screen":
        event.type, event.name = "screen", known.screen if isinstance(known.screen, str) else None
    elif name == "$identify":
        event.type, event.anonymousId = "identify", read_id(known.anonymous, "properties.$anon_distinct_id", warnings)
    elif name == "$set":
        event.type = "identify"
    elif name == "$groupidentify":
        if _is_no_person(distinct, known, library):
            reject(
                "missing_id", "distinct_id", "describes a group and names no customer; give it a person's distinct id"
            )
        event.type, event.traits = "group", known.group_set
        event.groupId = Raw(msgspec.json.encode(known.group_key))
    elif not event.type:
        event.type, event.event = "track", name
    return event


def _options(raw: Raw) -> Options:
    if len(raw) <= EMPTY_OBJECT:
        return _NO_OPTIONS
    try:
        return _OPTIONS.decode(raw)
    except msgspec.ValidationError:  # null or no object
        return _NO_OPTIONS


def _is_anonymous(distinct: str, known: Known, options: Options) -> bool:
    """Whether a distinct id is not yet a customer's: the first of these that is said decides.

    Browsers and apps say whether they have identified their user; servers say of an event nobody is known for that it
    makes no person; older browser libraries have the device's own id there.
    """
    if known.identified is not None:
        return not _yes(known.identified)
    profiled = options.process_person_profile if known.profiled is None else known.profiled
    if profiled is not None and not _yes(profiled):
        return True
    return isinstance(known.device, str) and known.device == distinct


def _is_no_person(distinct: str, known: Known, library: str) -> bool:
    """Whether a library made up the distinct id of a group's description: of the group, or, in Python, at random."""
    if distinct == f"${known.group_type}_{known.group_key}":
        return True
    name = known.library if isinstance(known.library, str) else library
    return name.startswith("posthog-python") and _RANDOM.fullmatch(distinct) is not None


def _time(sent: Sent, sent_at: datetime | None) -> datetime | None:
    if sent.timestamp is not None or sent.offset is None:
        return sent.timestamp
    at = _instant(sent.sent_at) or sent_at
    try:
        return None if at is None else at - timedelta(milliseconds=sent.offset)
    except (OverflowError, ValueError):
        reject("time_out_of_range", "offset", "offset leads out of the years 1-9999")


def _instant(value: Any) -> datetime | None:
    return None if value is None else times.parse(value, "sent_at")


def _context(known: Known, library: str, *, small: bool) -> Context:
    said = (
        known.url,
        known.referrer,
        known.title,
        known.utm_source,
        known.utm_medium,
        known.utm_campaign,
        known.utm_term,
        known.utm_content,
        known.user_agent,
        known.ip,
        known.library,
        known.library_version,
        known.device_type,
        known.os,
    )
    try:
        return _context_of(said, library) if small else _context_of.__wrapped__(said, library)
    except TypeError:  # a list or an object where text belongs: it stays among the properties
        return _context_of.__wrapped__(tuple([part if isinstance(part, str) else None for part in said]), library)


@lru_cache(maxsize=4096)
def _context_of(said: tuple[Any, ...], library: str) -> Context:
    # A visitor's events have it in common: one page's, often one visit's.
    texts = [part if isinstance(part, str) and part else None for part in said]
    url, referrer, title, *campaign, user_agent, ip, name, version, device, os = texts
    context = page_context(url, referrer if referrer != "$direct" else None, title)
    named = {ours: value for ours, value in zip(_UTM, campaign, strict=True) if value}
    if named:
        context["campaign"] = named
    if user_agent:
        context["userAgent"] = user_agent
    elif device:  # an app's; a server names its own system, which is nobody's device
        context["device"] = {"type": device}
        if os:
            context["os"] = {"name": os}
    if ip:
        context["ip"] = ip
    if name:
        context["library"] = {"name": name, "version": version}
    elif library:
        name, _, version = library.partition("/")
        context["library"] = {"name": name, "version": version}
    return build_context(context)


def _without_ip(properties: Raw) -> Raw:
    # It stands in the context, where addresses are looked for before anything is kept.
    fields = _FIELDS.decode(properties)
    fields.pop("$ip", None)
    return Raw(msgspec.json.encode(fields))


def _traits(sent: Sent, known: Known) -> Raw:
    """What is said about the person; what is set for good comes after what is set once, the event's own last."""
    if not (sent.set or sent.set_once or known.set or known.set_once):
        return _NO_RAW
    parts = [part for part in (known.set_once, sent.set_once, known.set, sent.set) if bytes(part) not in _NO_PART]
    if len(parts) < 2:
        return parts[0] if parts else Raw()
    merged: dict[str, Raw] = {}
    for part in parts:
        try:
            merged.update(_FIELDS.decode(part))
        except msgspec.ValidationError:
            reject("wrong_type", "$set", f"$set has to be an object, got {json_type(_ANY.decode(part))}")
    return Raw(msgspec.json.encode(merged))


def _alias(known: Known, warnings: list[Verdict]) -> str:
    alias = read_id(known.alias, "properties.alias", warnings)
    if not alias:
        for cause in warnings:
            if cause.code == "illegal_id":
                reject(cause.code, cause.field, cause.message)
        reject("missing_field", "properties.alias", "the other id of an alias has to stand in properties.alias")
    return alias


def _nobody(warnings: list[Verdict]) -> NoReturn:
    for cause in warnings:
        if cause.code == "illegal_id":
            reject(cause.code, cause.field, cause.message)
    reject("missing_id", "distinct_id", "an event needs a distinct_id")


def _yes(value: Any) -> bool:
    """A switch as PostHog reads it: `true`, and "true" or 1 in its place."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1")
    return bool(value)
