"""The bodies and headers of answers to requests that carry events."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from starlette.types import Send

from services.ingest.dialects.base import Failure, ParsedRequest
from services.ingest.event.verdict import MAX_EVENTS, answer_of
from services.ingest.validate.request import Result
from throughline.kit.errors import ServiceError
from throughline.kit.problems import problem_response

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, bytes, Headers]
"""Status, body and headers."""
Reply = Callable[[Answer], None]
"""Sends the answer to one request."""


def respond(request: ParsedRequest, result: Result) -> tuple[bytes, Headers]:
    """Returns the answer that says what became of each event, in their order. The headers must not be changed."""
    verdicts = result.verdicts
    if request.reply is not None:
        media_type, body = request.reply(verdicts)
        return body, _headers(media_type, body)
    if verdicts.count(None) == len(verdicts):
        return _all_ok(len(verdicts))
    rejected, dropped = len(result.rejected), len(result.dropped)
    return _json(
        {
            "success": True,
            "accepted": len(verdicts) - rejected - dropped,
            "rejected": rejected,
            "dropped": dropped,
            "verdicts": [answer_of(verdict) for verdict in verdicts],
        }
    )


def problem(error: ServiceError, failure: Failure | None = None) -> tuple[bytes, Headers]:
    """Returns the answer that says why a request failed as a whole, with what the family's own clients look for."""
    response = problem_response(error, {} if failure is None else failure(error.message))
    return bytes(response.body), response.raw_headers


async def send_answer(send: Send, status: int, content: bytes, headers: Headers) -> None:
    """Send one whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@lru_cache(maxsize=MAX_EVENTS + 1)
def _all_ok(events: int) -> tuple[bytes, Headers]:
    verdicts = [answer_of(None)] * events
    return _json({"success": True, "accepted": events, "rejected": 0, "dropped": 0, "verdicts": verdicts})


def _json(value: Mapping[str, Any]) -> tuple[bytes, Headers]:
    body = msgspec.json.encode(value)
    return body, _headers(b"application/json", body)


def _headers(media_type: bytes, body: bytes) -> Headers:
    return [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
