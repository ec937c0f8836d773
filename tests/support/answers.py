"""Requests to the api, with what every answer has to be."""

from typing import Any

import httpx
import msgspec

from services.api.shared.answers import Answer
from throughline.kit.errors import ProblemDetails


async def ok(api: httpx.AsyncClient, path: str, answer: type[Answer] | None = None, /, **parameters: Any) -> Any:
    """The answer to a GET, which must be a 200 of this type and so as the OpenAPI document has it."""
    response = await api.get(path, params=parameters or None)
    assert response.status_code == 200, response.text
    if answer is not None:
        msgspec.json.decode(response.content, type=answer)
    return response.json()


async def refused(api: httpx.AsyncClient, status: int, code: str, path: str, **parameters: Any) -> dict[str, Any]:
    """The problem that a GET is answered with, as every error must be."""
    response = await api.get(path, params=parameters or None)
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    details = msgspec.json.decode(response.content, type=ProblemDetails)
    problem: dict[str, Any] = response.json()
    assert problem.keys() == details.keys()  # there are no others
    assert problem["message"]
    return problem
