"""RudderStack: its events and paths are Segment's, but for the browser library's beacon. Pure.

`/beacon/v1/batch?writeKey=` is what `navigator.sendBeacon` posts when a page goes away: it can not set headers, so that
the write key stands in the query.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from services.ingest.dialects import segment
from services.ingest.dialects.base import ConsentSources, DialectSpec, ParsedRequest, Request, Route, SettingsRoute
from services.ingest.dialects.consent import as_object, is_analytics, parse_answer
from services.ingest.dialects.segment.parse import parse_batch
from throughline.store.access.keys import SourceKey

_IUBENDA_MEASUREMENT = "4"
"""Purpose that iubenda, a consent platform, numbers so."""


def parse(request: Request) -> ParsedRequest:
    """Parses one beacon.

    Raises:
        ServiceError: 400, the body can not be read.
    """
    parsed = parse_batch(request)
    keys = parse_qs(request.query).get("writeKey")
    if keys:
        parsed.write_key = keys[0]
    return parsed


def consent_answers(value: Any) -> Iterator[bool | None]:
    """Returns the answers of the two lists of category ids (or objects, of ids and names) in `consentManagement`."""
    management = as_object(value)
    iubenda = management.get("provider") == "iubenda"

    def has_analytics(ids: Any) -> bool:
        if isinstance(ids, dict):
            ids = [text for pair in ids.items() if parse_answer(pair[1]) is not False for text in pair]
        return isinstance(ids, list) and any(
            is_analytics(category) or (iubenda and category == _IUBENDA_MEASUREMENT)
            for category in ids
            if isinstance(category, str)
        )

    if has_analytics(management.get("deniedConsentIds")):
        yield False
    elif has_analytics(management.get("allowedConsentIds")):
        yield True


def _settings(source: SourceKey, key: str) -> bytes:
    settings = {
        "id": str(source.source),
        "name": source.source_name,
        "writeKey": key,
        "workspaceId": str(source.workspace),
        "enabled": True,
        "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
        "destinations": [],
    }
    return msgspec.json.encode({"source": settings, "updatedAt": "1970-01-01T00:00:00.000Z"})


SPEC = DialectSpec(
    name="rudderstack",
    routes=(
        Route(
            "POST",
            "/beacon/v1/batch",
            parse,
            "RudderStack: a batch sent as the page goes away; the key in the query",
            {"batch": [segment.EVENT]},
            parameters=("writeKey",),
        ),
    ),
    consent=ConsentSources(context={"consentManagement": consent_answers}),
    settings=(
        SettingsRoute(
            "/sourceConfig/",
            "What RudderStack's browser library asks for first",
            _settings,
            parameter="writeKey",
        ),
        SettingsRoute("/sourceConfig", "The same", _settings, parameter="writeKey", documented=False),
    ),
)
