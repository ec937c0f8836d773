"""The page at `/`: the files below this folder. `session.py` lets it in."""

import gzip
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The kinds of files that are served; of any other nothing is."""
MODULES = b"<!-- modules -->"
"""Where `index.html` gets a link to each script, so that a browser asks for all of them at once. Of low priority: what
`early.js` asks need not wait for them."""
_COMMENTS = re.compile(rb"^ *(?://.*|/\*(?:[^*]|\*(?!/))*\*/)$", re.MULTILINE)
"""Whole lines of comments, which no browser needs: a tenth of what is sent. Lines keep their numbers."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


def routes(ingest_url: str | None = None) -> list[Route]:
    """Routes of the page's files: a list made now, so that no request names a file.

    Args:
        ingest_url: where the page may send a first event; None: nowhere.
    """
    headers = dict(HEADERS)
    if ingest_url is not None:
        policy = headers["Content-Security-Policy"]
        headers["Content-Security-Policy"] = policy.replace("connect-src 'self'", f"connect-src 'self' {ingest_url}")
    return [_file_route(path, content, media_type, headers) for path, content, media_type in files()]


def files() -> Iterator[tuple[str, bytes, str]]:
    """Yields the path of each file of the page, what it holds, and its media type."""
    scanned = sorted(path for path in FOLDER.rglob("*") if path.suffix in MEDIA_TYPES)
    paths = {f"/{path.relative_to(FOLDER).as_posix()}": path for path in scanned}
    modules = [path for path in paths if path.endswith(".js") and not path.startswith("/vendor/")]
    preloads = "".join(f'<link rel="modulepreload" href="{path}" fetchpriority="low">\n' for path in modules)
    for path, file in paths.items():
        content = file.read_bytes().replace(MODULES, preloads.encode())
        if not path.startswith("/vendor/"):
            content = _COMMENTS.sub(lambda comment: b"\n" * comment[0].count(b"\n"), content)
        yield "/" if path == "/index.html" else path, content, MEDIA_TYPES[file.suffix]


def _file_route(path: str, content: bytes, media_type: str, of_all: Mapping[str, str]) -> Route:
    packed = gzip.compress(content, mtime=0)
    digest = sha256(content).hexdigest()[:32]

    async def serve(request: Request) -> Response:
        accepted = request.headers.get("accept-encoding", "")
        is_packed = any(coding.strip().lower() in ("gzip", "gzip;q=1", "gzip;q=1.0") for coding in accepted.split(","))
        etag = f'"{digest}-gzip"' if is_packed else f'"{digest}"'
        headers = {**of_all, "ETag": etag}
        etags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if etag in etags or "*" in etags:
            return Response(status_code=304, headers=headers)
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return Response(packed if is_packed else content, media_type=media_type, headers=headers)

    return Route(path, serve)
