"""Jitsu: one event of Segment's shape for each request, its call in the path, its write key in `X-Write-Key`. Pure."""

from services.ingest.dialects.base import Request
from services.ingest.dialects.envelope import Body, open_body


def read(request: Request) -> Body:
    """The event of one request.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    body = open_body(request.body, request.path.rpartition("/")[2])
    # The body has a `writeKey` too, its secret half masked.
    key = request.header(b"x-write-key")
    if key:
        body.write_key = key
    return body
