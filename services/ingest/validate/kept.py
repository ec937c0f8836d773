"""What is kept of an event beside its columns: its context, and the members that nothing here reads. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.base import Rules
from services.ingest.enrich.context import NO_CONTEXT, Context, parse_context
from services.ingest.event.event import Event
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import Verdict, json_type, reject
from services.ingest.validate import consent, privacy
from throughline.store.access.modes import ConsentMode, IpMode

MAX_CACHED_CONTEXT = 2 * 1024
"""Maximum number of bytes of a context that is remembered beyond its request. Parsed, it may take thirty times that."""
EMPTY_LENGTH = len("null")
"""Number of characters of a member that says nothing: `null` or `{}`."""
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_EMPTY: dict[str, Any] = {}


class KeptText(Struct, frozen=True, gc=False):
    """What `KeptContext` says of a context under some settings: it is remembered for as long as the context is."""

    ip: IpMode
    consent_mode: ConsentMode
    rules: Rules
    text: str
    consent: bool | None


class KeptContext(Struct, frozen=True, gc=False):
    """An event's context: what it says, and what is kept of it."""

    context: Context
    text: str
    """The context as a member of a JSON object, "" for nothing."""
    consent: bool | None
    """Whether the context says that there is consent; None also where the source does not ask."""


NO_KEPT_CONTEXT = KeptContext(NO_CONTEXT, "", None)


def kept_of(context: Context, ip: IpMode, consent_mode: ConsentMode, rules: Rules) -> KeptContext:
    """Returns what is kept of a context under a source's settings; the context remembers it."""
    for text in context.kept_texts:
        if text.ip is ip and text.consent_mode is consent_mode and text.rules is rules:
            return KeptContext(context, text.text, text.consent)
    kept_context = _new_kept(context, ip, consent_mode, rules)
    if len(kept_context.text) <= MAX_CACHED_CONTEXT:
        context.kept_texts.append(KeptText(ip, consent_mode, rules, kept_context.text, kept_context.consent))
    return kept_context


def _new_kept(context: Context, ip: IpMode, consent_mode: ConsentMode, rules: Rules) -> KeptContext:
    raw, decoded = context.raw, context.decoded
    stored = privacy.kept_of_context(decoded, raw, ip) if "ip" in decoded else raw
    text = f'"context":{str(stored, "utf-8")}' if decoded and len(stored) > EMPTY_LENGTH else ""
    return KeptContext(
        context,
        privacy.kept_of_text(text, ip, rules) if text else "",
        None if consent_mode is ConsentMode.OFF else consent.of_context(decoded, rules.consent),
    )


def kept_of_raw(raw: bytes, ip: IpMode, consent_mode: ConsentMode, rules: Rules) -> KeptContext:
    """Returns a context as it was sent, parsed, and what is kept of it under a source's settings.

    Small ones are remembered: libraries of servers and apps send the same for ever.

    Raises:
        RejectedError: it is not an object.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    return (_cached if len(raw) <= MAX_CACHED_CONTEXT else _parsed)(raw, ip, consent_mode, rules)


def _parsed(raw: bytes, ip: IpMode, consent_mode: ConsentMode, rules: Rules) -> KeptContext:
    context = parse_context(Raw(raw), decode_object("context", Raw(raw)))
    return _new_kept(context, ip, consent_mode, rules)


_cached = lru_cache(maxsize=256)(_parsed)


def decode_object(name: str, raw: Raw) -> dict[str, Any]:
    """Returns one of the objects that an event carries; empty when it is not given, null or an empty list.

    Raises:
        RejectedError: it is not an object.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    if not raw:
        return _EMPTY
    value = _ANY.decode(raw)
    if type(value) is dict:
        return value
    if value is not None and value != []:  # an empty map of PHP is written as a list
        reject("wrong_type", name, f"{name} has to be an object, got {json_type(value)}")
    return _EMPTY


def others_of(event: Event, shared_integrations: Mapping[str, Raw], extra: str, warnings: list[Verdict]) -> str:
    """Returns what is kept of an event beside properties, traits and context, as JSON without the outer braces."""
    rest: list[str] = []
    if len(event.integrations) > EMPTY_LENGTH or shared_integrations:
        integrations = merged("integrations", event.integrations, shared_integrations)
        if len(integrations) > EMPTY_LENGTH:
            rest.append(_checked("integrations", integrations))
    if event.groupId:
        group_id = _ANY.decode(event.groupId)
        if isinstance(group_id, str | int | float):
            group_id = read_id(group_id, "groupId", warnings)
        if group_id:
            rest.append(f'"groupId":{msgspec.json.encode(group_id).decode()}')
    if event.category:
        rest.append(_checked("category", event.category))
    if event.channel:
        rest.append(_checked("channel", event.channel))
    if event.rudderId:
        rest.append(_checked("rudderId", event.rudderId))
    if event.receivedAt:
        rest.append(_checked("receivedAt", event.receivedAt))
    if event.metadata:
        rest.append(_checked("_metadata", event.metadata))
    if extra:
        rest.append(extra)
    return ",".join(rest)


def merged(name: str, raw: Raw, shared: Mapping[str, Raw]) -> Raw:
    """Returns an event's member merged over the one that its request gives for all events."""
    if not shared:
        return raw
    fields = _FIELDS.decode(raw) if decode_object(name, raw) else {}
    return Raw(msgspec.json.encode({**shared, **fields}))


def _checked(name: str, raw: Raw) -> str:
    """Returns a member of the rest that nothing here reads, once it is known that it can be decoded."""
    _ANY.decode(raw)
    return f'"{name}":{str(raw, "utf-8")}'
