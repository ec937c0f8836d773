"""Whose requests the page's session counts in, how its files are served, and that its scripts fit together."""

import gzip
import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from services.api.dashboard import page
from services.api.dashboard.page import FOLDER
from services.api.dashboard.session import session_of


def asked_from(host: str, cookie: str = "throughline_8080=tls_1", **headers: str) -> Request:
    named = {"host": host, "cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request({"type": "http", "headers": [(name.encode(), value.encode()) for name, value in named.items()]})


@pytest.mark.parametrize(
    "request_",
    [
        asked_from("localhost:8080"),
        asked_from("[::1]:8080"),
        asked_from("localhost:8080", sec_fetch_site="same-origin"),
        asked_from("localhost:8080", origin="http://localhost:8080"),
        asked_from("numbers.example", "a=b; throughline=tls_1", origin="https://numbers.example"),
        asked_from("[::1]", "throughline=tls_1"),
    ],
)
def test_the_page_has_its_session(request_: Request) -> None:
    assert session_of(request_) == "tls_1"


@pytest.mark.parametrize(
    "request_",
    [
        asked_from("localhost:8080", "throughline_8081=tls_1"),
        asked_from("localhost:8080", "throughline=tls_1"),
        asked_from("localhost:8080", sec_fetch_site="cross-site"),
        asked_from("localhost:8080", sec_fetch_site="same-site"),
        asked_from("localhost:8080", origin="http://localhost:3000"),
        asked_from("localhost:8080", origin="http://localhost"),
        asked_from("localhost:8080", origin="null"),
        asked_from("localhost:8080", origin="http://["),
    ],
)
def test_nobody_else_has(request_: Request) -> None:
    assert session_of(request_) is None


SCRIPTS = {path: path.read_text() for path in FOLDER.rglob("*.js") if "vendor" not in path.parts}


def test_what_a_script_imports_its_neighbour_exports() -> None:
    imports = [
        (path, (path.parent / neighbour).resolve(), imported.strip())
        for path, text in SCRIPTS.items()
        for names, neighbour in re.findall(r'import \{([^}]*)\} from "(\.[\w./-]+)"', text)
        for imported in names.split(",")
    ]
    assert len(imports) > 30
    for path, neighbour, imported in imports:
        name, _, alias = imported.partition(" as ")
        exported = rf"^export (async )?(function|class|const|let) {name}\b"
        assert re.search(exported, SCRIPTS[neighbour], re.MULTILINE), f"{path}: {neighbour} exports no {name}"
        uses = len(re.findall(rf"(?<![\w$]){alias or name}(?![\w$])", SCRIPTS[path]))
        assert uses > 1, f"{path} does not use {imported}"


@pytest.fixture
def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=page.routes())), base_url="http://page")


async def test_files_are_served_packed_and_only_when_they_have_changed(client: httpx.AsyncClient) -> None:
    packed = await client.get("/shell/app.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = await client.get("/shell/app.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    written = (FOLDER / "shell" / "app.js").read_text().splitlines()
    # Only comments are left out, and lines keep their numbers.
    for sent, line in zip(plain.text.splitlines(), written, strict=True):
        assert sent == line or (not sent and line.lstrip().startswith(("//", "/*", "*")))
    assert packed.headers["etag"] != plain.headers["etag"]
    for etag in (packed.headers["etag"], f'"other", W/{packed.headers["etag"]}', "*"):
        again = await client.get("/shell/app.js", headers={"Accept-Encoding": "gzip", "If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert "default-src 'none'" in again.headers["content-security-policy"]
    assert (await client.get("/shell/app.js", headers={"If-None-Match": '"older"'})).status_code == 200


@pytest.mark.parametrize(
    "path", ["/page.py", "/shell/../page.py", "/shell/%2e%2e/page.py", "/index.html", "/shell", "/__init__.py"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_every_script_is_asked_for_at_once(client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    for path in SCRIPTS:
        assert f'<link rel="modulepreload" href="/{path.relative_to(FOLDER).as_posix()}"' in text


def test_the_page_is_small() -> None:
    packed = sum(len(gzip.compress(content)) for _, content, _ in page.files())
    assert packed <= 120_000, f"{packed:,} bytes"
