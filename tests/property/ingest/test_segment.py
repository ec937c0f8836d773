"""Any JSON at all: a verdict for each event, no exception, and never harm to the neighbours."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.dialects.envelope import open_body
from services.ingest.dialects.segment import judge
from services.ingest.validate.touchpoint import CALLS, Result
from tests.support.laws import NOW, check
from throughline.kit.errors import ServiceError

GOOD = {"type": "track", "event": "E", "userId": "good", "messageId": "m", "timestamp": "2026-11-23T20:00:00Z"}

TEXT = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["null", "0", "", "\0", "\ud800", "u1"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TIMES = (
    st.datetimes().map(lambda time: time.isoformat())
    | st.sampled_from(
        ["2026-11-23T20:00:00+14:00", "0000-01-01", "+123456-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
    )
    | JSON
)
FIELDS = {
    "type": st.sampled_from(sorted(CALLS)) | JSON,
    "event": TEXT | JSON,
    "name": TEXT | JSON,
    "userId": TEXT | JSON,
    "anonymousId": TEXT | JSON,
    "previousId": TEXT | JSON,
    "messageId": TEXT | JSON,
    "timestamp": TIMES,
    "originalTimestamp": TIMES,
    "sentAt": TIMES,
    "properties": st.dictionaries(
        st.sampled_from(["value", "revenue", "order_id", "sku", "quantity", "rating", "nps", "currency", "referrer"])
        | TEXT,
        JSON,
        max_size=4,
    )
    | JSON,
    "context": st.dictionaries(st.sampled_from(["campaign", "page", "library"]), JSON, max_size=2) | JSON,
    "traits": JSON,
    "integrations": JSON,
    "groupId": JSON,
    "_metadata": JSON,
    "other": JSON,
}
EVENTS = st.fixed_dictionaries({}, optional=FIELDS) | JSON
SPACES = st.sampled_from([(",", ":"), (", ", ": ")])


def take(body: bytes, call: str = "") -> Result:
    return judge(open_body(body, call), workspace=1, source=1, received_us=NOW, new_id=lambda: "random")


def attempt(body: bytes, call: str = "") -> Result | None:
    """None when the request fails as a whole, as a 400 that says why."""
    try:
        return take(body, call)
    except ServiceError as failure:
        error = failure
    assert error.status == 400
    assert error.code
    assert error.message
    return None


@given(st.lists(EVENTS, max_size=4), SPACES, st.booleans())
def test_a_verdict_for_every_event(events: list[Any], spaces: tuple[str, str], ascii_only: bool) -> None:
    text = json.dumps({"batch": events}, separators=spaces, ensure_ascii=ascii_only)
    check(take(text.encode("utf-8", "surrogatepass")), len(events))


@given(EVENTS, st.sampled_from(sorted(CALLS)))
def test_a_single_event(event: Any, call: str) -> None:
    body = json.dumps(event).encode()
    result = attempt(body, call)
    assert (result is not None) == isinstance(event, dict)
    if result is not None:
        check(result, 1)


@given(EVENTS)
def test_neighbours_survive(event: Any) -> None:
    result = take(json.dumps({"batch": [GOOD, event, GOOD]}).encode())
    assert result.verdicts[0] is result.verdicts[2] is None
    alone = take(json.dumps({"batch": [GOOD]}).encode()).touchpoints[0]
    assert result.touchpoints[0] == alone
    assert result.touchpoints[-1] == alone


@given(EVENTS, JSON, JSON, TIMES)
def test_whatever_a_batch_says_about_itself(event: Any, context: Any, integrations: Any, sent_at: Any) -> None:
    body = {"batch": [event], "context": context, "integrations": integrations, "sentAt": sent_at, "writeKey": context}
    result = attempt(json.dumps(body).encode())
    if result is not None:
        check(result, 1)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda noise: b'{"batch":[{"userId":"' + noise + b'"}]}'))
def test_any_bytes(body: bytes) -> None:
    for call in ("", "track"):
        result = attempt(body, call)
        if result is not None:
            check(result, len(result.verdicts))


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=1))
def test_properties_are_kept_as_sent(properties: dict[str, Any]) -> None:
    result = take(json.dumps({"batch": [{**GOOD, "properties": properties}]}).encode())
    for touchpoint in result.touchpoints:
        assert json.loads(touchpoint.rest)["properties"] == properties
    assert result.touchpoints or "\\u0000" in json.dumps(properties)
