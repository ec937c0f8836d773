"""Any request to Snowplow, GA4 and CloudEvents: a verdict for each event, or a 400; never harm to the neighbours."""

import base64
import json
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects import cloudevents, ga4, snowplow
from services.ingest.dialects.base import Request, judge
from services.ingest.validate.touchpoint import Result
from tests.property.ingest.test_segment import JSON, TEXT, TIMES
from tests.support.dialect_requests import Read
from tests.support.laws import NOW, check
from throughline.kit.errors import ServiceError

SCHEMAS = st.sampled_from(
    [
        "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2",
        "iglu:com.google.analytics.enhanced-ecommerce/action/jsonschema/1-0-0",
        *(f"iglu:a/{name}/jsonschema/1-0-0" for name in ("product", "cart", "transaction", "refund", "user")),
        *(f"iglu:a/{name}/jsonschema/1-0-0" for name in ("screen_view", "client_session", "actionFieldObject")),
    ]
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["transaction", "refund", "list_view"]) | JSON,
        "action": st.sampled_from(["purchase", "refund"]) | JSON,
        **dict.fromkeys(("id", "userId", "transaction_id", "revenue", "currency", "quantity", "name"), JSON),
    },
)
DESCRIBED = st.fixed_dictionaries({"schema": SCHEMAS, "data": DATA | JSON})
UNSTRUCTURED = st.fixed_dictionaries({"schema": JSON, "data": DESCRIBED}) | JSON
CONTEXTS = st.fixed_dictionaries({"schema": JSON, "data": st.lists(DESCRIBED | JSON, max_size=3)}) | JSON


def packed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return values.map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode())


MILLISECONDS = st.integers(0, 2**45).map(str) | st.integers().map(str) | TEXT | JSON
SNOWPLOW = (
    st.fixed_dictionaries(
        {"e": st.sampled_from(["pv", "pp", "se", "ue", "tr", "ti"]) | JSON},
        optional={
            "ue_px": packed(UNSTRUCTURED) | TEXT,
            "ue_pr": UNSTRUCTURED.map(json.dumps) | TEXT | JSON,
            "cx": packed(CONTEXTS) | TEXT,
            "co": CONTEXTS.map(json.dumps) | JSON,
            "url": st.sampled_from(["https://a/?utm_source=b%00", "http://[/?utm_medium=1", "//x?utm_source=%ff"])
            | JSON,
            **dict.fromkeys(("dtm", "stm", "ttm"), MILLISECONDS),
            **dict.fromkeys(
                ("eid", "uid", "duid", "nuid", "page", "refr", "se_ac", "tr_id", "tr_tt", "other"), TEXT | JSON
            ),
        },
    )
    | JSON
)
GA4 = (
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["purchase", "login"]) | TEXT | JSON,
            "params": st.dictionaries(
                st.sampled_from(
                    ["transaction_id", "items", "value", "message_id", "page_location", "source", "medium", "currency"]
                )
                | TEXT,
                JSON | st.just([{"item_id": "a", "quantity": 2}]),
                max_size=4,
            )
            | JSON,
            "timestamp_micros": st.integers() | TEXT | JSON,
            "other": JSON,
        },
    )
    | JSON
)
CLOUDEVENTS = (
    st.fixed_dictionaries(
        {"specversion": st.just("1.0") | JSON},
        optional={
            **dict.fromkeys(("id", "source", "type", "subject", "userid", "anonymousid", "dataschema"), TEXT | JSON),
            "time": TIMES,
            "datacontenttype": st.sampled_from(["text/plain", "application/json", "image/png"]) | JSON,
            "data": JSON,
            "data_base64": packed(JSON) | TEXT | JSON,
            "other": JSON,
        },
    )
    | JSON
)
GOOD_SNOWPLOW = {"e": "pv", "eid": "m", "uid": "good", "dtm": "1795465653000"}
GOOD_GA4 = {"name": "login", "params": {"message_id": "m"}}
GOOD_CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "good"}
SHAPES = [
    (snowplow.read, SNOWPLOW, GOOD_SNOWPLOW, "data", {}),
    (ga4.read, GA4, GOOD_GA4, "events", {"client_id": "c", "timestamp_micros": NOW}),
    (cloudevents.read, CLOUDEVENTS, GOOD_CLOUDEVENT, "", {}),
]
NAMED = pytest.mark.parametrize(
    ("read", "events", "good", "member", "head"), SHAPES, ids=["snowplow", "ga4", "cloudevents"]
)


