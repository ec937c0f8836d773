"""The api's failed requests as problem details (RFC 9457): those of every service, and wrong parameters."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from throughline.kit.errors import ServiceError
from throughline.kit.problems import install_problem_handlers, problem_response


def install(app: FastAPI) -> None:
    """Answer every exception of the app with problem details."""
    install_problem_handlers(app)
    app.add_exception_handler(RequestValidationError, _answer_wrong_parameter)


async def _answer_wrong_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    field = next(str(place) for place in reversed(fault["loc"]) if isinstance(place, str))
    if fault["type"] == "missing":
        return problem_response(ServiceError(400, "missing_parameter", f"{field} is needed", field=field))
    if fault["type"] == "extra_forbidden":
        return problem_response(
            ServiceError(400, "unknown_parameter", f"{field} is not a parameter here; leave it out", field=field)
        )
    reason = str(fault["msg"])
    message = f"{field}: {reason[:1].lower()}{reason[1:]}, got {str(fault['input'])[:100]!r}"
    return problem_response(ServiceError(400, "invalid_parameter", message, field=field))
