"""The api's failed requests as problem details (RFC 9457): those of every service, and wrong parameters."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from throughline.kit.errors import ServiceError
from throughline.kit.problems import install_problem_handlers, problem_response


def install(app: FastAPI) -> None:
    """Answer every exception of the app with problem details."""
    install_problem_handlers(app)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)


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
