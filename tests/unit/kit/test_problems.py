"""Every exception of an application becomes problem details, and a fault says nothing about the inside."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from throughline.kit.errors import ServiceError
from throughline.kit.problems import install_problem_handlers


async def busy(_: Request) -> Response:
    raise ServiceError(503, "unavailable", "come back", field="body", headers={"Retry-After": "1"})


async def teapot(_: Request) -> Response:
    raise HTTPException(418, "a teapot", headers={"X-Pot": "tea"})


async def broken(_: Request) -> Response:
    raise ZeroDivisionError("a secret")


async def get(path: str, method: str = "GET") -> httpx.Response:
    app = Starlette(
        routes=[
            Route("/busy", busy),
            Route("/teapot", teapot),
            Route("/broken", broken),
            Route("/order", broken, methods=["POST", "PATCH"]),
        ]
    )
    install_problem_handlers(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.request(method, path)


async def test_a_service_error_is_answered_with_its_fields_and_headers() -> None:
    answer = await get("/busy")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unavailable",
        "status": 503,
        "code": "unavailable",
        "message": "come back",
        "detail": "come back",
        "field": "body",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/nowhere", 404, "not_found", "nothing is at /nowhere; /openapi.json lists what is"),
        ("PUT", "/busy", 405, "method_not_allowed", "PUT is not allowed here; use GET"),
        ("GET", "/order", 405, "method_not_allowed", "GET is not allowed here; use PATCH or POST"),
        ("GET", "/teapot", 418, "http_error", "a teapot"),
        ("GET", "/broken", 500, "internal_error", "the service failed; see its log"),
    ],
)
async def test_other_exceptions_have_a_code_each(method: str, path: str, status: int, code: str, message: str) -> None:
    answer = await get(path, method)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"], problem["message"]) == (
        status,
        status,
        code,
        message,
    )
    assert "secret" not in answer.text
