"""HTTP answers to requests that fail: problem details (RFC 9457), the same in every service.

Receives exceptions of a Starlette or FastAPI application, gives responses of type `application/problem+json`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from throughline.kit.errors import ServiceError

MEDIA_TYPE = "application/problem+json"
INTERNAL_ERROR = ServiceError(500, "internal_error", "the service failed; see its log")
"""The answer to a fault of ours: it says nothing about the inside."""


def problem_response(error: ServiceError, members: Mapping[str, Any] | None = None) -> Response:
    """The answer to one request, with further members if there are any. Caches do not keep it."""
    return Response(
        msgspec.json.encode({**(members or {}), **error.problem()}),
        status_code=error.status,
        headers={"Cache-Control": "no-store", **error.headers},
        media_type=MEDIA_TYPE,
    )


def install_problem_handlers(app: Starlette) -> None:
    """Answer every exception of `app` with problem details: ServiceError, HTTPException (no such route or method, say),
    and any other as `INTERNAL_ERROR`."""
    app.add_exception_handler(ServiceError, _answer_service_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(Exception, _answer_fault)


async def _answer_service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return problem_response(error)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        message = f"nothing is at {request.url.path}; /openapi.json lists what is"
        return problem_response(ServiceError(404, "not_found", message, headers=headers))
    if error.status_code == 405:
        methods = sorted({*headers.get("Allow", "").replace(" ", "").split(",")} - {"", "HEAD"})
        message = f"{request.method} is not allowed here; use {' or '.join(methods) or 'another method'}"
        return problem_response(ServiceError(405, "method_not_allowed", message, headers=headers))
    return problem_response(ServiceError(error.status_code, "http_error", error.detail, headers=headers))


async def _answer_fault(_: Request, error: Exception) -> Response:
    # Starlette raises the exception again after the answer, so that the server logs it with its traceback.
    return problem_response(INTERNAL_ERROR)
