"""Read tokens, and who else may read."""

import httpx

from tests.support.answers import ok
from tests.support.stack import Service, Stack, until
from throughline.kit.clock import now_us
from throughline.store.access.page_sessions import create_page_code
from throughline.store.access.read_tokens import list_read_tokens, revoke_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction


async def test_tokens(api: httpx.AsyncClient, stack: Stack) -> None:
    for headers in (
        {},
        {"Authorization": "Basic x"},
        {"Authorization": "Bearer tlr_wrong"},
        {"Authorization": "Bearer"},
    ):
        del api.headers["authorization"]
        for path in ("/v1/phases", "/v1/phases/counts?limit=x", "/v1/phases/counts/stream", "/v1/journey"):
            response = await api.get(path, headers=headers)
            assert response.status_code == 401, path
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.json()["code"] in ("missing_token", "unknown_token")
        api.headers["Authorization"] = f"Bearer {stack.read_token}"
    await ok(api, "/v1/phases")
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        await revoke_read_token(connection, stack.read_token, now_us=now_us())
    await engine.dispose()

    async def is_refused() -> bool:
        return (await api.get("/v1/phases")).status_code == 401

    await until(is_refused)


async def test_other_origins_may_read_with_a_token_but_get_nothing_else(api: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://dashboard.example"}
    headers = {**origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    preflight = await api.options("/v1/phases/counts", headers=headers)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = await api.get("/v1/phases/counts", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    for path in ("/", "/metrics"):
        assert "access-control-allow-origin" not in (await api.get(path, headers=origin)).headers


async def link_code(stack: Stack) -> str:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        code = await create_page_code(connection, stack.read_token, now_us=now_us())
    await engine.dispose()
    return code.code


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_a_link_opens_one_session(stack: Stack, service: Service) -> None:
    code = await link_code(stack)
    async with httpx.AsyncClient(base_url=service.url) as browser:
        assert (await browser.get("/v1/phases")).json()["code"] == "missing_token"
        opened = await browser.post("/v1/session", headers=bearer(code))
        assert (opened.status_code, opened.content) == (204, b"")
        cookie = opened.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=strict", "Path=/v1", "Max-Age=604800"):
            assert attribute in cookie
        assert stack.read_token not in cookie
        await ok(browser, "/v1/phases")
        for headers in ({"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"}):
            assert (await browser.get("/v1/phases", headers=headers)).json()["code"] == "missing_token"
        used = await browser.post("/v1/session", headers=bearer(code))
        assert (used.status_code, used.json()["code"]) == (401, "unknown_link")
        await ok(browser, "/v1/phases")
        engine = create_engine(stack.database)
        async with transaction(engine) as connection:
            (listed,) = await list_read_tokens(connection)
            await revoke_read_token(connection, stack.read_token, now_us=now_us())
        await engine.dispose()
        assert listed.name == "dashboard"  # a session is no token of its own

        async def is_refused() -> bool:
            return (await browser.get("/v1/phases")).status_code == 401

        await until(is_refused, what="the session to end with its token")


async def test_a_token_opens_a_session_and_nothing_else_does(stack: Stack, service: Service) -> None:
    code = await link_code(stack)
    async with httpx.AsyncClient(base_url=service.url) as browser:
        for headers, refusal in (
            ({}, "missing_token"),
            ({"Authorization": f"Basic {code}"}, "missing_token"),
            ({**bearer(code), "Sec-Fetch-Site": "cross-site"}, "missing_token"),
            ({**bearer(code), "Origin": "https://elsewhere.example"}, "missing_token"),
            (bearer("tlc_wrong"), "unknown_link"),
            (bearer("tlr_wrong"), "unknown_token"),
        ):
            refused = await browser.post("/v1/session", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, refusal)
            assert "set-cookie" not in refused.headers
        opened = await browser.post("/v1/session", headers={**bearer(stack.read_token), "Origin": "https://x.example"})
        assert opened.status_code == 401
        secure = await browser.post(
            "/v1/session",
            headers={**bearer(stack.read_token), "Host": "numbers.example", "Origin": "https://numbers.example"},
        )
        assert "Secure" in secure.headers["set-cookie"]
        await browser.post("/v1/session", headers=bearer(stack.read_token))
        await ok(browser, "/v1/phases")
        preflight = await browser.options(
            "/v1/session",
            headers={
                "Origin": "https://elsewhere.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            },
        )
        assert preflight.status_code == 405
        assert not [name for name in preflight.headers if name.startswith("access-control-")]


async def test_every_answer_has_security_headers(api: httpx.AsyncClient) -> None:
    for path in ("/", "/app.js", "/v1/phases", "/v1/nowhere", "/nowhere", "/healthz", "/metrics", "/openapi.json"):
        headers = (await api.get(path)).headers
        assert headers.get_list("x-content-type-options") == ["nosniff"], path
        assert headers.get_list("referrer-policy") == ["no-referrer"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path
