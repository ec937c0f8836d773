"""Parses RudderStack's beacon, and what its libraries say of consent and ask for before they send. Pure."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from services.ingest.dialects.base import ParsedRequest, Request
from services.ingest.dialects.consent import as_object, is_analytics, parse_answer
from services.ingest.dialects.segment.parse import parse_batch
from throughline.store.access.keys import SourceKey

_IUBENDA_MEASUREMENT = "4"
"""The consent platform iubenda numbers its purposes; this one is analytics."""


def parse_beacon(request: Request) -> ParsedRequest:
    """Parses a batch that the browser sends as a page goes away; the write key is the query parameter `writeKey`,
    because a beacon (`navigator.sendBeacon`) cannot set headers.

    Raises:
        ServiceError: 400, the body cannot be read.
    """
    parsed = parse_batch(request)
    keys = parse_qs(request.query).get("writeKey")
    if keys:
        parsed.write_key = keys[0]
    return parsed


def consent_answers(value: Any) -> Iterator[bool | None]:
    """Returns what `context.consentManagement` answers: it lists the allowed and the denied categories, by their ids,
    or as an object of ids and names."""
    management = as_object(value)
    is_iubenda = management.get("provider") == "iubenda"

    def has_analytics(ids: Any) -> bool:
        if isinstance(ids, dict):
            ids = [text for pair in ids.items() if parse_answer(pair[1]) is not False for text in pair]
        return isinstance(ids, list) and any(
            is_analytics(category) or (is_iubenda and category == _IUBENDA_MEASUREMENT)
            for category in ids
            if isinstance(category, str)
        )

    if has_analytics(management.get("deniedConsentIds")):
        yield False
    elif has_analytics(management.get("allowedConsentIds")):
        yield True


def settings(source: SourceKey, key: str) -> bytes:
    """Returns the settings with which the browser library sends nothing but events."""
    entry = {
        "id": str(source.source),
        "name": source.source_name,
        "writeKey": key,
        "workspaceId": str(source.workspace),
        "enabled": True,
        "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
        "destinations": [],
    }
    return msgspec.json.encode({"source": entry, "updatedAt": "1970-01-01T00:00:00.000Z"})
