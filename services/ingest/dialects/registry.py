"""The event paths: which method and path takes what, of which family of SDKs."""

from services.ingest.dialects import cloudevents, ga4, jitsu, pos, posthog, posthog_answers, rudder, shopify, snowplow
from services.ingest.dialects.base import Dialect

BATCH = "batch"
METRICS = "metrics"
"""Measurements the browser library makes of itself: read, answered, not kept."""

CALLS = ("identify", "track", "page", "screen", "group", "alias")

DOCUMENTED = {
    **{f"/v1/{call}": call for call in CALLS},
    "/v1/batch": BATCH,
    "/v1/import": BATCH,
    **{f"/v1/{call[0]}": call for call in CALLS},
    "/v1/b": BATCH,
    "/v1/m": METRICS,
}
"""Segment's paths -> call. RudderStack's libraries use them too."""

Takes = str | Dialect
"""`BATCH`, `METRICS` or one of `CALLS` for Segment's own; else what reads the request."""

DIALECTS: dict[str, dict[str, Dialect]] = {
    "POST": {
        "/beacon/v1/batch": rudder.read,
        **{f"/api/s/{call}": jitsu.read for call in CALLS},
        **{f"/api/s/s2s/{call}": jitsu.read for call in CALLS},
        "/com.snowplowanalytics.snowplow/tp2": snowplow.read,
        "/mp/collect": ga4.read,
        "/debug/mp/collect": ga4.read,
        "/v1/cloudevents": cloudevents.read,
        "/v1/shopify": shopify.read,
        "/v1/pos": pos.read,
        # Segment's too, told apart by the body.
        "/batch": posthog.read_batch,
        **dict.fromkeys(("/e", "/capture", "/engage", "/i/v0/e", "/i/v0/ai/batch", posthog.V1), posthog.read),
        **dict.fromkeys(("/flags", "/decide"), posthog_answers.read_flags),
    },
    "GET": {
        "/i": snowplow.read,
    },
}
"""Method -> path -> reader of all other families."""

_TABLES: dict[str, dict[str, Takes]] = {
    "POST": {
        **DOCUMENTED,
        **{path.removeprefix("/v1"): call for path, call in DOCUMENTED.items()},
        "/rsaMetrics": METRICS,
        **DIALECTS["POST"],
    },
    "GET": {**DIALECTS["GET"]},
}


def takes(method: str, path: str) -> Takes | None:
    """What takes a request; None when it is no event's.

    A slash too many, in front or at the end, is what a host configured with a slash makes.
    """
    table = _TABLES.get(method)
    if table is None:
        return None
    found = table.get(path)
    if found is None and (path.endswith("/") or path.startswith("//")):
        return table.get("/" + path.strip("/"))
    return found


def methods(path: str) -> list[str]:
    """With which methods a path takes events: none when it is no event path."""
    return [method for method in _TABLES if takes(method, path) is not None]
