"""Answers as bytes: made once for the usual ones."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from services.ingest.event.verdict import MAX_EVENTS, Verdict
from throughline.kit.errors import ServiceError
from throughline.kit.problems import MEDIA_TYPE

Headers = list[tuple[bytes, bytes]]

_OK = {"verdict": "ok"}


@lru_cache(maxsize=MAX_EVENTS + 1)
def all_ok(events: int) -> tuple[bytes, Headers]:
    """The answer to a request whose events are all ok. The headers must not be changed."""
    return _json({"success": True, "accepted": events, "rejected": 0, "dropped": 0, "verdicts": [_OK] * events})


def with_verdicts(verdicts: Sequence[Verdict | None], rejected: int, dropped: int) -> tuple[bytes, Headers]:
    """The answer that says what became of each event, in their order."""
    return _json(
        {
            "success": True,
            "accepted": len(verdicts) - rejected - dropped,
            "rejected": rejected,
            "dropped": dropped,
            "verdicts": [_OK if verdict is None else verdict._asdict() for verdict in verdicts],
        }
    )


def own(media_type: bytes, body: bytes) -> tuple[bytes, Headers]:
    """The answer that a family of SDKs wants in its own form."""
    return body, [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]


def problem(error: ServiceError) -> tuple[bytes, Headers]:
    """The answer that says why a request failed as a whole."""
    body, headers = _json(error.problem(), MEDIA_TYPE.encode())
    headers.extend((name.encode(), value.encode()) for name, value in error.headers.items())
    return body, headers


def _json(value: Any, media_type: bytes = b"application/json") -> tuple[bytes, Headers]:
    return own(media_type, msgspec.json.encode(value))
