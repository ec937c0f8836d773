"""Jitsu: one event of Segment's shape for each request, its call in the path, its write key in `X-Write-Key`. Pure."""

from functools import partial

from services.ingest.dialects.base import DialectSpec, ParsedRequest, Request, Route
from services.ingest.dialects.segment import EXAMPLES
from services.ingest.dialects.segment.parse import parse_call
from services.ingest.event.event import CALLS


def parse(request: Request, call: str) -> ParsedRequest:
    """Parses a request whose path names the call of its one event.

    Raises:
        ServiceError: 400, the body cannot be read.
    """
    parsed = parse_call(request, call)
    # The body has a `writeKey` too, of which the secret half is masked.
    key = request.header(b"x-write-key")
    if key:
        parsed.write_key = key
    parsed.from_server = request.path.strip("/").startswith(_SERVER_PATH)
    return parsed


_SERVER_PATH = "api/s/s2s"
_SUMMARY = "Jitsu: one call; the key in X-Write-Key"
SPEC = DialectSpec(
    name="jitsu",
    failure=lambda message: {"ok": False, "error": message},
    routes=tuple(
        Route("POST", f"{prefix}/{call}", partial(parse, call=call), _SUMMARY, EXAMPLES["track"])
        for prefix in ("/api/s", "/api/s/s2s")
        for call in CALLS
    ),
)
