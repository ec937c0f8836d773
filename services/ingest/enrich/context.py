"""What surrounds an event, looked at once for all events that have the same context. Pure."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.enrich.attribution import (
    CONTEXT_HINTS,
    NO_ATTRIBUTION,
    NOWHERE_FROM,
    Attribution,
    Origin,
    attribution_of,
    origin_of,
)
from services.ingest.enrich.crawlers import is_crawler


class Context(Struct, frozen=True, gc=False):
    """A context, and what it says of its events."""

    raw: Raw = Raw()
    """As JSON; empty or `null` for none."""
    decoded: dict[str, Any] = {}
    """The same, decoded. Never changed."""
    origin: Origin = NOWHERE_FROM
    attribution: Attribution = NO_ATTRIBUTION
    """That of events whose properties say nothing of it."""
    bot: bool = False
    """The user agent is a crawler's."""


NO_CONTEXT = Context()


def parse_context(raw: Raw, read: dict[str, Any]) -> Context:
    """A context, `raw` and decoded."""
    if CONTEXT_HINTS.isdisjoint(read):
        return Context(raw, read)
    origin = origin_of(read)
    agent = read.get("userAgent")
    return Context(raw, read, origin, attribution_of(origin), isinstance(agent, str) and is_crawler(agent))


def build_context(read: dict[str, Any]) -> Context:
    """A context that a dialect has put together."""
    return parse_context(Raw(msgspec.json.encode(read)), read) if read else NO_CONTEXT
