"""The context of events, parsed once for all events that share it. Pure."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.enrich.attribution import (
    CONTEXT_MEMBERS,
    NO_ATTRIBUTION,
    NO_ORIGIN,
    Attribution,
    Origin,
    attribution_of,
    origin_of,
)
from services.ingest.enrich.crawlers import is_crawler, is_server

_encode = msgspec.json.Encoder().encode


class Context(Struct, frozen=True, gc=False):
    """A context as sent, and what it says of its events."""

    raw: Raw = Raw()
    """JSON; empty or `null` if there is no context."""
    decoded: dict[str, Any] = {}
    """`raw`, decoded. Must not be changed: many events share it."""
    origin: Origin = NO_ORIGIN
    attribution: Attribution = NO_ATTRIBUTION
    """Attribution of an event whose properties have no `ATTRIBUTION_PROPERTIES`."""
    bot: bool = False
    """Whether `userAgent` belongs to a crawler."""
    server: bool = False
    """Whether that crawler is a server which may report what a customer did."""
    kept_texts: list[Any] = msgspec.field(default_factory=list)
    """What validation remembers of the context: one for each way to keep it, so that there are few."""


NO_CONTEXT = Context()


def parse_context(raw: Raw, decoded: dict[str, Any]) -> Context:
    """Returns the context of `raw`, which is `decoded` as JSON."""
    if CONTEXT_MEMBERS.isdisjoint(decoded):
        return Context(raw, decoded)
    origin = origin_of(decoded)
    agent = decoded.get("userAgent")
    if not isinstance(agent, str) or not is_crawler(agent):
        return Context(raw, decoded, origin, attribution_of(origin))
    return Context(raw, decoded, origin, attribution_of(origin), bot=True, server=is_server(agent))


def with_member(context: Context, name: str, value: Any) -> Context:
    """Returns a context with one more member, which neither attribution nor the crawlers' list reads."""
    before = bytes(context.raw)[:-1] + b"," if context.decoded else b"{"
    return Context(
        Raw(before + _encode({name: value})[1:]),
        {**context.decoded, name: value},
        context.origin,
        context.attribution,
        bot=context.bot,
        server=context.server,
    )


def build_context(members: dict[str, Any]) -> Context:
    """Returns a context whose members a dialect has collected from elsewhere in its event."""
    return parse_context(Raw(msgspec.json.encode(members)), members) if members else NO_CONTEXT
