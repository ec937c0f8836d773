"""The paths beside the event paths: settings for each dialect's libraries, readable for any website."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.ingest.dialects.base import SettingsRoute
from services.ingest.dialects.registry import SPECS
from services.ingest.http.control import create_control
from services.ingest.http.keys import Keys
from throughline.store.access.keys import SourceKey, key_digest

KEY = "tlw_1"
ORIGIN = {"Origin": "https://shop.example"}
ROUTES = [route for spec in SPECS for route in spec.settings]


async def read() -> list[SourceKey]:
    return [
        SourceKey(key_digest(KEY), 5, 3, "web", enabled=True),
        SourceKey(key_digest("off"), 6, 3, "old", enabled=False),
    ]


def control(keys: Keys) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_control(keys, {}, CollectorRegistry, lifespan)


def client(keys: Keys) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=control(keys)), base_url="http://ingest")


def address(route: SettingsRoute, key: str) -> str:
    return f"{route.path}?{route.parameter}={key}" if route.parameter else route.path.replace("{key}", key)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_settings_are_given_to_those_who_have_a_key_from_any_website(route: SettingsRoute) -> None:
    keys = Keys(read, refresh_seconds=1)
    async with client(keys) as http:
        early = await http.get(address(route, KEY), headers=ORIGIN)
        assert (early.status_code, early.json()["code"], early.headers["Retry-After"]) == (503, "keys_unavailable", "1")
        await keys.refresh()
        answer = await http.get(address(route, KEY), headers=ORIGIN)
        assert answer.status_code == 200
        assert answer.content == route.reply((await read())[0], KEY)
        assert answer.headers["content-type"].startswith(route.media_type)
        assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "access-control-allow-origin" not in (await http.get(address(route, KEY))).headers
        for unknown in ("tlw_2", "off"):
            refused = await http.get(address(route, unknown), headers=ORIGIN)
            assert (refused.status_code, refused.json()["code"]) == (404, "unknown_write_key")
            assert refused.headers["access-control-allow-origin"] == ORIGIN["Origin"]


async def test_a_browser_may_ask_first() -> None:
    asking = {**ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "anonymousid, x-one"}
    async with client(Keys(read, refresh_seconds=1)) as http:
        answer = await http.options("/sourceConfig/", headers=asking)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert answer.headers["access-control-allow-headers"] == "anonymousid, x-one"
    assert answer.headers["access-control-max-age"] == "7200"


async def test_settings_are_documented() -> None:
    async with client(Keys(read, refresh_seconds=1)) as http:
        paths = json.loads((await http.get("/openapi.json")).content)["paths"]
    for route in ROUTES:
        assert (route.path in paths) == route.documented
        if route.documented:
            operation = paths[route.path]["get"]
            assert operation["summary"] == route.summary
            assert [parameter["name"] for parameter in operation["parameters"]] == [route.parameter or "key"]
            assert set(operation["responses"]) == {"200", "404", "503"}


async def test_pages_of_other_origins_read_nothing_but_settings() -> None:
    keys = Keys(read, refresh_seconds=1)
    await keys.refresh()
    async with client(keys) as http:
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/nothing"):
            answer = await http.get(path, headers=ORIGIN)
            preflight = await http.options(path, headers={**ORIGIN, "Access-Control-Request-Method": "GET"})
            for each in (answer, preflight):
                assert not [name for name in each.headers if name.startswith("access-control")], path


async def test_the_documentation_loads_nothing_from_elsewhere() -> None:
    async with client(Keys(read, refresh_seconds=1)) as http:
        answer = await http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    page = answer.text
    assert not re.search(r"<(script|link|img|iframe|object)|\bsrc=|@import|url\(", page)
    assert re.findall(r'href="([^"]*)"', page) == ["/openapi.json"]
    for spec in SPECS:
        for route in spec.routes:
            assert not route.documented or f"{route.method} {escape(route.path)}</code>" in page


async def test_an_app_id_is_no_key_of_settings() -> None:
    async def app_ids() -> list[SourceKey]:
        return [SourceKey(key_digest("shop-web"), 5, 3, "web", enabled=True, is_app_id=True)]

    keys = Keys(app_ids, refresh_seconds=1)
    await keys.refresh()
    async with client(keys) as http:
        assert (await http.get("/v1/projects/shop-web/settings")).status_code == 404
