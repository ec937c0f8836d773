"""RudderStack: its events and paths are Segment's, but for the browser library's beacon. Pure.

`/beacon/v1/batch?writeKey=` is what `navigator.sendBeacon` posts when a page goes away: it can not set headers, so the
write key stands in the query.
"""

from urllib.parse import parse_qs

from services.ingest.dialects.base import Request
from services.ingest.dialects.envelope import Body, open_body


def read(request: Request) -> Body:
    """The events of one beacon.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    body = open_body(request.body, "")
    keys = parse_qs(request.query).get("writeKey")
    if keys:
        body.write_key = keys[0]
    return body
