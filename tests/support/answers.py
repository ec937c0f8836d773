"""Requests to the api, with what every answer has to be."""

from typing import Any

import httpx

from services.api import schemas


async def ok(api: httpx.AsyncClient, path: str, shape: Any = None, **parameters: Any) -> Any:
    """The answer to a GET, which must be a 200 of the shape that OpenAPI promises."""
    response = await api.get(path, params=parameters)
    assert response.status_code == 200, response.text
    body = response.json()
    if shape is not None:
        shape.model_validate(body)
    return body


async def refused(api: httpx.AsyncClient, status: int, code: str, path: str, **parameters: Any) -> dict[str, Any]:
    """The problem that a GET is answered with, as every error must be."""
    response = await api.get(path, params=parameters)
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    schemas.Problem.model_validate(response.json())
    problem: dict[str, Any] = response.json()
    assert problem["message"]
    return problem
