"""A request's way: bytes, events, verdicts, Kafka, answer.

`Front` is a plain ASGI class that answers the event paths itself, because a framework's routing costs several times
what an event does. Everything else goes on to the FastAPI app (`rest.py`), which also describes the event paths.
"""

import logging
from functools import partial
from time import perf_counter
from typing import Any
from uuid import uuid4

from services.ingest.dialects import base, segment
from services.ingest.dialects.base import Opened, Reply, Request
from services.ingest.dialects.envelope import Body, open_body
from services.ingest.dialects.registry import BATCH, METRICS, Takes, methods, takes
from services.ingest.http import cors, responses
from services.ingest.http.access import Rates, check_origin, check_signature
from services.ingest.http.body import read_body
from services.ingest.http.keys import Keys
from services.ingest.http.replay import RECEIVED_AT, read_resent, received_now, require_each
from services.ingest.metrics_buffer import MetricsBuffer
from services.ingest.publish.batcher import Batcher, unavailable
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.touchpoint import Result
from throughline.kit.clock import MIN_US, now_us
from throughline.kit.errors import ServiceError
from throughline.kit.problems import INTERNAL_ERROR
from throughline.wire.codec import encode, encode_rejected

log = logging.getLogger(__name__)


class Front:
    """The ASGI app of one worker."""

    def __init__(
        self, rest: Any, keys: Keys, batcher: Batcher, metrics: MetricsBuffer, rates: Rates, *, body_seconds: float
    ) -> None:
        self._rest = rest
        self._keys = keys
        self._batcher = batcher
        self._metrics = metrics
        self._rates = rates
        self._body_seconds = body_seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request (or the application's lifespan)."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        method = scope["method"]
        taken = takes(method, scope["path"])
        if taken is not None:
            await self._events(taken, scope, receive, send)
            return
        origin = cors.header(scope, b"origin")
        allowed = methods(scope["path"])
        if method == "OPTIONS" and (allowed or origin is not None):
            await _answer(send, 200, b"", cors.preflight(scope))
            return
        if origin is not None:
            send = cors.allowing(send, origin)
        if allowed:
            means = " or ".join(allowed)
            error = ServiceError(
                405,
                "method_not_allowed",
                f"events are sent here with {means}",
                headers={"Allow": ", ".join([*allowed, "OPTIONS"])},
            )
            await _answer(send, 405, *responses.problem(error))
            return
        await self._rest(scope, receive, send)

    async def _events(self, taken: Takes, scope: Any, receive: Any, send: Any) -> None:
        started = perf_counter()
        authorization = origin = None
        resent = False
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"origin":
                origin = value
            elif name == RECEIVED_AT:
                resent = True
        status = 200
        try:
            body = await read_body(receive, self._body_seconds)
            if body is None:
                return
            content, headers = await self._take(taken, scope, authorization, origin, body, resent)
        except ServiceError as error:
            status = error.status
            self._metrics.count_failure(error.code)
            content, headers = responses.problem(error)
        except Exception:
            # A fault of ours. Its client is answered in the way that all others are, and it shows in the metrics.
            log.exception("a request to %r failed", scope["path"])
            status = INTERNAL_ERROR.status
            self._metrics.count_failure(INTERNAL_ERROR.code)
            content, headers = responses.problem(INTERNAL_ERROR)
        if origin is not None:
            headers = [*headers, *cors.allow(origin)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        self._metrics.count_request(status, perf_counter() - started)

    async def _take(
        self, taken: Takes, scope: Any, authorization: bytes | None, origin: bytes | None, body: bytes, resent: bool
    ) -> tuple[bytes, responses.Headers]:
        """Take the events of one body.

        Raises:
            ServiceError: the request fails as a whole: 400, 401, 403, 404, 429, or 503 when they are not
                acknowledged in time.
        """
        received_us = now_us()
        before = read_resent(scope["headers"], received_us) if resent else None
        own_reply: Reply | None = None
        if isinstance(taken, str):
            if taken == METRICS:
                return responses.all_ok(0)
            opened: Body | Opened = open_body(body, "" if taken == BATCH else taken)
        else:
            opened = taken(_request(scope, body))
        if isinstance(opened, Opened):
            own_reply = opened.reply
            if own_reply is not None and not opened.items:
                return responses.own(*own_reply(()))
        source = self._keys.source(authorization, opened.write_key)
        if isinstance(opened, Opened) and opened.signature is not None:
            check_signature(source, opened.signature)
        check_origin(source, origin)
        events = len(opened.events if isinstance(opened, Body) else opened.items)
        self._rates.take(source, events)
        if before is not None:
            require_each(before, events)
        no_id = _random_id() if before is not None and before.replay_of else ""
        judge: Any = segment.judge if isinstance(opened, Body) else base.judge
        found = judge(
            opened,
            workspace=source.workspace,
            source=source.source,
            received_us=received_us if before is None else before.received_us,
            new_id=partial(str, no_id) if no_id else _random_id,
            ip=source.settings.ip,
            retention_cutoff_us=MIN_US if source.retention_cutoff_us is None else source.retention_cutoff_us,
            consent=source.settings.consent,
        )
        if before is not None:
            found = received_now(found, before, received_us, no_id)
        touchpoints = [(touchpoint.actor.encode(), encode(touchpoint)) for touchpoint in found.touchpoints]
        refused = []
        if found.refused or found.dropped:
            request = f"{scope['method']} {scope['path']}"
            replay_of = () if before is None else before.replay_of
            records = rejected_records(found, opened, source, received_us, request, replay_of)
            refused = [encode_rejected(record) for record in records]
        delivery = self._batcher.put(touchpoints, refused, received_us)
        if not await delivery.acknowledged:
            raise unavailable("Kafka did not acknowledge in time")
        answer = self._settle(found)
        return answer if own_reply is None else responses.own(*own_reply(found.verdicts))

    def _settle(self, found: Result) -> tuple[bytes, responses.Headers]:
        verdicts = found.verdicts
        self._metrics.count_events(verdicts)
        if verdicts.count(None) == len(verdicts):
            return responses.all_ok(len(verdicts))
        return responses.with_verdicts(verdicts, len(found.refused), len(found.dropped))


def _request(scope: Any, body: bytes) -> Request:
    return Request(
        scope["method"],
        scope["path"].rstrip("/"),
        scope["query_string"].decode("latin-1"),
        scope["headers"],
        body,
    )


def _random_id() -> str:
    return uuid4().hex


async def _answer(send: Any, status: int, content: bytes, headers: responses.Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