def take(read: Read, request: Request) -> Result:
    opened = read(request)
    result = judge(opened, workspace=1, source=1, received_us=NOW, new_id=lambda: "random")
    check(result, len(opened.items))
    if opened.reply is not None:
        opened.reply(result.verdicts)
    return result


def attempt(read: Read, request: Request) -> Result | None:
    """None when the request fails as a whole, as a 400 that says why."""
    try:
        return take(read, request)
    except ServiceError as failure:
        error = failure
    assert error.status == 400
    assert error.code
    assert error.message
    return None


def post(member: str, head: dict[str, Any], events: Any) -> Request:
    body = {**head, member: events} if member else events
    return Request("POST", "/x", "", [], json.dumps(body, separators=(",", ":")).encode())


@NAMED
@given(st.data())
def test_a_verdict_for_every_event(
    read: Read, events: Any, good: Any, member: str, head: dict[str, Any], data: st.DataObject
) -> None:
    found = data.draw(st.lists(events, max_size=4))
    assert len(take(read, post(member, head, found)).verdicts) == len(found)


@NAMED
@given(st.data())
def test_neighbours_survive(
    read: Read, events: Any, good: Any, member: str, head: dict[str, Any], data: st.DataObject
) -> None:
    result = take(read, post(member, head, [good, data.draw(events), good]))
    assert result.verdicts[0] is result.verdicts[2] is None
    assert result.touchpoints[0].actor == result.touchpoints[-1].actor
    (alone,) = take(read, post(member, head, [good])).touchpoints
    assert result.touchpoints[0] == alone


@NAMED
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(read: Read, events: Any, good: Any, member: str, head: dict[str, Any], body: bytes) -> None:
    for wrapped in (body, b'{"' + member.encode() + b'":[' + body + b"]}"):
        attempt(read, Request("POST", "/debug/mp/collect", "a=%ff&api_secret=%00", [], wrapped))
        attempt(read, Request("POST", "/x", "a=%ff&api_secret=%00&write_key=%ff", [], wrapped))


@given(st.dictionaries(st.sampled_from(ga4.HEAD), JSON | TEXT))
def test_whatever_a_ga4_request_says_about_itself(head: dict[str, Any]) -> None:
    attempt(ga4.read, post("events", head, [GOOD_GA4]))


@given(st.dictionaries(st.sampled_from(["e", "aid", "uid", "eid", "dtm", "ue_px", "co", "page"]) | TEXT, st.binary()))
def test_any_query(fields: dict[str, bytes]) -> None:
    query = "&".join(f"{quote(name, errors='replace')}={quote_from_bytes(value)}" for name, value in fields.items())
    assert len(take(snowplow.read, Request("GET", "/i", query, [], b"")).verdicts) == 1


ATTRIBUTES = st.sampled_from(["id", "source", "type", "subject", "time", "userid", "data", "data_base64"])


@given(
    st.dictionaries(ATTRIBUTES, st.binary(max_size=20) | TIMES.map(lambda time: str(time).encode("utf-8", "replace"))),
    st.sampled_from(["", "application/json", "text/plain", "image/png", "application/cloudevents+json"]),
    st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_headers(attributes: dict[str, bytes], media_type: str, body: bytes) -> None:
    headers = [(f"ce-{name}".encode(), value) for name, value in {**attributes, "specversion": b"1.0"}.items()]
    request = Request("POST", "/v1/cloudevents", "", [*headers, (b"content-type", media_type.encode())], body)
    result = attempt(cloudevents.read, request)
    assert result is not None or media_type == "application/cloudevents+json"
