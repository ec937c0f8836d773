"""The event paths in the FastAPI app's OpenAPI: they are answered in front of it, and documented in it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.ingest.dialects import pos, posthog
from services.ingest.dialects.registry import BATCH, DIALECTS, DOCUMENTED, METRICS

_EVENT = {
    "type": "track",
    "event": "Order Completed",
    "userId": "customer-42",
    "messageId": "0d6b8f0e-8b0e-4f0e-9c55-2c9d7a3f6f11",
    "timestamp": "2026-11-23T20:28:33.120Z",
    "properties": {"order_id": "A-1001", "total": 59.9, "currency": "EUR"},
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "track": {key: value for key, value in _EVENT.items() if key != "type"},
    "identify": {"userId": "customer-42", "anonymousId": "b1c0f4", "traits": {"plan": "gold"}},
    "page": {"anonymousId": "b1c0f4", "name": "Home", "properties": {"url": "https://shop.example/"}},
    "screen": {"anonymousId": "b1c0f4", "name": "Basket"},
    "group": {"userId": "customer-42", "groupId": "household-7", "traits": {"size": 3}},
    "alias": {"previousId": "b1c0f4", "userId": "customer-42"},
    BATCH: {"sentAt": "2026-11-23T20:28:34.000Z", "batch": [_EVENT]},
    METRICS: {"series": []},
}
_SUMMARIES = {
    BATCH: "Up to 2,500 events, each naming its type",
    METRICS: "Measurements of the browser library itself: answered, not kept",
}
_FAMILIES: dict[str, tuple[str, Any]] = {
    "rudder": ("RudderStack: a batch sent as the page goes away; the key in the query", {"batch": [_EVENT]}),
    "jitsu": ("Jitsu: one call; the key in X-Write-Key", _EXAMPLES["track"]),
    "snowplow": (
        "Snowplow: a payload of events; the write key is the app id",
        {
            "schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",
            "data": [{"e": "pv", "url": "https://shop.example/", "aid": "tlw_...", "duid": "b1c0f4", "tv": "py-1.1.0"}],
        },
    ),
    "ga4": (
        "GA4 Measurement Protocol: the write key is the api_secret",
        {
            "client_id": "b1c0f4",
            "events": [{"name": "purchase", "params": {"transaction_id": "A-1001", "value": 59.9}}],
        },
    ),
    "posthog": (
        "PostHog: one event, a list, or a batch; the write key is the project's api_key",
        {
            "api_key": "tlw_...",
            "batch": [{"event": "Order Completed", "distinct_id": "customer-42", "properties": {"order_id": "A-1001"}}],
        },
    ),
    "posthog_answers": ("PostHog: which feature flags are on; none, and nothing is kept", {}),
    "cloudevents": (
        "CloudEvents: binary, structured or batched",
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/shop",
            "type": "Order Completed",
            "subject": "customer-42",
            "data": {"order_id": "A-1001"},
        },
    ),
    "shopify": (
        "Shopify: one webhook, signed with the source's secret; the write key in the query as writeKey",
        {"id": 820982911946154508, "customer": {"id": 115310627314723954}, "total_price": "59.90", "currency": "EUR"},
    ),
    "pos": (
        "A till's sales: CSV with column names, JSON (an object, a list, sales) or JSON lines; a verdict for each row",
        {"sales": [{"receipt": "R-1", "sold_at": "2026-01-31T09:30:00", "customer": "ada", "total": 42.5}]},
    ),
}
"""Module that reads a dialect -> what its requests are, and an example."""
_SALES = "receipt,sold_at,customer,kind,total\nR-1,2026-01-31T09:30:00,ada,sale,42.50\n"
_OWN_ANSWERS = frozenset({posthog.V1, "/flags", "/decide", "/debug/mp/collect"})
"""Paths whose clients want an answer of another shape."""
_IN_QUERY = {
    "cloudevents": ("write_key",),
    "ga4": ("api_secret", "measurement_id"),
    "pos": ("writeKey", "time_zone", "currency", "anonymous", "decimal"),
    "rudder": ("writeKey",),
    "shopify": ("writeKey",),
}
"""Module that reads a dialect -> what it reads of the query."""
_SECURITY: list[dict[str, list[str]]] = [{"writeKey": []}, {"bearerKey": []}, {}]

_VERDICT = {
    "type": "object",
    "required": ["verdict"],
    "properties": {
        "verdict": {"enum": ["ok", "warning", "rejected", "dropped"]},
        "code": {"type": "string"},
        "field": {"type": "string"},
        "message": {"type": "string"},
    },
}
_TAKEN = {
    "type": "object",
    "required": ["success", "accepted", "rejected", "dropped", "verdicts"],
    "properties": {
        "success": {"const": True},
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "dropped": {"type": "integer"},
        "verdicts": {"type": "array", "items": {"$ref": "#/components/schemas/Verdict"}},
    },
}
_ANSWER = {"success": True, "accepted": 1, "rejected": 0, "dropped": 0, "verdicts": [{"verdict": "ok"}]}
_OBJECT = {
    "description": "What the family's own clients look for",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_PIXEL = {"description": "Acknowledged by Kafka: a pixel", "content": {"image/gif": {"schema": {"type": "string"}}}}
_PROBLEM = {
    "type": "object",
    "required": ["status", "code", "message"],
    "properties": {
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "field": {"type": "string"},
    },
}


def describe(app: FastAPI) -> None:
    """Make `/openapi.json` of `app` hold the event paths, with examples."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(Verdict=_VERDICT, Taken=_TAKEN, Problem=_PROBLEM)
            components["securitySchemes"] = {
                "writeKey": {"type": "http", "scheme": "basic", "description": "user name: the write key"},
                "bearerKey": {"type": "http", "scheme": "bearer", "description": "the write key"},
            }
            for path, call in DOCUMENTED.items():
                summary = _SUMMARIES.get(call, f"One {call} call")
                schema["paths"][path] = {"post": _operation(path, summary, _EXAMPLES[call])}
            for method, readers in DIALECTS.items():
                for path, read in readers.items():
                    family = read.__module__.rpartition(".")[2]
                    summary, example = _FAMILIES[family]
                    operation = _operation(path, summary, example)
                    operation["parameters"] = [_in_query(name) for name in _IN_QUERY.get(family, ())]
                    if read is pos.read:
                        csv = {"schema": {"type": "string"}, "example": _SALES}
                        operation["requestBody"]["content"]["text/csv"] = csv
                    if path in _OWN_ANSWERS:
                        operation["responses"]["200"] = _OBJECT
                    if method == "GET":
                        operation["operationId"] = "get" + path.replace("/", "_")
                        operation["parameters"] = [_in_query(name) for name in example["data"][0]]
                        operation["responses"]["200"] = _PIXEL
                        del operation["requestBody"]
                    schema["paths"].setdefault(path, {})[method.lower()] = operation
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # any text is a key: at worst an unknown one
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operation(path: str, summary: str, example: Any) -> dict[str, Any]:
    return {
        "tags": ["events"],
        "operationId": "post" + path.replace("/", "_"),
        "summary": summary,
        "security": _SECURITY,
        "requestBody": {
            "required": True,
            "description": "JSON of any content type, as it is or gzip; the write key may stand in it as `writeKey`",
            "content": {"application/json": {"schema": _shape(example), "example": example}},
        },
        "responses": {
            "200": {
                "description": "Acknowledged by Kafka, with a verdict for each event",
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Taken"},
                        "example": _ANSWER,
                    }
                },
            },
            "400": problem("Nobody can read the body, or it is too large", 400, "unreadable_json"),
            "401": problem("No such write key", 401, "invalid_write_key"),
            "403": problem("The source takes no events from this website", 403, "origin_not_allowed"),
            "404": problem("The key's source is disabled", 404, "source_disabled"),
            "408": problem("The body did not arrive in time", 408, "slow_body"),
            "429": problem("More events than the key may send: again after Retry-After seconds", 429, "rate_limited"),
            "503": problem("Not accepted now: send it again after Retry-After seconds", 503, "unavailable"),
        },
    }


def _shape(example: Any) -> dict[str, Any]:
    """The schema of values like an example: what else they hold is taken as well, and nothing has to be there."""
    if isinstance(example, dict):
        return {"type": "object", "properties": {name: _shape(part) for name, part in example.items()}}
    if isinstance(example, list):
        return {"type": "array", "items": _shape(example[0]) if example else {"type": "object"}}
    return {"type": "string" if isinstance(example, str) else "number"}


def _in_query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


def problem(description: str, status: int, code: str) -> dict[str, Any]:
    """An answer that says what is wrong, for an operation's `responses`."""
    example = {"type": "about:blank", "status": status, "code": code, "message": description}
    return {
        "description": description,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }
