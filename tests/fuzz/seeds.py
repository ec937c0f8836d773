"""First inputs of the fuzzers: recorded requests of real libraries, and the corpus of earlier finds."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.ingest.dialects.registry import ROUTES
from throughline.journey.touchpoint import Touchpoint
from throughline.models import shipped_models, shipped_text
from throughline.wire.codec import Rejected, encode, encode_rejected

FIXTURES = Path(__file__).parents[1] / "fixtures"
CORPUS = Path(__file__).parent / "corpus"
PATHS = [f"{route.method} {route.path}" for route in ROUTES]
"""The first line of an input, for every path that accepts events."""
_FIRST_LINES = {
    "segment": "POST /v1/batch",
    "ga4": "POST /mp/collect?api_secret=k",
    "posthog": "POST /batch",
    "cloudevents": "POST /v1/cloudevents",
    "shopify": "POST /v1/shopify",
    "snowplow": "POST /com.snowplowanalytics.snowplow/tp2",
}
"""First line of the inputs from a folder of fixtures, where the fixtures have none."""

_TOPICS = {
    "cart": "carts/update",
    "checkout": "checkouts/create",
    "customer": "customers/create",
    "customer-redact": "customers/redact",
    "fulfillment": "fulfillments/create",
    "order-edited": "orders/edited",
    "refund": "refunds/create",
}
_TILLS = [
    b"POST /v1/pos?time_zone=Europe/Vienna&currency=EUR\n\nreceipt;total;sold_at;customer\n1;12,5;2026-01-31T09:30;c\n",
    b'POST /v1/pos?anonymous=receipt\n\n{"receipt":"1","total":"-2.5"}\n{"receipt":2,"kind":"void"}',
    b'POST /v1/pos\n\n{"sales":[{"receipt":1,"customer":"c","analytics_consent":"yes"}]}',
]


def seeds(target: str) -> list[bytes]:
    """The first inputs of a target, sorted."""
    return sorted({*_SEEDS[target](), *(path.read_bytes() for path in CORPUS.glob(f"{target}-*"))})


def _requests() -> Iterator[bytes]:
    for file in sorted(FIXTURES.glob("*/*.json")):
        if file.parent.name == "imports":  # files, and no requests
            continue
        first_line = _FIRST_LINES.get(file.parent.name, "POST /v1/batch")
        if file.parent.name == "shopify":
            first_line += f"\nx-shopify-topic: {_TOPICS.get(file.stem, 'orders/create')}"
        yield from _requests_in(json.loads(file.read_bytes()), first_line)
    for path in PATHS:
        yield f"{path}\n\n".encode()
    yield from _TILLS
    yield b"POST /v1/track\nx-throughline-received-at: 2026-11-23T20:00:00Z\n\n" + b'{"userId":"u","event":"E"}'


def _requests_in(value: Any, line: str) -> Iterator[bytes]:
    """The requests in a fixture: a text is a body or a target; an object may have a path, headers and a body."""
    if isinstance(value, str):
        yield f"GET {value}\n\n".encode() if value.startswith("/") else f"{line}\n\n{value}".encode()
    elif isinstance(value, list):
        for part in value:
            yield from _requests_in(part, line)
    elif isinstance(value, dict) and ("body" in value or "headers" in value):
        headers = "".join(f"{name}: {text}\n" for name, text in dict(value.get("headers") or {}).items())
        body = value.get("body", "")
        text = body if isinstance(body, str) else json.dumps(body)
        where = f"POST {value['path']}" if "path" in value else line
        yield f"{where}\n{headers}\n{text}".encode()
    elif isinstance(value, dict) and all(isinstance(part, dict) and "headers" in part for part in value.values()):
        for part in value.values():
            yield from _requests_in(part, line)
    else:
        yield f"{line}\n\n{json.dumps(value)}".encode()


def _grown() -> Iterator[bytes]:
    for request in _requests():
        head, _, body = request.partition(b"\n\n")
        spots = [match.start() for match in re.finditer(rb"[\[{,:\"]", body)][:40:4]
        for start in spots:
            for length in (1, 7):
                yield b"%s\ngrow: %d %d\n\n%s" % (head, start, start + length, body)


def _values() -> Iterator[bytes]:
    yield encode(Touchpoint(1, 0, "m", "a", "track", "n", value=1.5, warnings=("bot",)))
    yield encode_rejected(Rejected(1, 1, 1, "ingest", "code", "field", "message", b'{"ip": "1.2.3.4"}'))


def _models() -> Iterator[bytes]:
    return (shipped_text(name).encode() for name in shipped_models())


_SEEDS = {"ingest": _requests, "size": _grown, "wire": _values, "model": _models}
