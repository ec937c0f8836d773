"""The event paths in the FastAPI app's OpenAPI: `IngestApp` answers them, their routes describe them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.ingest.dialects.base import Route
from services.ingest.dialects.registry import ROUTES

_SECURITY: list[dict[str, list[str]]] = [{"writeKey": []}, {"bearerKey": []}, {}]

_VERDICT = {
    "type": "object",
    "required": ["verdict"],
    "properties": {
        "verdict": {"enum": ["ok", "warning", "rejected", "dropped"]},
        "code": {"type": "string"},
        "field": {"type": "string"},
        "message": {"type": "string"},
        "others": {"type": "array", "items": {"$ref": "#/components/schemas/Verdict"}},
    },
}
_ANSWER_SCHEMA = {
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
_ANSWER_EXAMPLE = {"success": True, "accepted": 1, "rejected": 0, "dropped": 0, "verdicts": [{"verdict": "ok"}]}
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
            components.setdefault("schemas", {}).update(Verdict=_VERDICT, Taken=_ANSWER_SCHEMA, Problem=_PROBLEM)
            components["securitySchemes"] = {
                "writeKey": {"type": "http", "scheme": "basic", "description": "user name: the write key"},
                "bearerKey": {"type": "http", "scheme": "bearer", "description": "the write key"},
            }
            for route in ROUTES:
                if route.documented:
                    schema["paths"].setdefault(route.path, {})[route.method.lower()] = _operation(route)
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # any text is a key: at worst an unknown one
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": ["events"],
        "operationId": route.method.lower() + route.path.replace("/", "_"),
        "summary": route.summary,
        "security": _SECURITY,
        "responses": {
            "200": _answer(route.answer),
            "400": problem("Nobody can read the body, or it is too large", 400, "unreadable_json"),
            "401": problem("No such write key", 401, "invalid_write_key"),
            "403": problem("The source takes no events from this website", 403, "origin_not_allowed"),
            "404": problem("The key's source is disabled", 404, "source_disabled"),
            "408": problem("The body did not arrive in time", 408, "slow_body"),
            "429": problem("More events than the key may send: again after Retry-After seconds", 429, "rate_limited"),
            "503": problem("Not accepted now: send it again after Retry-After seconds", 503, "unavailable"),
        },
    }
    if route.parameters:
        operation["parameters"] = [_query_parameter(name) for name in route.parameters]
    if route.method == "POST":
        others = {
            media_type: {"schema": {"type": "string"}, "example": example}
            for media_type, example in route.other_examples.items()
        }
        operation["requestBody"] = {
            "required": True,
            "description": "JSON of any content type, as it is or gzip; the write key may stand in it as `writeKey`",
            "content": {"application/json": {"schema": _shape(route.example), "example": route.example}, **others},
        }
    return operation


def _answer(answer: str) -> dict[str, Any]:
    if answer == "verdicts":
        content = {"schema": {"$ref": "#/components/schemas/Taken"}, "example": _ANSWER_EXAMPLE}
        return {
            "description": "Acknowledged by Kafka, with a verdict for each event",
            "content": {"application/json": content},
        }
    if answer == "object":
        return {
            "description": "What the family's own clients look for",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    return {"description": "Acknowledged by Kafka: a pixel", "content": {answer: {"schema": {"type": "string"}}}}


def _shape(example: Any) -> dict[str, Any]:
    """Returns the schema of values like an example: other members are accepted too, and none is required."""
    if isinstance(example, dict):
        return {"type": "object", "properties": {name: _shape(part) for name, part in example.items()}}
    if isinstance(example, list):
        return {"type": "array", "items": _shape(example[0]) if example else {"type": "object"}}
    return {"type": "string" if isinstance(example, str) else "number"}


def _query_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


def problem(description: str, status: int, code: str) -> dict[str, Any]:
    """Returns the description of an answer that says what is wrong, for an operation's `responses`."""
    example = {"type": "about:blank", "status": status, "code": code, "message": description}
    return {
        "description": description,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }
