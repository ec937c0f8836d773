"""Requests for the tests of dialects, and the results of their events."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from services.ingest.dialects.base import Parse, ParsedRequest, Request
from services.ingest.dialects.registry import RULES, match_route
from services.ingest.dialects.segment.parse import parse_batch, parse_call
from services.ingest.validate.request import LIVE, Result, Timing, validate
from tests.support.laws import NOW as NOW
from tests.support.laws import check
from throughline.store.access.keys import SourceKey, SourceSettings
from throughline.store.access.modes import ConsentMode, IpMode
from throughline.wire.codec import Touchpoint


def post(body: Any, query: str = "", path: str = "", headers: Sequence[tuple[bytes, bytes]] = ()) -> Request:
    """A POST; a body that is not bytes is sent as JSON."""
    return Request("POST", path, query, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def segment(body: bytes, call: str = "") -> ParsedRequest:
    """A request in Segment's format: to the path of a call, or to `/v1/batch`."""
    request = Request("POST", f"/v1/{call or 'batch'}", "", [], body)
    return parse_call(request, call) if call else parse_batch(request)


def parsed(request: Request) -> ParsedRequest:
    """The request as the dialect of its path parses it."""
    route = match_route(request.method, request.path)
    assert route is not None
    return route.parse(request)


def source(
    ip: str = "shorten",
    consent: str = "off",
    retention_cutoff_us: int | None = None,
    *,
    fold_case: bool = False,
    order_scope: str = "",
    no_visit_hosts: tuple[str, ...] = (),
    suspects: frozenset[str] = frozenset(),
    drop: tuple[str, ...] = (),
    hashed: tuple[str, ...] = (),
    strip_queries: tuple[str, ...] = (),
) -> SourceKey:
    settings = SourceSettings(
        ip=IpMode(ip),
        consent=ConsentMode(consent),
        fold_case=fold_case,
        order_scope=order_scope,
        no_visit_hosts=no_visit_hosts,
        drop_fields=drop,
        hash_fields=hashed,
        strip_queries=strip_queries,
    )
    return SourceKey(b"", 5, 3, "web", True, settings, retention_cutoff_us, suspects=suspects, hash_key=b"secret")


def validated(
    request: ParsedRequest,
    received_us: int = NOW,
    new_id: Callable[[], str] = lambda: "random",
    timing: Timing = LIVE,
    **settings: Any,
) -> Result:
    """The result of a request; `settings` are those of `source`."""
    return validate(request, source(**settings), RULES, received_us=received_us, new_id=new_id, timing=timing)


def batch(*events: Any, received_us: int = NOW, settings: Any = None, **shared: Any) -> Result:
    """The result of a batch in Segment's format."""
    body = json.dumps({"batch": events, **shared}).encode()
    return validated(segment(body), received_us, **(settings or {}))


def take(parse: Parse, request: Request, received_us: int = NOW) -> Result:
    return validated(parse(request), received_us)


def checked(parse: Parse, request: Request) -> Result:
    """The result of a request, which keeps the laws of any request; its own reply can be written, too."""
    parsed_request = parse(request)
    result = validated(parsed_request)
    check(result, len(parsed_request.events))
    if parsed_request.reply is not None:
        parsed_request.reply(result.verdicts)
    return result


def payloads(result: Result) -> list[bytes]:
    """The stored payloads of the rejected events."""
    return [event.payload for event in result.rejected]


def only(result: Result) -> Touchpoint:
    """The only event of the request, which must be accepted."""
    assert not result.rejected, result.rejected
    (touchpoint,) = result.touchpoints
    return touchpoint


def codes(result: Result) -> list[tuple[str, str, str] | None]:
    """(status, code, field) of each event."""
    return [verdict and verdict[:3] for verdict in result.verdicts]


def rest(touchpoint: Touchpoint) -> Any:
    """The rest of a touchpoint, decoded."""
    return json.loads(touchpoint.rest)
