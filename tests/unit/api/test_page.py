"""Whose requests the page's session counts in, and that the page's scripts fit together."""

import re

import pytest
from starlette.requests import Request

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


def test_what_a_script_imports_its_neighbour_exports() -> None:
    scripts = {path.name: path.read_text() for path in FOLDER.glob("*.js")}
    imports = [
        (name, neighbour, imported.strip())
        for name, text in scripts.items()
        for names, neighbour in re.findall(r'import \{([^}]*)\} from "\./([\w.]+)"', text)
        for imported in names.split(",")
    ]
    assert len(imports) > 10
    for name, neighbour, imported in imports:
        exported = rf"^export (async )?(function|class|const|let) {imported}\b"
        assert re.search(exported, scripts[neighbour], re.MULTILINE), f"{name}: {neighbour} exports no {imported}"
