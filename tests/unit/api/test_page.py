"""Who gets the page's token."""

import pytest
from starlette.requests import Request

from services.api.dashboard.page import is_this_machine


def asked_from(host: str, peer: str = "127.0.0.1", **headers: str) -> Request:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/page-config.json",
            "query_string": b"",
            "server": ("127.0.0.1", 8080),
            "client": (peer, 50000),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
    )


@pytest.mark.parametrize(
    "request_",
    [
        asked_from("localhost:8080"),
        asked_from("127.0.0.1"),
        asked_from("[::1]:8080", peer="::1"),
        asked_from("LOCALHOST:8080", peer="::ffff:127.0.0.1", sec_fetch_site="same-origin"),
        asked_from("localhost:8080", origin="http://localhost:8080"),
    ],
)
def test_the_page_on_this_machine_gets_the_token(request_: Request) -> None:
    assert is_this_machine(request_)


@pytest.mark.parametrize(
    "request_",
    [
        asked_from("rebound.example:8080"),
        asked_from("localhost.example"),
        asked_from("localhost@rebound.example"),
        asked_from(""),
        asked_from("localhost:8080", peer="192.0.2.7"),
        asked_from("localhost:8080", x_forwarded_for="192.0.2.7"),
        asked_from("localhost:8080", sec_fetch_site="cross-site"),
        asked_from("localhost:8080", sec_fetch_site="same-site"),
        asked_from("localhost:8080", origin="http://localhost:3000"),
    ],
)
def test_nobody_else_does(request_: Request) -> None:
    assert not is_this_machine(request_)
