"""Every error as problem details (RFC 9457) with a stable `code`."""

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from throughline.kit.errors import ServiceError

_CODES = {404: "not_found", 405: "method_not_allowed"}


def problem_response(error: ServiceError) -> Response:
    """The answer that tells a client about an error."""
    return Response(
        msgspec.json.encode(error.problem()),
        status_code=error.status,
        headers={"Cache-Control": "no-store", **error.headers},
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Answer every error of the app with problem details; an unforeseen one says nothing about the inside."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return problem_response(error)


async def _invalid_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    field = str(first["loc"][-1])
    if first["type"] == "missing":
        return problem_response(ServiceError(400, "missing_parameter", f"{field} is needed", field=field))
    if first["type"] == "extra_forbidden":
        return problem_response(
            ServiceError(400, "unknown_parameter", f"{field} is not a parameter here; leave it out", field=field)
        )
    sentence = str(first["msg"])
    message = f"{field}: {sentence[:1].lower()}{sentence[1:]}, got {str(first['input'])[:100]!r}"
    return problem_response(ServiceError(400, "invalid_parameter", message, field=field))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    message = error.detail
    if error.status_code == 404:
        message = f"nothing is at {request.url.path}; /openapi.json lists what is"
    elif error.status_code == 405:
        message = f"{request.method} is not allowed here; use GET"
    return problem_response(ServiceError(error.status_code, code, message, headers=dict(error.headers or {})))


async def _unforeseen(_: Request, error: Exception) -> Response:
    # Starlette raises it again after the answer, so that the server logs it with its traceback.
    return problem_response(ServiceError(500, "internal", "something went wrong here; the log has the reason"))
