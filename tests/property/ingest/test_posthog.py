"""Any request to PostHog's paths: a verdict for each event, or a 400; never harm to the neighbours."""

import base64
import json
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import Request
from services.ingest.dialects.posthog.parse import RESULTS_PATH, parse_batch, parse_capture
from services.ingest.validate.request import Result
from tests.strategies.posthog import GOOD_POSTHOG, POSTHOG_EVENTS
from tests.strategies.values import JSON, TEXT, TIMES
from tests.support.dialect_requests import validated
from tests.support.laws import attempt, check

T = TypeVar("T")


def take(body: bytes, path: str = RESULTS_PATH, query: str = "", sent: bytes = b"") -> Result | None:
    request = Request("POST", path, query, [(b"posthog-request-timestamp", sent)] if sent else [], body)
    opened = attempt(parse_capture, request)
    if opened is None:
        return None
    result = validated(opened)
    check(result, len(opened.events))
    if opened.reply is not None:
        assert set(json.loads(opened.reply(result.verdicts)[1])) == {"results"}
    return result


@given(st.lists(POSTHOG_EVENTS, max_size=4), st.booleans())
def test_a_verdict_for_every_event(events: list[Any], form: bool) -> None:
    for value in (events, {"batch": events}):
        body = json.dumps(value).encode()
        result = take(b"data=" + base64.urlsafe_b64encode(body) if form else body)
        assert result is not None
        assert len(result.verdicts) == len(events)


@given(POSTHOG_EVENTS)
def test_neighbours_survive(event: Any) -> None:
    result = take(json.dumps({"batch": [GOOD_POSTHOG, event, GOOD_POSTHOG]}).encode())
    alone = take(json.dumps(GOOD_POSTHOG).encode())
    assert result is not None
    assert alone is not None
    assert result.verdicts[0] is result.verdicts[2] is None
    (good,) = alone.touchpoints
    assert [result.touchpoints[0], result.touchpoints[-1]] == [good, good._replace(place=2)]


@given(POSTHOG_EVENTS, TIMES, JSON, TEXT, st.binary(max_size=30).filter(bool))
def test_whatever_a_request_says_about_itself(event: Any, sent_at: Any, other: Any, query: str, sent: bytes) -> None:
    head = {"sent_at": sent_at, "api_key": other, "token": other, "historical_migration": other, "more": other}
    take(json.dumps({**head, "batch": [event]}).encode(), "/batch", f"_={query}&sent_at={query}", sent)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(body: bytes) -> None:
    for sent in (body, b"data=" + body, b"data=" + base64.b64encode(body), b'{"batch":[' + body + b"]}"):
        take(sent, "/e", "compression=base64")
        attempt(parse_batch, Request("POST", "/batch", "", [], sent))
