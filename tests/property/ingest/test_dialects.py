"""Any request to Snowplow, GA4 and CloudEvents: a verdict for each event, or a 400; never harm to the neighbours."""

import json
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import Parse, Request
from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import HEAD, parse_collect, parse_debug
from services.ingest.dialects.snowplow.parse import parse_payload, parse_query
from tests.strategies.cloudevents import CLOUDEVENTS, GOOD_CLOUDEVENT
from tests.strategies.ga4 import GA4_EVENTS, GOOD_GA4
from tests.strategies.snowplow import GOOD_SNOWPLOW, SNOWPLOW_EVENTS
from tests.strategies.values import JSON, TEXT, TIMES
from tests.support.dialect_requests import checked
from tests.support.laws import NOW, attempt

SHAPES = [
    (parse_payload, SNOWPLOW_EVENTS, GOOD_SNOWPLOW, "data", {}),
    (parse_collect, GA4_EVENTS, GOOD_GA4, "events", {"client_id": "c", "timestamp_micros": NOW}),
    (parse_cloudevents, CLOUDEVENTS, GOOD_CLOUDEVENT, "", {}),
]
NAMED = pytest.mark.parametrize(
    ("read", "events", "good", "member", "head"), SHAPES, ids=["snowplow", "ga4", "cloudevents"]
)


def post(member: str, head: dict[str, Any], events: Any) -> Request:
    body = {**head, member: events} if member else events
    return Request("POST", "/x", "", [], json.dumps(body, separators=(",", ":")).encode())


@NAMED
@given(st.data())
def test_a_verdict_for_every_event(
    read: Parse, events: Any, good: Any, member: str, head: dict[str, Any], data: st.DataObject
) -> None:
    sent = data.draw(st.lists(events, max_size=4))
    assert len(checked(read, post(member, head, sent)).verdicts) == len(sent)


@NAMED
@given(st.data())
def test_neighbours_survive(
    read: Parse, events: Any, good: Any, member: str, head: dict[str, Any], data: st.DataObject
) -> None:
    result = checked(read, post(member, head, [good, data.draw(events), good]))
    assert result.verdicts[0] is result.verdicts[2] is None
    assert result.touchpoints[0].actor == result.touchpoints[-1].actor
    (alone,) = checked(read, post(member, head, [good])).touchpoints
    assert result.touchpoints[0] == alone


@NAMED
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(read: Parse, events: Any, good: Any, member: str, head: dict[str, Any], body: bytes) -> None:
    for wrapped in (body, b'{"' + member.encode() + b'":[' + body + b"]}"):
        attempt(checked, parse_debug, Request("POST", "/debug/mp/collect", "a=%ff&api_secret=%00", [], wrapped))
        attempt(checked, read, Request("POST", "/x", "a=%ff&api_secret=%00&write_key=%ff", [], wrapped))


@given(st.dictionaries(st.sampled_from(HEAD), JSON | TEXT))
def test_whatever_a_ga4_request_says_about_itself(head: dict[str, Any]) -> None:
    attempt(checked, parse_collect, post("events", head, [GOOD_GA4]))


@given(st.dictionaries(st.sampled_from(["e", "aid", "uid", "eid", "dtm", "ue_px", "co", "page"]) | TEXT, st.binary()))
def test_any_query(fields: dict[str, bytes]) -> None:
    query = "&".join(f"{quote(name, errors='replace')}={quote_from_bytes(value)}" for name, value in fields.items())
    assert len(checked(parse_query, Request("GET", "/i", query, [], b"")).verdicts) == 1


ATTRIBUTES = st.sampled_from(["id", "source", "type", "subject", "time", "userid", "data", "data_base64"])


@given(
    st.dictionaries(ATTRIBUTES, st.binary(max_size=20) | TIMES.map(lambda time: str(time).encode("utf-8", "replace"))),
    st.sampled_from(["", "application/json", "text/plain", "image/png", "application/cloudevents+json"]),
    st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_headers(attributes: dict[str, bytes], media_type: str, body: bytes) -> None:
    headers = [(f"ce-{name}".encode(), value) for name, value in {**attributes, "specversion": b"1.0"}.items()]
    request = Request("POST", "/v1/cloudevents", "", [*headers, (b"content-type", media_type.encode())], body)
    result = attempt(checked, parse_cloudevents, request)
    assert result is not None or media_type == "application/cloudevents+json"
