"""Requests for the tests of dialects, and what became of their events."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from services.ingest.dialects.base import Opened, Request, judge
from services.ingest.validate.touchpoint import Result
from tests.support.laws import NOW as NOW
from tests.support.laws import check
from throughline.wire.codec import Touchpoint

Read = Callable[[Request], Opened]


def post(body: Any, query: str = "", path: str = "", headers: Sequence[tuple[bytes, bytes]] = ()) -> Request:
    """A POST; a body that is not bytes is sent as JSON."""
    return Request("POST", path, query, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def take(read: Read, request: Request, received_us: int = NOW) -> Result:
    return judge(read(request), workspace=3, source=5, received_us=received_us, new_id=lambda: "random")


def checked(read: Read, request: Request) -> Result:
    """The result of a request, which keeps the laws of any request; its own reply can be written, too."""
    opened = read(request)
    result = judge(opened, workspace=1, source=1, received_us=NOW, new_id=lambda: "random")
    check(result, len(opened.items))
    if opened.reply is not None:
        opened.reply(result.verdicts)
    return result


def only(result: Result) -> Touchpoint:
    """The one event that was sent, kept."""
    assert not result.refused, result.refused
    (found,) = result.touchpoints
    return found


def codes(result: Result) -> list[tuple[str, str, str] | None]:
    """Verdict, code and field of each event."""
    return [verdict and verdict[:3] for verdict in result.verdicts]


def rest(found: Touchpoint) -> Any:
    return json.loads(found.rest)
