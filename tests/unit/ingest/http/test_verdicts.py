"""What a request carries besides events: packing, paths, keys, and the document that describes them."""

import base64
import gzip
import json
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI

from services.ingest.dialects.base import Request
from services.ingest.dialects.registry import ROUTES, match_route
from services.ingest.event.event import CALLS
from services.ingest.event.gzip import unpack
from services.ingest.event.tolerant_json import defect
from services.ingest.event.verdict import MAX_BODY_BYTES
from services.ingest.http.access import Access, Rates, by_source
from services.ingest.http.app import IngestApp
from services.ingest.http.keys import Keys
from services.ingest.http.openapi import describe
from services.ingest.metrics_buffer import MetricsBuffer
from tests.support.dialect_requests import parsed
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey, key_digest

KEY = "tlw_abc-DEF_1234567890"


def test_gzip_is_seen_by_its_first_bytes() -> None:
    body = b'{"batch":[]}'
    assert unpack(body) == unpack(gzip.compress(body)) == body
    assert unpack(gzip.compress(body[:5]) + gzip.compress(body[5:])) == body


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:12] + b"\xff" * 20])
def test_damaged_gzip_is_said(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ServiceError) as failed:
        unpack(damage(gzip.compress(b"x" * 1000)))
    assert (failed.value.status, failed.value.code) == (400, "unreadable_gzip")


@pytest.mark.parametrize(
    "body",
    [
        b"x" * (MAX_BODY_BYTES + 1),
        gzip.compress(b"x" * (MAX_BODY_BYTES + 1)),
        gzip.compress(bytes(200_000_000), 9),
        gzip.compress(b"x" * MAX_BODY_BYTES) + gzip.compress(b"x"),
    ],
    ids=["plain", "packed", "bomb", "members"],
)
def test_too_large_is_a_400(body: bytes) -> None:
    with pytest.raises(ServiceError) as failed:
        unpack(body)
    assert (failed.value.status, failed.value.code) == (400, "body_too_large")


def test_the_largest_body_is_taken() -> None:
    assert len(unpack(gzip.compress(b"x" * MAX_BODY_BYTES))) == len(unpack(b"x" * MAX_BODY_BYTES)) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/track", "/v1/track"),
        ("/v1/t", "/v1/t"),
        ("/v1/i", "/v1/i"),
        ("/v1/p", "/v1/p"),
        ("/v1/s", "/v1/s"),
        ("/v1/g", "/v1/g"),
        ("/v1/a", "/v1/a"),
        ("/v1/b", "/v1/b"),
        ("/b", "/b"),
        ("/track", "/track"),
        ("/v1/import", "/v1/import"),
        ("/v1/batch/", "/v1/batch"),
        ("//v1/batch", "/v1/batch"),
        ("/v1/m", "/v1/m"),
        ("/v1/", None),
        ("/", None),
        ("/v1/trackx", None),
        ("/metrics", None),
    ],
)
def test_paths(path: str, route: str | None) -> None:
    matched = match_route("POST", path)
    assert (matched and matched.path) == route


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_a_path_names_the_call_of_its_event(prefix: str) -> None:
    for call in CALLS:
        for name in (call, call[0]):
            request = parsed(Request("POST", f"{prefix}/{name}", "", [], b'{"userId":"u"}'))
            assert (request.call, request.native) == (call, True)
    for name in ("batch", "import", "b"):
        assert parsed(Request("POST", f"{prefix}/{name}", "", [], b'{"batch":[]}')).call == ""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def known(*sources: SourceKey) -> Keys:
    async def read() -> list[SourceKey]:
        return list(sources)

    keys = Keys(read, refresh_seconds=1)
    await keys.refresh()
    return keys


def source(key: str = KEY, *, enabled: bool = True) -> SourceKey:
    return SourceKey(key_digest(key), 5, 3, "web", enabled)


@pytest.mark.parametrize(
    "header",
    [
        f"Basic {encoded(KEY + ':')}",
        f"basic {encoded(KEY)}",
        f"Basic {encoded(KEY + ':password')}",
        f"Basic {encoded(KEY + ':').rstrip('=')}",
        f"Basic {KEY}:",
        f"Bearer {KEY}",
        f"Bearer {encoded(KEY + ':')}",
        KEY,
    ],
)
async def test_keys_in_the_header(header: str) -> None:
    keys = await known(source())
    for _ in range(2):  # the second time from the cache
        assert keys.source(header.encode(), "") == source()


