"""What the fuzzers feed with bytes, and the laws that hold for any. An AssertionError, or any error at all, is a bug.

`ingest` and `size` read their bytes as a request: a line `POST /path?query`, lines `name: value`, an empty line, the
body. `size` makes the body as long as may be, by repeating the part of it that a line `grow: START END` names.
"""

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from services.ingest import body as bodies
from services.ingest import consent, privacy, reply
from services.ingest.dialects import dialect, segment
from services.ingest.dialects.dialect import Opened, Request
from services.ingest.dialects.envelope import open_body
from services.ingest.guards import check_signature
from services.ingest.keys import Keys
from services.ingest.paths import BATCH, METRICS, takes
from services.ingest.refusals import refusals
from services.ingest.resent import RECEIVED_AT, read_resent, received_now, require_each
from services.ingest.verdict import MAX_BODY_BYTES
from tests.laws import NOW, check
from throughline.kit.clock import MIN_US
from throughline.kit.errors import ServiceError
from throughline.models import ModelError, define
from throughline.store.keys import SourceKey, SourceSettings
from throughline.wire.codec import UndecodableError, decode, decode_rejected, encode, encode_rejected

T = TypeVar("T")

SECONDS = 4.0
"""That the largest body may take with all its memory traced, which makes it a few times slower."""
MEMORY = 96 * 1024 * 1024

_SOURCE = SourceKey(b"", 1, 1, "web", enabled=True)
_KEYS = Keys(lambda: _no_keys(), refresh_seconds=1)


async def _no_keys() -> list[Any]:
    return []


def request_of(data: bytes) -> Request:
    """Bytes as a request; there is one in any."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.decode("latin-1").partition("?")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return Request(method.decode("latin-1"), path, query, headers, body)


def ingest(data: bytes) -> None:
    """One request, all the way from its bytes to records and an answer."""
    _attempt(request_of(data))


def _attempt(request: Request) -> None:
    try:
        take(request)
    except ServiceError as error:
        failed = error
    else:
        return
    # What a reader raises fails the request: only for what its client has done.
    assert 400 <= failed.status < 500, failed
    assert failed.code
    assert failed.message
    reply.problem(failed)


def take(request: Request) -> None:
    """As `services.ingest.app` takes a request, without its key and its broker.

    Raises:
        ServiceError: the request fails as a whole.
    """
    taken = takes(request.method, request.path)
    if taken is None or taken == METRICS:
        return
    request = request._replace(body=bodies.unpack(request.body), path=request.path.rstrip("/"))
    before = read_resent(request.headers, NOW) if request.header(RECEIVED_AT) else None
    if isinstance(taken, str):
        opened: Any = open_body(request.body, "" if taken == BATCH else taken)
    else:
        opened = taken(request)
    _KEYS.find(opened.write_key)
    _KEYS.find(request.header(b"authorization"), header=True)
    reply_of = opened.reply if isinstance(opened, Opened) else None
    if reply_of is not None and not opened.items:
        reply.own(*reply_of(()))
        return
    # So that one input has one setting, and each setting many inputs.
    chance = len(request.body)
    source = _SOURCE._replace(
        settings=SourceSettings(ip=privacy.MODES[chance % 3], consent=consent.MODES[chance % 4 % 3])
    )
    if isinstance(opened, Opened) and opened.signature is not None:
        with suppress(ServiceError):
            check_signature(source, opened.signature)
    events = len(opened.items if isinstance(opened, Opened) else opened.events)
    if before is not None:
        require_each(before, events)
    judge: Any = dialect.judge if isinstance(opened, Opened) else segment.judge
    result = judge(
        opened,
        workspace=source.workspace,
        source=source.source,
        received_us=NOW if before is None else before.received_us,
        new_id=lambda: "random",
        ip=source.settings.ip,
        horizon_us=MIN_US,
        consent=source.settings.consent,
    )
    if before is not None:
        result = received_now(result, before, NOW, "random")
    records = refusals(
        result, opened, source, NOW, f"{request.method} {request.path}", before.replay_of if before else ()
    )
    check(result, events, records)
    reply.with_verdicts(result.verdicts, len(result.refused), len(result.dropped))
    if reply_of is not None:
        reply.own(*reply_of(result.verdicts))


def size(data: bytes) -> None:
    """The largest request of a kind."""
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
    """Kafka's values."""
    touchpoint = _decoded(decode, data)
    assert touchpoint is None or decode(encode(touchpoint)) == touchpoint
    rejected = _decoded(decode_rejected, data)
    assert rejected is None or decode_rejected(encode_rejected(rejected)) == rejected
    for mode in privacy.MODES:
        privacy.of_refused(data, mode)


def _decoded(read: Callable[[bytes], T], data: bytes) -> T | None:
    try:
        return read(data)
    except UndecodableError:
        return None


def model(data: bytes) -> None:
    """A model file."""
    started = time.process_time()
    with suppress(ModelError):
        define(data.decode("utf-8", "replace"), "model.toml")
    assert time.process_time() - started < 3 * SECONDS


TARGETS: dict[str, Callable[[bytes], None]] = {"ingest": ingest, "size": size, "wire": wire, "model": model}
