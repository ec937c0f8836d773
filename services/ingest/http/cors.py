"""Cross-origin answers: any website may send events with its write key, which is no secret."""

from collections.abc import Iterable
from typing import Any

Headers = list[tuple[bytes, bytes]]

MAX_AGE_SECONDS = 7200


def header(scope: Any, wanted: bytes) -> bytes | None:
    """A request header by its lower-case name."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == wanted:
            return value
    return None


def allow(origin: bytes) -> Headers:
    """What every answer to another origin carries."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"Retry-After"),
        (b"vary", b"Origin"),
    ]


def preflight(scope: Any) -> Headers:
    """The answer to a browser that asks before it sends."""
    answer = [
        *allow(header(scope, b"origin") or b"*"),
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
        (b"content-length", b"0"),
    ]
    wanted = header(scope, b"access-control-request-headers")
    if wanted:
        answer.append((b"access-control-allow-headers", wanted))
    return answer


def allowing(send: Any, origin: bytes) -> Any:
    """`send`, with what another origin needs added to the answer's headers."""

    async def send_allowing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *allow(origin)]}
        await send(message)

    return send_allowing