@pytest.mark.parametrize("text", [KEY, KEY + ":", encoded(KEY), encoded(KEY + ":"), f" {KEY} "])
async def test_keys_in_the_body(text: str) -> None:
    keys = await known(source())
    assert keys.source(None, text) == source()
    assert keys.source(b"Basic bm90aGluZzo=", text) == source()


@pytest.mark.parametrize("header", [None, b"", b"Basic", b"Basic \xff\xfe", b"Basic ====", b"Bearer tlw_other"])
async def test_unknown_keys(header: bytes | None) -> None:
    keys = await known(source())
    with pytest.raises(ServiceError) as failed:
        keys.source(header, "\ud800")
    assert (failed.value.status, failed.value.code) == (401, "invalid_write_key")


async def test_a_disabled_source_is_a_404() -> None:
    keys = await known(source(enabled=False))
    with pytest.raises(ServiceError) as failed:
        keys.source(f"Bearer {KEY}".encode(), "")
    assert (failed.value.status, failed.value.code) == (404, "source_disabled")


async def test_keys_never_read_are_a_503() -> None:
    async def read() -> list[SourceKey]:
        raise ConnectionRefusedError

    keys = Keys(read, refresh_seconds=1)
    with pytest.raises(ConnectionRefusedError):
        await keys.refresh()
    with pytest.raises(ServiceError) as failed:
        keys.source(f"Bearer {KEY}".encode(), "")
    assert (failed.value.status, failed.value.headers) == (503, {"Retry-After": "1"})


async def test_a_revoked_key_is_forgotten_and_the_known_ones_outlive_a_failure() -> None:
    answers: list[list[SourceKey] | Exception] = [[source()], ConnectionRefusedError(), []]

    async def read() -> list[SourceKey]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = Keys(read, refresh_seconds=1)
    header = f"Bearer {KEY}".encode()
    await keys.refresh()
    assert keys.source(header, "")
    with pytest.raises(ConnectionRefusedError):
        await keys.refresh()
    assert keys.source(header, "")
    await keys.refresh()
    with pytest.raises(ServiceError):
        keys.source(header, "")


def test_every_event_path_is_documented_with_an_example() -> None:
    app = FastAPI(title="t", version="1")
    describe(app)
    paths = app.openapi()["paths"]
    for route in ROUTES:
        assert match_route(route.method, route.path) is route
        if not route.documented:
            assert match_route(route.method, f"/v1{route.path}") or route.path == "/rsaMetrics"
            continue
        operation: dict[str, Any] = paths[route.path][route.method.lower()]
        assert operation["summary"]
        assert set(operation["responses"]) == {"200", "400", "401", "403", "404", "408", "429", "503"}
        if route.method == "POST":
            assert operation["requestBody"]["content"]["application/json"]["example"] == route.example


def test_a_defect_is_named_by_its_path() -> None:
    verdict = defect({"a": [{"b": "\0"}]})
    assert verdict is not None
    assert verdict.field == "a[0].b"
    assert defect({"a": [1, 2.5, None, "é"]}) is None


async def test_a_fault_of_ours_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    """With a code, for libraries that look for one; counted; and readable for browsers."""

    class Broken(MetricsBuffer):
        def put(self, *_: Any) -> None:
            raise ZeroDivisionError

    async def read() -> list[SourceKey]:
        return [SourceKey(key_digest(KEY), 1, 1, "web", enabled=True)]

    keys = Keys(read, refresh_seconds=1)
    await keys.refresh()
    broken: Any = Broken()
    app = IngestApp(FastAPI(), Access(keys, Rates(by_source(0, 0, 1))), broken, broken, body_seconds=1)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"userId":"u","event":"E"}', "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", KEY.encode()), (b"origin", b"https://shop.example")]
    scope = {"type": "http", "method": "POST", "path": "/v1/track", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 500
    assert (b"access-control-allow-origin", b"https://shop.example") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert broken._requests == {500: 1}
