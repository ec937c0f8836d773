"""Cross-origin answers of the event paths: any website may send with a write key, which is no secret.

Starlette's middleware does the same for the settings of client libraries (`control.py`); it costs a multiple of what an
event does. No other path answers pages of other origins.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest.http.responses import Headers, problem, send_answer
from throughline.kit.errors import ServiceError

MAX_AGE_SECONDS = 7200
EXPOSED = "Retry-After"
METHODS = ("GET", "POST", "OPTIONS")


def header(scope: Scope, name: bytes) -> bytes | None:
    """Returns a request header by its lower-case name."""
    headers: Headers = scope["headers"]
    for key, value in headers:
        if key == name:
            return value
    return None


def allow(origin: bytes) -> Headers:
    """Returns the headers of every answer to a page of another origin."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", EXPOSED.encode()),
        (b"vary", b"Origin"),
    ]


def preflight(scope: Scope) -> Headers:
    """Returns the headers of the answer to a browser that asks before it sends."""
    answer = [
        *allow(header(scope, b"origin") or b"*"),
        (b"access-control-allow-methods", ", ".join(METHODS).encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
        (b"content-length", b"0"),
    ]
    requested = header(scope, b"access-control-request-headers")
    if requested:
        answer.append((b"access-control-allow-headers", requested))
    return answer


def error_app(error: ServiceError) -> ASGIApp:
    """Returns an app that answers every request with one error, which pages of other origins may read."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        content, headers = problem(error)
        origin = header(scope, b"origin")
        await send_answer(send, error.status, content, headers if origin is None else [*headers, *allow(origin)])

    return answer
