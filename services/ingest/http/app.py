"""The way of a request that carries events: parsed, authorized, validated, published, answered.

`IngestApp` is a plain ASGI app, because a framework's routing costs several times what an event does. All other paths
go on to the FastAPI app of `control.py`, which documents the event paths too.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import NamedTuple
from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest.dialects.base import ParsedRequest, Request, Route
from services.ingest.dialects.registry import RULES, match_route, methods_of
from services.ingest.event.verdict import Verdict
from services.ingest.http import cors
from services.ingest.http.access import Access, operator_needed
from services.ingest.http.body import incomplete_body, read_body
from services.ingest.http.history import read_timing
from services.ingest.http.replay import RECEIVED_AT, Replay, read_replay, require_each, restamp
from services.ingest.http.responses import Answer, Headers, Reply, problem, respond, send_answer
from services.ingest.http.suppressed import SuppressedIds
from services.ingest.http.turns import LARGE_BODY_BYTES, Turns
from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.batcher import Batcher, Delivery, unavailable
from services.ingest.publish.claims import claim_records
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.links import MAX_REQUEST_LINKS
from services.ingest.validate.request import LIVE, Result, Timing, validate
from services.ingest.validate.suppressed import without_suppressed
from throughline.kit.clock import MAX_US, now_us
from throughline.kit.errors import ServiceError
from throughline.kit.problems import INTERNAL_ERROR
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import encode, encode_rejected

log = logging.getLogger(__name__)

NOBODY = SourceKey(b"", 0, 0, "", enabled=False)
"""The source of a request whose events are validated only."""


MAX_KEPT_BYTES = 12 * 1024 * 1024
"""Maximum number of bytes of a request's events as Kafka gets them, before compression. No honest request has as many:
what is copied has limits of its own, see `MAX_RESTS` and `MAX_ENVELOPES_BYTES`."""


class Accepted(NamedTuple):
    """What is left of a request while Kafka writes its events."""

    answer: tuple[bytes, Headers]
    """Once they are acknowledged."""
    delivery: Delivery | None
    """None: nothing is kept."""
    verdicts: list[Verdict | None]
    source: SourceKey = NOBODY


class IngestApp:
    """The ASGI app of one worker."""

    def __init__(
        self,
        control: ASGIApp,
        access: Access,
        batcher: Batcher,
        metrics: MetricsBuffer,
        *,
        body_seconds: float,
        suppressed: SuppressedIds | None = None,
        live: Timing = LIVE,
        link_limit: int = MAX_REQUEST_LINKS,
    ) -> None:
        self._control = control
        self._access = access
        self._batcher = batcher
        self._metrics = metrics
        self._suppressed = suppressed or SuppressedIds()
        self._body_seconds = body_seconds
        self._live = live
        self._turns = Turns()
        self._link_limit = link_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (or run the application's lifespan)."""
        if scope["type"] != "http":
            await self._control(scope, receive, send)
            return
        route = match_route(scope["method"], scope["path"])
        if route is not None:
            await self._answer(route, scope, receive, send)
            return
        methods = methods_of(scope["path"])
        if not methods:
            await self._control(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send_answer(send, 200, b"", cors.preflight(scope))
        else:
            await cors.error_app(_wrong_method(methods))(scope, receive, send)

    def route_of(self, method: str, path: str) -> Route | None:
        """Returns the route that takes a request with events; None for any other request."""
        return match_route(method, path)

    def answer(self, route: Route, request: Request, reply: Reply) -> None:
        """Answer a request of a small body, not packed, by calling `reply` once: now, or when Kafka has its events."""
        _Exchange(self, route, request.path, dict(request.headers), reply).start(request)

    def abandon(self) -> None:
        """Count a request whose client hung up in the middle of its body."""
        error = incomplete_body()
        self.count_failure(error.code)
        self.count_request(error.status, 0.0)

    async def _answer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        named: dict[bytes, bytes] = dict(scope["headers"])
        exchange = _Exchange(self, route, scope["path"], named, partial(_set_answer, answered))
        try:
            body = await read_body(receive, self._body_seconds)
            if body is None:
                return
            if len(body) > LARGE_BODY_BYTES:
                async with self._turns.turn(named.get(b"authorization") or scope["query_string"]):
                    exchange.start(_request(scope, body))
            else:
                exchange.start(_request(scope, body))
            del body  # it need not be held while Kafka writes
        except Exception as error:
            exchange.fail(error)
        await send_answer(send, *await answered)

    def accept(self, route: Route, request: Request, headers: Mapping[bytes, bytes]) -> Accepted:
        """Queues the events of one request, and returns what is left of it. `headers` are the request's.

        Raises:
            ServiceError: the request fails as a whole: 400, 401, 403, 404, 429, or 503 when it can not be queued.
        """
        received_us = now_us()
        is_operator = self._access.is_operator(headers)
        replay = None
        if RECEIVED_AT in headers:
            if not is_operator:
                raise operator_needed("events are replayed with the operator's secret", "X-Throughline-Received-At")
            replay = read_replay(headers, received_us)
        timing = read_timing(headers, self._live, is_operator=is_operator)
        self._access.require_rate(headers)
        parsed = route.parse(request)
        if parsed.write_key is None:
            # No time is in the future: the answer is about the events, not about when they are tried.
            result = validate(parsed, NOBODY, RULES, received_us=MAX_US, new_id=_random_id, timing=timing)
            return Accepted(respond(parsed, result), None, [])
        source = self._access.authorize(parsed, parsed.write_key, headers, is_operator=is_operator)
        result = _validate(parsed, source, received_us, replay, timing, self._link_limit)
        suppressed = self._suppressed.of(source.workspace)
        if suppressed is not None:
            result = without_suppressed(result, source.workspace, suppressed)
        delivery = self._publish(result, parsed, source, received_us, f"{request.method} {request.path}", replay)
        return Accepted(respond(parsed, result), delivery, result.verdicts, source)

    def count_accepted(self, accepted: Accepted) -> None:
        """Count the events of a request that Kafka has acknowledged."""
        self._metrics.count_events(accepted.verdicts, accepted.source)

    def count_failure(self, code: str) -> None:
        """Count a request that fails as a whole."""
        self._metrics.count_failure(code)

    def count_request(self, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._metrics.count_request(status, seconds)

    def _publish(
        self,
        result: Result,
        parsed: ParsedRequest,
        source: SourceKey,
        received_us: int,
        target: str,
        replay: Replay | None,
    ) -> Delivery:
        touchpoints = [(touchpoint.actor.encode(), encode(touchpoint)) for touchpoint in result.touchpoints]
        if parsed.claim is not None:
            touchpoints += claim_records(parsed.claim, source.workspace, received_us)
        kept_bytes = sum([len(value) for _, value in touchpoints])
        rejected = []
        if result.rejected or result.dropped:
            replay_of = () if replay is None else replay.replay_of
            records = rejected_records(result, parsed, source, RULES, received_us, target, replay_of)
            rejected = [encode_rejected(record) for record in records]
            kept_bytes += sum(map(len, rejected))
        if kept_bytes > MAX_KEPT_BYTES:
            raise ServiceError(
                400,
                "too_large",
                f"the request's events have {kept_bytes} bytes as they are kept, {MAX_KEPT_BYTES} are allowed; send "
                "fewer at once",
            )
        delivery = self._batcher.put(touchpoints, rejected, received_us)
        self._access.charge(source, len(result.verdicts), kept_bytes)
        return delivery


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_accepted", "_app", "_headers", "_path", "_reply", "_route", "_started")

    def __init__(self, app: IngestApp, route: Route, path: str, headers: Mapping[bytes, bytes], reply: Reply) -> None:
        self._app = app
        self._route = route
        self._path = path
        self._headers = headers
        self._reply = reply
        self._started = perf_counter()
        self._accepted: Accepted | None = None

    def start(self, request: Request) -> None:
        """Takes the events, and answers when it is known what became of them. Must not hold the request meanwhile."""
        try:
            accepted = self._accepted = self._app.accept(self._route, request, self._headers)
        except Exception as error:
            self.fail(error)
            return
        if accepted.delivery is None:
            self._end(200, *accepted.answer)
        else:
            accepted.delivery.then(self._on_delivered)

    def _on_delivered(self, acknowledged: bool) -> None:
        accepted = self._accepted
        if accepted is None or not acknowledged:
            self.fail(unavailable("Kafka did not acknowledge in time"))
            return
        self._app.count_accepted(accepted)
        self._end(200, *accepted.answer)

    def fail(self, error: Exception) -> None:
        """Answers that the request failed as a whole."""
        if not isinstance(error, ServiceError):
            # A fault of ours. Its client is answered in the way that all others are, and it shows in the metrics.
            log.error("a request to %r failed", self._path, exc_info=error)
            error = INTERNAL_ERROR
        self._app.count_failure(error.code)
        self._end(error.status, *problem(error, self._route.failure))

    def _end(self, status: int, content: bytes, headers: Headers) -> None:
        origin = self._headers.get(b"origin")
        if origin is not None:
            headers = [*headers, *cors.allow(origin)]
        self._reply((status, content, headers))
        self._app.count_request(status, perf_counter() - self._started)


def _set_answer(answered: asyncio.Future[Answer], answer: Answer) -> None:
    if not answered.done():  # its client may be gone
        answered.set_result(answer)


def _validate(
    parsed: ParsedRequest,
    source: SourceKey,
    received_us: int,
    replay: Replay | None,
    timing: Timing,
    link_limit: int,
) -> Result:
    """Returns what becomes of a request's events; those that are replayed are validatedd as at their first receipt."""
    if replay is None:
        return validate(
            parsed, source, RULES, received_us=received_us, new_id=_random_id, timing=timing, link_limit=link_limit
        )
    require_each(replay, len(parsed.events))
    placeholder_id = _random_id()
    new_id = partial(str, placeholder_id) if replay.replay_of else _random_id
    result = validate(
        parsed, source, RULES, received_us=replay.received_us, new_id=new_id, timing=timing, link_limit=link_limit
    )
    return restamp(result, replay, received_us, placeholder_id)


def _request(scope: Scope, body: bytes) -> Request:
    return Request(
        scope["method"],
        scope["path"],
        scope["query_string"].decode("latin-1"),
        scope["headers"],
        body,
    )


def _random_id() -> str:
    return uuid4().hex


def _wrong_method(allowed: list[str]) -> ServiceError:
    return ServiceError(
        405,
        "method_not_allowed",
        f"events are sent here with {' or '.join(allowed)}",
        headers={"Allow": ", ".join([*allowed, "OPTIONS"])},
    )
