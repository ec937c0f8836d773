"""Translates one event of PostHog's libraries into `Event`. Pure."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import ParsedEvent, SentBody, SentEvent
from services.ingest.dialects.posthog.wire import (
    EMPTY_OBJECT,
    NO_RAW_PROPERTIES,
    Options,
    RawProperties,
    UsualBatch,
    WireEvent,
    add_extra_members,
    decode_event,
    raw_properties,
    require_name,
)
from services.ingest.dialects.split import READ_ERRORS
from services.ingest.dialects.web import page_context
from services.ingest.enrich.address import CAMPAIGN_MEMBERS
from services.ingest.enrich.context import NO_CONTEXT, Context, build_context
from services.ingest.event import times
from services.ingest.event.event import NO_RAW, Event
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import Verdict, json_type, reject, warning

COOKIELESS_ID = "$posthog_cookieless"
"""Distinct id that posthog-js gives everybody in cookieless mode."""
MAX_LIBRARY = 200
"""Maximum number of characters kept of what the headers say of the client."""

_RANDOM_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_OPTIONS = msgspec.json.Decoder(Options)
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_MAX_CACHED = 8 * 1024
"""Maximum size of properties whose context is cached: longer ones could fill the memory."""
_EMPTY_JSON = (b"", b"null", b"{}", b"[]")
_NO_OPTIONS = Options()
IDENTIFY = "$identify"
"""Name of the event that describes a person."""
CONTEXT_PROPERTIES = (
    "$current_url",
    "$referrer",
    "title",
    *CAMPAIGN_MEMBERS,
    "$raw_user_agent",
    "$ip",
    "$lib",
    "$lib_version",
    "$device_type",
    "$os_name",
)
"""The properties that make an event's context."""
_CALLS = {"$pageview": "page", "$screen": "screen"}
"""Event -> call, of events that are no track call."""


class EventReader:
    """Reads the events of one request."""

    def __init__(self, sent_at: datetime | None, library: str, name: str = "") -> None:
        """`sent_at` is when the client sent the request, by its own clock; `library` is what the request's headers say
        of the client, "" for nothing; `name` is the name of all its events, "" when each has its own."""
        self._sent_at = sent_at
        self._library = library[:MAX_LIBRARY]
        self._name = name
        self._context_values: tuple[Any, ...] = ()
        """Those of the last event: the events of a page have the same."""
        self._context = NO_CONTEXT
        """The context that was made of them."""

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
        """Returns one event.

        Raises:
            RejectedError: the event cannot be understood.
            msgspec.DecodeError: a number is out of range.
        """
        sent, extra = decode_event(raw, warnings)
        return self.read(sent, extra, raw, warnings)

    def read_all(self, batch: UsualBatch, body: SentBody) -> list[ParsedEvent] | None:
        """Returns the events of a batch; None if one of them cannot be read, which `__call__` says why."""
        try:
            return [self.read(sent, "", SentEvent(body, place), []) for place, sent in enumerate(batch.events)]
        except READ_ERRORS:
            return None

    def read(self, sent: WireEvent, extra: str, raw: bytes | SentEvent, warnings: list[Verdict]) -> ParsedEvent:
        """Returns one event that is decoded; `raw` is the event as it was sent, `extra` the members that `sent` does
        not have.

        Raises:
            RejectedError: the event cannot be understood.
            msgspec.DecodeError: a number is out of range.
        """
        if self._name:
            sent.event = self._name
        decoded = _ANY.decode(sent.properties) if len(sent.properties) > EMPTY_OBJECT else None
        if type(decoded) is dict:
            properties, raws = decoded, raw_properties(sent.properties, decoded)
        else:
            properties, raws = {}, NO_RAW_PROPERTIES
        event = _event(sent, properties, raws, self._sent_at, self._library, warnings)
        values = tuple(map(properties.get, CONTEXT_PROPERTIES))
        if values != self._context_values:
            self._context = _context(values, self._library, is_cached=len(sent.properties) <= _MAX_CACHED)
            self._context_values = values
        if properties.get("$ip") is not None:
            del properties["$ip"]
        return ParsedEvent(
            raw, event, None, warnings, add_extra_members(sent, extra), properties or None, self._context
        )


