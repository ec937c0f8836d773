"""Any JSON at all: a verdict for each event, no exception, and never harm to the neighbours."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.dialects.registry import RULES
from services.ingest.event.event import CALLS
from services.ingest.validate.request import Result
from tests.strategies.segment import GOOD_SEGMENT, SEGMENT_EVENTS
from tests.strategies.values import JSON, TIMES
from tests.support.dialect_requests import segment, validated
from tests.support.laws import attempt, check

SPACES = st.sampled_from([(",", ":"), (", ", ": ")])


def take(body: bytes, call: str = "") -> Result:
    return validated(segment(body, call))


@given(st.lists(SEGMENT_EVENTS, max_size=4), SPACES, st.booleans())
def test_a_verdict_for_every_event(events: list[Any], spaces: tuple[str, str], ascii_only: bool) -> None:
    text = json.dumps({"batch": events}, separators=spaces, ensure_ascii=ascii_only)
    check(take(text.encode("utf-8", "surrogatepass")), len(events))


@given(SEGMENT_EVENTS, st.sampled_from(sorted(CALLS)))
def test_a_single_event(event: Any, call: str) -> None:
    body = json.dumps(event).encode()
    result = attempt(take, body, call)
    assert (result is not None) == isinstance(event, dict)
    if result is not None:
        check(result, 1)


@given(SEGMENT_EVENTS)
def test_neighbours_survive(event: Any) -> None:
    result = take(json.dumps({"batch": [GOOD_SEGMENT, event, GOOD_SEGMENT]}).encode())
    assert result.verdicts[0] is result.verdicts[2] is None
    alone = take(json.dumps({"batch": [GOOD_SEGMENT]}).encode()).touchpoints[0]
    assert result.touchpoints[0] == alone
    assert result.touchpoints[-1] == alone._replace(place=2)


@given(SEGMENT_EVENTS, JSON, JSON, TIMES)
def test_whatever_a_batch_says_about_itself(event: Any, context: Any, integrations: Any, sent_at: Any) -> None:
    body = {"batch": [event], "context": context, "integrations": integrations, "sentAt": sent_at, "writeKey": context}
    result = attempt(take, json.dumps(body).encode())
    if result is not None:
        check(result, 1)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda noise: b'{"batch":[{"userId":"' + noise + b'"}]}'))
def test_any_bytes(body: bytes) -> None:
    for call in ("", "track"):
        result = attempt(take, body, call)
        if result is not None:
            check(result, len(result.verdicts))


@given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda name: name not in RULES.address_members),
        st.integers() | st.text(max_size=5).filter(lambda text: "=" not in text),
        min_size=1,
    )
)
def test_properties_are_kept_as_sent_but_for_a_mark_in_place_of_nul(properties: dict[str, Any]) -> None:
    sent = json.dumps(properties)
    body = json.dumps({"batch": [{**GOOD_SEGMENT, "properties": properties}]}).encode()
    result = validated(segment(body), ip="keep")  # or of a property named "ip" less is kept
    (touchpoint,) = result.touchpoints
    mended = json.loads(sent.replace("\\\\", "\\u005c").replace("\\u0000", "\\ufffd"))
    assert json.loads(touchpoint.rest)["properties"] == mended
    assert ("mended_text" in touchpoint.warnings) == (mended != properties)
