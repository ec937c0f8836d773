"""A source over its limit: every family's client is told when to come back, in the form that it reads."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI

from services.ingest.dialects.base import Route
from services.ingest.dialects.registry import ROUTES, SPECS, match_route
from services.ingest.http.access import Access, Rates, by_source
from services.ingest.http.app import IngestApp
from services.ingest.http.keys import Keys
from services.ingest.metrics_buffer import MetricsBuffer
from throughline.store.access.keys import SourceKey, key_digest

KEY = "tlw_1"
READ_BY: dict[str, dict[str, Any]] = {
    "segment": {"success": False, "code": "rate_limited"},
    "rudderstack": {"success": False, "code": "rate_limited"},
    "jitsu": {"ok": False},
    "posthog": {"type": "about:blank", "code": "rate_limited", "attr": None},
}
FAMILY = {(route.method, route.path): spec.name for spec in SPECS for route in spec.routes}


class Reading:
    """Keys in a database, and how often they were read."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> list[SourceKey]:
        self.times += 1
        return [SourceKey(key_digest(KEY), 1, 1, "web", enabled=True)]


async def ask(app: IngestApp, route: Route, body: bytes, key: str) -> tuple[int, dict[bytes, bytes], Any]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", key.encode()), (b"origin", b"https://shop.example")]
    scope = {"type": "http", "method": route.method, "path": route.path, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_each_family_is_told_when_to_come_back(route: Route) -> None:
    keys = Keys(Reading(), refresh_seconds=1)
    await keys.refresh()
    rates = Rates(by_source(1, 1, 1), lambda: 0.0)
    rates.take(keys.source(KEY.encode(), ""), 30)
    nothing: Any = None
    app = IngestApp(FastAPI(), Access(keys, rates), nothing, MetricsBuffer(), body_seconds=1)
    # The body is not looked at: to be refused is cheap.
    status, headers, answer = await ask(app, route, b"not JSON", KEY)
    assert (status, headers[b"retry-after"]) == (429, b"30")
    assert headers[b"access-control-allow-origin"] == b"https://shop.example"
    assert b"Retry-After" in headers[b"access-control-expose-headers"]
    assert answer["status"] == 429
    assert answer["message"] == answer["detail"]
    assert "again in 30 seconds" in answer["message"]
    expected = READ_BY.get(FAMILY[route.method, route.path], {"code": "rate_limited"})
    assert {name: answer[name] for name in expected} == expected
    if FAMILY[route.method, route.path] == "jitsu":
        assert answer["error"] == answer["message"]


async def test_unknown_keys_ask_the_database_nothing() -> None:
    reading = Reading()
    keys = Keys(reading, refresh_seconds=1)
    await keys.refresh()
    nothing: Any = None
    app = IngestApp(FastAPI(), Access(keys, Rates(by_source(0, 0, 1))), nothing, MetricsBuffer(), body_seconds=1)
    track = match_route("POST", "/v1/track")
    assert track is not None
    for number in range(1_000):
        assert (await ask(app, track, b'{"event":"E","userId":"u"}', f"unknown-{number}"))[0] == 401
    assert reading.times == 1
    assert not keys._by_header
