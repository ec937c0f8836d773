"""The targets of the fuzzers, and the laws that hold for any bytes. An AssertionError, or any other error, is a bug.

`ingest` and `size` read their bytes as a request: a line `POST /path?query`, lines `name: value`, an empty line, the
body. `size` makes the body as long as allowed, by repeating the part that a line `grow: START END` names.
"""

import asyncio
import base64
import hmac
import itertools
import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from services.ingest.dialects.base import Request
from services.ingest.dialects.registry import RULES, match_route
from services.ingest.dialects.shopify.parse import SIGNATURE_HEADER
from services.ingest.event.gzip import unpack
from services.ingest.event.verdict import MAX_BODY_BYTES, Verdict
from services.ingest.http import responses
from services.ingest.http.access import OPERATOR, Access, Rates, by_source
from services.ingest.http.app import IngestApp
from services.ingest.http.keys import Keys
from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.validate import privacy
from tests.support.laws import MOST_KEPT, check_record, check_touchpoint
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.models import ModelError, define
from throughline.store.access.keys import SourceKey, SourceSettings, key_digest
from throughline.store.access.modes import ConsentMode, IpMode
from throughline.wire.claims import CLAIMS
from throughline.wire.codec import UndecodableError, decode, decode_rejected, encode, encode_rejected

T = TypeVar("T")

SECONDS = 4.0
"""Maximum time for the largest body, with its memory traced, which makes it a few times slower."""
MEMORY = 96 * 1024 * 1024
SECRET = b"secret"
OPERATOR_SECRET = "operator"
"""Every request has it, so that replays are looked at, and events without a signature."""
SETTINGS = [
    SourceSettings(ip=ip, consent=mode, webhook_secret=SECRET.decode())
    for ip, mode in itertools.product(IpMode, (ConsentMode.OFF, *ConsentMode))
]
"""The settings of one source each; the length of an input selects its source."""


class _Log(MetricsBuffer):
    """In place of Kafka and of the metrics: the touchpoints, rejected events and verdicts of the last request."""

    touchpoints: Sequence[tuple[bytes, bytes]] = ()
    refused: Sequence[bytes] = ()
    verdicts: Sequence[Verdict | None] = ()

    def put(self, touchpoints: Sequence[tuple[bytes, bytes]], rejected: Sequence[bytes], _: int) -> object:
        # What a shop asks for a person is a claim on the log, and no event.
        self.touchpoints = [(key, value) for key, value in touchpoints if decode(value).call not in CLAIMS]
        self.refused = rejected
        return object()


def _keys() -> Keys:
    async def read() -> list[SourceKey]:
        return [
            SourceKey(key_digest(f"key-{number}"), 1, 1, "web", enabled=True, settings=settings)
            for number, settings in enumerate(SETTINGS)
        ]

    keys = Keys(read, refresh_seconds=1)
    asyncio.run(keys.refresh())
    return keys


_KEYS = _keys()
_LOG = _Log()
_REST: Any = None
_BATCHER: Any = _LOG
_ACCESS = Access(_KEYS, Rates(by_source(0, 0, 1)), OPERATOR_SECRET)
_APP = IngestApp(_REST, _ACCESS, _BATCHER, _LOG, body_seconds=1)


def request_of(data: bytes) -> Request:
    """The request that any bytes are."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.decode("latin-1").partition("?")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return Request(method.decode("latin-1"), path, query, headers, body)


def ingest(data: bytes) -> None:
    """One request, from its bytes to records and an answer."""
    _attempt(request_of(data))


def _attempt(request: Request) -> None:
    try:
        take(request)
    except ServiceError as error:
        failure = error
    else:
        return
    # A request fails as a whole only by its client's fault.
    assert 400 <= failure.status < 500, failure
    assert failure.code
    assert failure.message
    responses.problem(failure)


def take(request: Request) -> None:
    """As ingest takes a request of an event path, with a key that is known.

    Raises:
        ServiceError: the request fails as a whole.
    """
    route = match_route(request.method, request.path)
    if route is None:
        return
    body = unpack(request.body)
    _KEYS.find(request.header(b"authorization"), header=True)
    signature = base64.b64encode(hmac.digest(SECRET, body, "sha256"))
    key = b"Bearer key-%d" % (len(body) % len(SETTINGS))
    headers = {**dict(request.headers), SIGNATURE_HEADER: signature, b"authorization": key}
    headers[OPERATOR] = OPERATOR_SECRET.encode()
    for name in (b"origin", b"referer", b"sec-fetch-site"):
        headers.pop(name, None)
    _LOG.touchpoints, _LOG.refused, _LOG.verdicts = (), (), ()
    accepted = _APP.accept(route, request._replace(headers=list(headers.items()), body=body), headers)
    _LOG.verdicts = accepted.verdicts
    content, answered = accepted.answer
    _check(content, dict(answered))


def _check(content: bytes, headers: dict[bytes, bytes]) -> None:
    verdicts = _LOG.verdicts
    assert len(verdicts) == len(_LOG.touchpoints) + len(_LOG.refused)
    rest_bytes = 0
    now = now_us()
    for key, value in _LOG.touchpoints:
        touchpoint = decode(value)
        check_touchpoint(touchpoint, now)
        assert touchpoint.actor.encode() == key
        rest_bytes += len(touchpoint.rest)
    assert rest_bytes <= MOST_KEPT
    for value in _LOG.refused:
        check_record(decode_rejected(value))
    assert headers[b"content-length"] == b"%d" % len(content)
    answer = json.loads(content) if headers[b"content-type"] == b"application/json" else {}
    if "verdicts" in answer:
        assert len(answer["verdicts"]) == len(verdicts)
        assert answer["accepted"] == len(_LOG.touchpoints)
        assert answer["rejected"] + answer["dropped"] == len(_LOG.refused)


def size(data: bytes) -> None:
    """One request, its body as long as allowed, in bounded time and memory."""
    request = request_of(data)
    _bounded(request._replace(body=_grown(request)))


def bounded(data: bytes) -> None:
    """One request, as `ingest`, in bounded time and memory."""
    _bounded(request_of(data))


def _bounded(request: Request) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        _attempt(request)
    finally:
        seconds = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert peak < MEMORY, f"{peak:,} bytes"


def _grown(request: Request) -> bytes:
    body = request.body
    try:
        start, end = (int(number) for number in request.header(b"grow").split())
    except ValueError:
        start, end = 0, len(body)
    part = body[start:end]
    times = max(0, MAX_BODY_BYTES - len(body)) // len(part) if part else 0
    return body[:start] + part * times + body[start:]


def wire(data: bytes) -> None:
    """One value of a Kafka record."""
    touchpoint = _decoded(decode, data)
    assert touchpoint is None or decode(encode(touchpoint)) == touchpoint
    rejected = _decoded(decode_rejected, data)
    assert rejected is None or decode_rejected(encode_rejected(rejected)) == rejected
    for mode in IpMode:
        privacy.kept_of_rejected(data, mode, RULES)


def _decoded(read: Callable[[bytes], T], data: bytes) -> T | None:
    try:
        return read(data)
    except UndecodableError:
        return None


def model(data: bytes) -> None:
    """One model file."""
    started = time.process_time()
    with suppress(ModelError):
        define(data.decode("utf-8", "replace"), "model.toml")
    assert time.process_time() - started < 3 * SECONDS


TARGETS: dict[str, Callable[[bytes], None]] = {"ingest": ingest, "size": size, "wire": wire, "model": model}
