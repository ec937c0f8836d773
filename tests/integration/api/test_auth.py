"""Read tokens, and who else may read."""

import httpx

from tests.support.answers import ok
from tests.support.stack import Stack, until
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import revoke_read_token
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

    await until(is_refused, seconds=5)


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
    for path in ("/page-config.json", "/", "/metrics"):
        assert "access-control-allow-origin" not in (await api.get(path, headers=origin)).headers


async def test_the_pages_token_is_for_this_machine_only(stack: Stack) -> None:
    service = await stack.start("api", PAGE_TOKEN=stack.read_token)
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.get("/page-config.json")).json() == {"token": stack.read_token}
        for headers in ({"Host": "rebound.example"}, {"X-Forwarded-For": "192.0.2.1"}, {"Origin": "http://x.example"}):
            assert (await client.get("/page-config.json", headers=headers)).json() == {"token": None}
