"""The page at `/`: its files, and the read token that it may use in a browser on the machine that serves it."""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parent

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/api.js": ("api.js", "text/javascript; charset=utf-8"),
    "/detail.js": ("detail.js", "text/javascript; charset=utf-8"),
    "/events.js": ("events.js", "text/javascript; charset=utf-8"),
    "/dom.js": ("dom.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that a proxy adds. Behind a proxy, a loopback peer is not a browser on this machine."""


def routes(page_token: str | None) -> list[Route]:
    """Routes of the page's files, and of `/page-config.json`, which has `page_token` for a browser on this machine."""

    async def page_config(request: Request) -> Response:
        token = page_token if page_token and is_this_machine(request) else None
        return JSONResponse({"token": token}, headers={**HEADERS, "Cache-Control": "no-store"})

    return [*(_file_route(path, *file) for path, file in FILES.items()), Route("/page-config.json", page_config)]


def is_this_machine(request: Request) -> bool:
    """Whether the request comes from the page itself, in a browser on this machine.

    The Host header must be a loopback name, so that a foreign name that resolves to 127.0.0.1 gets nothing. The peer
    must be a loopback address, without a proxy in between, and the request must not come from another site.
    """
    host = urlsplit("//" + request.headers.get("host", "")).hostname
    if host not in ("localhost", "127.0.0.1", "::1") or request.client is None:
        return False
    if not _is_loopback(request.client.host) or any(name in request.headers for name in PROXY_HEADERS):
        return False
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or origin == f"{request.url.scheme}://{request.headers['host']}"


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _file_route(path: str, name: str, media_type: str) -> Route:
    content = (FOLDER / name).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={**HEADERS, "Cache-Control": "no-cache"})

    return Route(path, serve)