def _event(
    sent: WireEvent,
    properties: dict[str, Any],
    raws: RawProperties,
    sent_at: datetime | None,
    library: str,
    warnings: list[Verdict],
) -> Event:
    get = properties.get
    options = _options(sent.options) if sent.options else _NO_OPTIONS
    name = require_name(sent.event)
    distinct_id = sent.distinct_id or read_id(get("distinct_id"), "distinct_id", warnings)
    event = Event(
        messageId=sent.uuid or None,
        timestamp=sent.timestamp if sent.offset is None else _time(sent, sent_at),
        properties=sent.properties if get("$ip") is None else _without_ip(sent.properties),
        traits=_traits(sent, raws),
    )
    cookieless = get("$cookieless_mode")
    if (
        distinct_id == COOKIELESS_ID
        or (cookieless is not None and _is_on(cookieless))
        or (options.cookieless_mode is not None and _is_on(options.cookieless_mode))
    ):
        # Without an id the event is rejected, or counted if its source counts events without consent.
        warnings.append(
            warning("missing_id", "distinct_id", "sent in cookieless mode, which tells nobody from anybody else")
        )
        event.type, event.event = _CALLS.get(name, "track"), name
        return event
    ignores_sent_at = get("$ignore_sent_at")
    if not (
        (ignores_sent_at is not None and _is_on(ignores_sent_at))
        or (options.disable_skew_correction is not None and _is_on(options.disable_skew_correction))
    ):
        event.sentAt = sent_at if sent.sent_at is None else _instant(sent.sent_at) or sent_at
    if name == "$create_alias":
        # From this event on the customer has the alias as distinct id.
        event.type, event.userId, event.previousId = "alias", _alias(get("alias"), warnings), distinct_id
        if not distinct_id:
            _reject_without_id(warnings)
    elif name == "$merge_dangerously":
        event.type, event.userId, event.previousId = "alias", distinct_id, _alias(get("alias"), warnings)
        if not distinct_id:
            _reject_without_id(warnings)
    elif _is_anonymous(distinct_id, properties, options) and name != IDENTIFY:
        event.anonymousId = distinct_id
    else:
        event.userId = distinct_id
    if name == "$pageview":
        event.type = "page"
    elif name == "$screen":
        screen_name = get("$screen_name")
        event.type, event.name = "screen", screen_name if isinstance(screen_name, str) else None
    elif name == IDENTIFY:
        event.type = "identify"
        event.anonymousId = read_id(get("$anon_distinct_id"), "properties.$anon_distinct_id", warnings)
    elif name == "$set":
        event.type = "identify"
    elif name == "$groupidentify":
        if _is_made_up(distinct_id, properties, library):
            reject(
                "missing_id", "distinct_id", "describes a group and names no customer; give it a person's distinct id"
            )
        event.type, event.traits = "group", raws.group_set
        event.groupId = Raw(msgspec.json.encode(get("$group_key")))
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


def _is_anonymous(distinct_id: str, properties: dict[str, Any], options: Options) -> bool:
    """Returns whether a distinct id does not name a customer yet, by the first of these properties that is there.

    Browsers and apps send `$is_identified`. Servers send `$process_person_profile`, false for an event of nobody they
    know. Older browser libraries have the device's own id as the distinct id.
    """
    get = properties.get
    is_identified = get("$is_identified")
    if is_identified is not None:
        return not _is_on(is_identified)
    has_profile = get("$process_person_profile")
    if has_profile is None:
        has_profile = options.process_person_profile
    if has_profile is not None and not _is_on(has_profile):
        return True
    device_id = get("$device_id")
    return isinstance(device_id, str) and device_id == distinct_id


def _is_made_up(distinct_id: str, properties: dict[str, Any], library: str) -> bool:
    """Returns whether a library made up the distinct id of a group: of the group's name, or in Python at random."""
    if distinct_id == f"${properties.get('$group_type')}_{properties.get('$group_key')}":
        return True
    sent_library = properties.get("$lib")
    name = sent_library if isinstance(sent_library, str) else library
    return name.startswith("posthog-python") and _RANDOM_UUID.fullmatch(distinct_id) is not None


