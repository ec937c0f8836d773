"""Segment's HTTP API, which RudderStack's and Jitsu's libraries speak too."""

from functools import partial
from typing import Any

import msgspec

from services.ingest.dialects.base import ConsentSources, DialectSpec, Route, SettingsRoute
from services.ingest.dialects.consent import category_answers
from services.ingest.dialects.segment.parse import parse_batch, parse_call, parse_import, parse_metrics
from services.ingest.event.event import CALLS
from throughline.store.access.keys import SourceKey

EVENT = {
    "type": "track",
    "event": "Order Completed",
    "userId": "customer-42",
    "messageId": "0d6b8f0e-8b0e-4f0e-9c55-2c9d7a3f6f11",
    "timestamp": "2026-11-23T20:28:33.120Z",
    "properties": {"order_id": "A-1001", "total": 59.9, "currency": "EUR"},
}
EXAMPLES = {
    "track": {name: value for name, value in EVENT.items() if name != "type"},
    "identify": {"userId": "customer-42", "anonymousId": "b1c0f4", "traits": {"plan": "gold"}},
    "page": {"anonymousId": "b1c0f4", "name": "Home", "properties": {"url": "https://shop.example/"}},
    "screen": {"anonymousId": "b1c0f4", "name": "Basket"},
    "group": {"userId": "customer-42", "groupId": "household-7", "traits": {"size": 3}},
    "alias": {"previousId": "b1c0f4", "userId": "customer-42"},
}
"""Call -> a body."""
_PATHS = ("/v1/{}", "/{}")
"""A host configured with `/v1` in its address sends without it."""


def _call_routes(call: str) -> list[Route]:
    parse = partial(parse_call, call=call)
    return [
        Route("POST", path.format(name), parse, f"One {call} call", EXAMPLES[call], documented=path.startswith("/v1"))
        for path in _PATHS
        for name in (call, call[0])
    ]


def _batch_routes(name: str) -> list[Route]:
    example = {"sentAt": "2026-11-23T20:28:34.000Z", "batch": [EVENT]}
    summary = "Up to 2,500 events, each naming its type"
    parse = parse_import if name == "import" else parse_batch
    return [
        Route("POST", path.format(name), parse, summary, example, documented=path.startswith("/v1")) for path in _PATHS
    ]


def _metrics_routes() -> list[Route]:
    summary = "Measurements of the browser library itself: answered, not kept"
    return [
        Route("POST", path, parse_metrics, summary, {"series": []}, documented=path.startswith("/v1"))
        for path in ("/v1/m", "/m", "/rsaMetrics")
    ]


def _settings(_: SourceKey, key: str) -> bytes:
    return msgspec.json.encode(
        {"integrations": {"Segment.io": {"apiKey": key}}, "plan": {}, "analyticsNextEnabled": True}
    )


def failure(_: str) -> dict[str, Any]:
    """Returns what Segment's libraries look for in the answer to a request that failed, beside its message."""
    return {"success": False}


SPEC = DialectSpec(
    name="segment",
    failure=failure,
    routes=(
        *(route for call in CALLS for route in _call_routes(call)),
        *(route for name in ("batch", "import", "b") for route in _batch_routes(name)),
        *_metrics_routes(),
    ),
    key_names=("writeKey",),
    consent=ConsentSources(context={"consent": category_answers}, properties={"consent": category_answers}),
    address_members=(
        "ip",
        "IP",
        "ip_address",
        "ipAddress",
        "client_ip",
        "clientIp",
        "user_ip",
        "userIp",
        "remote_ip",
        "source_ip",
    ),
    settings=(
        SettingsRoute("/v1/projects/{key}/settings", "What the browser library asks for first", _settings),
        SettingsRoute("/projects/{key}/settings", "What the mobile libraries ask for first", _settings),
    ),
)
