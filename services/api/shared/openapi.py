"""The OpenAPI document: its schemas are made from the types of the answers, and it lists only errors that are sent."""

from collections.abc import Callable, Iterable
from inspect import cleandoc
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from services.api.shared.answers import Answer
from services.api.shared.responses import JSON, AnswerResponse, ConditionalResponse
from throughline.kit.errors import ProblemDetails
from throughline.kit.problems import MEDIA_TYPE

SCHEMAS = "#/components/schemas/{name}"

Described = dict[int | str, dict[str, Any]]
"""The `responses` of a FastAPI route."""


class AnswerRoute(APIRoute):
    """A route whose endpoint returns `AnswerResponse[T]` or `ConditionalResponse[T]`: OpenAPI shows T as its schema."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.answer = _answer_type(endpoint)
        if self.answer is not None:
            content = {JSON: {"schema": {"$ref": SCHEMAS.format(name=self.answer.__name__)}}}
            options["responses"] = {200: {"content": content}, **(options.get("responses") or {})}
        # FastAPI would validate and encode the answer a second time, by its own means.
        super().__init__(path, endpoint, **(options | {"response_model": None}))


def _answer_type(endpoint: Callable[..., Any]) -> type[Answer] | None:
    response = get_type_hints(endpoint).get("return")
    if get_origin(response) not in (AnswerResponse, ConditionalResponse):
        return None
    answer: type[Answer] = get_args(response)[0]
    return answer


def problem_responses(*statuses: int, not_found: str = "") -> Described:
    """For a route's `responses`: the problems that it answers with, beside 401, 429 and 503.

    Args:
        statuses: 400 when the route takes parameters; 403 when it administers.
        not_found: the meaning of a 404; empty when the route never answers 404.
    """
    descriptions = {
        400: "a parameter is wrong; `field` names it",
        401: "no token, or an unknown, revoked or expired one",
        403: "the token lacks the scope admin, or the workspace withholds small counts, and so this answer",
        404: not_found,
        409: "the model has to be restaged first",
        429: "too many requests a second, streams, or statements of the workspace at once; see Retry-After",
        503: "the database is away, or the service is full or stopping; see Retry-After",
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": SCHEMAS.format(name="Problem")}}}
    answered = {401, 429, 503, *statuses, *([404] if not_found else [])}
    return {status: {"description": descriptions[status], "content": content} for status in sorted(answered)}


def describe_answers(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Complete the app's OpenAPI document with the schemas of the routers' answers and of problems.

    The 422 that FastAPI adds to every route is removed: a wrong parameter is a 400 here.
    """
    answers = {route.answer for router in routers for route in router.routes if isinstance(route, AnswerRoute)} - {None}
    _, components = msgspec.json.schema_components((*answers, ProblemDetails), ref_template=SCHEMAS)
    components["Problem"] = components.pop(ProblemDetails.__name__) | {"title": "Problem"}
    for schema in components.values():
        schema["description"] = cleandoc(schema["description"])
        schema["additionalProperties"] = False  # even where a decoder would be lenient
    document = app.openapi()
    bodies = {name: schema for name, schema in document["components"]["schemas"].items() if name.endswith("Body")}
    components |= bodies
    document["components"]["schemas"] = dict(sorted(components.items()))
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
