"""The page at `/`: static files, and the read token it may use when it is opened on the machine that serves it."""

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
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

# What a proxy adds: behind one, a loopback peer is not a browser on this machine.
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def routes(page_token: str | None) -> list[Route]:
    """The page's files and `/page-config.json`."""
    found = [_file_route(path, *file) for path, file in FILES.items()]

    async def page_config(request: Request) -> Response:
        token = page_token if page_token and is_this_machine(request) else None
        return JSONResponse({"token": token}, headers={**HEADERS, "Cache-Control": "no-store"})

    return [*found, Route("/page-config.json", page_config)]


def is_this_machine(request: Request) -> bool:
    """Whether the page itself asks, in a browser on this machine.

    The Host header must be a loopback name, so that a foreign name rebound to 127.0.0.1 gets nothing; the peer must be
    loopback, no proxy in between, and the request not another site's.
    """
    host = urlsplit("//" + request.headers.get("host", "")).hostname
    if host not in ("localhost", "127.0.0.1", "::1") or request.client is None:
        return False
    if not _is_loopback(request.client.host) or any(name in request.headers for name in FORWARDED):
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