def _time(sent: WireEvent, sent_at: datetime | None) -> datetime | None:
    if sent.timestamp is not None or sent.offset is None:
        return sent.timestamp
    at = _instant(sent.sent_at) or sent_at
    try:
        return None if at is None else at - timedelta(milliseconds=sent.offset)
    except (OverflowError, ValueError):
        reject("time_out_of_range", "offset", "offset leads out of the years 1-9999")


def _instant(value: Any) -> datetime | None:
    return None if value is None else times.parse(value, "sent_at")


def _context(values: tuple[Any, ...], library: str, *, is_cached: bool) -> Context:
    """Returns the context that the values of `CONTEXT_PROPERTIES` make."""
    try:
        return _cached_context(values, library) if is_cached else _cached_context.__wrapped__(values, library)
    except TypeError:  # a list or an object where text belongs: it stays among the properties
        texts = tuple([value if isinstance(value, str) else None for value in values])
        return _cached_context.__wrapped__(texts, library)


@lru_cache(maxsize=4096)
def _cached_context(values: tuple[Any, ...], library: str) -> Context:
    # Cached, because the events of a page, and often those of a visit, have the same context.
    texts = [value if isinstance(value, str) and value else None for value in values]
    url, referrer, title, *utm_values, user_agent, ip, library_name, version, device_type, os = texts
    context = page_context(url, referrer if referrer != "$direct" else None, title)
    campaign = {name: text for name, text in zip(CAMPAIGN_MEMBERS.values(), utm_values, strict=True) if text}
    if campaign:
        context["campaign"] = campaign
    if user_agent:
        context["userAgent"] = user_agent
    elif device_type:  # sent by an app; without it, `$os_name` is that of a server
        context["device"] = {"type": device_type}
        if os:
            context["os"] = {"name": os}
    if ip:
        context["ip"] = ip
    if library_name:
        context["library"] = {"name": library_name, "version": version}
    elif library:
        name, _, version = library.partition("/")
        context["library"] = {"name": name, "version": version}
    return build_context(context)


def _without_ip(properties: Raw) -> Raw:
    # The address is a member of the context, where privacy shortens it.
    members = _MEMBERS.decode(properties)
    members.pop("$ip", None)
    return Raw(msgspec.json.encode(members))


def _traits(sent: WireEvent, raws: RawProperties) -> Raw:
    """Returns the person's traits: `$set` counts before `$set_once`, a member of the event before a property."""
    if raws is NO_RAW_PROPERTIES and not (sent.set or sent.set_once):
        return NO_RAW
    parts = [part for part in (raws.set_once, sent.set_once, raws.set, sent.set) if bytes(part) not in _EMPTY_JSON]
    if len(parts) < 2:
        return parts[0] if parts else NO_RAW
    merged: dict[str, Raw] = {}
    for part in parts:
        try:
            merged.update(_MEMBERS.decode(part))
        except msgspec.ValidationError:
            reject("wrong_type", "$set", f"$set has to be an object, got {json_type(_ANY.decode(part))}")
    return Raw(msgspec.json.encode(merged))


def _alias(sent: Any, warnings: list[Verdict]) -> str:
    alias = read_id(sent, "properties.alias", warnings)
    if not alias:
        _reject_illegal_id(warnings)
        reject("missing_field", "properties.alias", "the other id of an alias has to stand in properties.alias")
    return alias


def _reject_without_id(warnings: list[Verdict]) -> NoReturn:
    _reject_illegal_id(warnings)
    reject("missing_id", "distinct_id", "an event needs a distinct_id")


def _reject_illegal_id(warnings: list[Verdict]) -> None:
    """Rejects the event if an id was left out for being a placeholder, with that as the reason."""
    for cause in warnings:
        if cause.code == "illegal_id":
            reject(cause.code, cause.field, cause.message)


def _is_on(value: Any) -> bool:
    """Returns a switch as PostHog reads it: `true`, "true" and 1 are on."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1")
    return bool(value)
