"""The OpenAPI document: its schemas are made from the types of the answers, and it lists only errors that are sent."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Set
from inspect import cleandoc
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.api.shared.answers import Answer
from services.api.shared.csv_answers import accepts_csv, has_csv_path, table_response, with_list_question
from services.api.shared.responses import JSON, AnswerResponse, ConditionalResponse
from services.api.shared.tables import CSV, Table
from throughline.kit.errors import ProblemDetails, ServiceError
from throughline.kit.problems import MEDIA_TYPE

SCHEMAS = "#/components/schemas/{name}"

Described = dict[int | str, dict[str, Any]]
"""The `responses` of a FastAPI route."""


class AnswerRoute(APIRoute):
    """A route whose endpoint returns `AnswerResponse[T]` or `ConditionalResponse[T]`: OpenAPI shows T as its schema.

    An answer that has a table is sent as CSV to whoever asks for that. A parameter that stands in a request twice is
    refused, unless it is a list.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.answer = _answer_type(endpoint)
        self.table = Table(self.answer) if self.answer is not None and self.answer.TABLE else None
        if self.answer is not None:
            content: dict[str, Any] = {JSON: {"schema": {"$ref": SCHEMAS.format(name=self.answer.__name__)}}}
            if self.table is not None:
                content[CSV] = {"schema": {"type": "string"}}
            options["responses"] = {200: {"content": content}, **(options.get("responses") or {})}
            if self.table is not None and "next_cursor" in self.answer.__struct_fields__:
                endpoint = with_list_question(endpoint)
        # FastAPI would validate and encode the answer a second time, by its own means.
        super().__init__(path, endpoint, **(options | {"response_model": None}))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, with CSV, and without repeated parameters."""
        handler = super().get_route_handler()
        lists = set(_lists(self.dependant))

        async def answering(request: Request) -> Response:
            _refuse_repeated(request, lists)
            if self.table is None and has_csv_path(request):
                raise HTTPException(404)
            response = await handler(request)
            is_csv = has_csv_path(request) or accepts_csv(request.headers.get("accept", ""))
            if self.table is None or self.answer is None or not is_csv or response.status_code != 200:
                return response
            return table_response(self.table, self.answer, request, response)

        return answering


def _lists(dependant: Dependant) -> Iterator[str]:
    """The names of the query parameters that may be repeated."""
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, field in model.model_fields.items():
                if get_origin(field.annotation) is list:
                    yield field.alias or name
    for dependency in dependant.dependencies:
        yield from _lists(dependency)


def _refuse_repeated(request: Request, lists: Set[str]) -> None:
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if times > 1 and name not in lists:
            raise ServiceError(
                400, "repeated_parameter", f"{name[:100]} stands in the request {times} times; send it once", field=name
            )


def _answer_type(endpoint: Callable[..., Any]) -> type[Answer] | None:
    response = get_type_hints(endpoint).get("return")
    if get_origin(response) not in (AnswerResponse, ConditionalResponse):
        return None
    answer: type[Answer] = get_args(response)[0]
    return answer


def problem_responses(*statuses: int, not_found: str = "", conflict: str = "") -> Described:
    """For a route's `responses`: the problems that it answers with, beside 401, 403, 429 and 503.

    Args:
        statuses: 400 when the route takes parameters; 403 when it edits or administers.
        not_found: the meaning of a 404; empty when the route never answers 404.
        conflict: the meaning of a 409; empty when it is that of `statuses`.
    """
    descriptions = {
        400: "a parameter is wrong; `field` names it",
        401: "no token, or an unknown, revoked or expired one",
        403: "the token lacks the scope, or is of a shared link that does not ask this; or the workspace withholds "
        "small counts, and so this answer",
        404: not_found,
        409: conflict or "the model has to be restaged first",
        429: "too many requests a second, streams, or statements of the workspace at once; see Retry-After",
        503: "the database is away, or the service is full or stopping; see Retry-After",
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": SCHEMAS.format(name="Problem")}}}
    answered = {401, 403, 429, 503, *statuses, *([404] if not_found else []), *([409] if conflict else [])}
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
