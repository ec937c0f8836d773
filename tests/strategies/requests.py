"""Strategies for whole requests of each dialect, with a write key and addresses that no record may show."""

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from services.ingest.dialects.base import Request
from services.ingest.event.event import CALLS
from tests.strategies.cloudevents import CLOUDEVENTS
from tests.strategies.ga4 import GA4_EVENTS
from tests.strategies.pos import SALES
from tests.strategies.posthog import POSTHOG_EVENTS
from tests.strategies.segment import SEGMENT_EVENTS
from tests.strategies.shopify import HEADER_NAMES, PAYLOADS, TOPICS, webhook
from tests.strategies.snowplow import SNOWPLOW_EVENTS
from tests.strategies.values import JSON, TEXT, TIMES
from tests.support.laws import NOW

KEY = "tlw_secret"

ADDRESSES = st.sampled_from(["81.2.69.160", "2001:db8::1", "not one", 5])

_Headers = list[tuple[bytes, bytes]]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


HOURS = st.sampled_from(["2026-11-23T18:00:00Z", "2026-11-23T20:28:00.5Z", "2027-01-01T00:00:00Z"])

MILLIS = st.sampled_from(["1795460000000", "1795465700000", "1799999999999"])

_SEGMENT: st.SearchStrategy[Any] = SEGMENT_EVENTS | st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page"]), "event": st.just("E"), "userId": st.sampled_from(["ada", 5])},
    optional={
        "messageId": st.just("m"),
        "anonymousId": st.just("null"),
        "timestamp": HOURS,
        "sentAt": HOURS,
        "context": st.fixed_dictionaries({"ip": ADDRESSES}),
        "properties": st.just({"total": "9.5", "ip": "81.2.69.160"}),
    },
)

_SNOWPLOW: st.SearchStrategy[Any] = SNOWPLOW_EVENTS | st.fixed_dictionaries(
    {"e": st.just("pv"), "duid": st.just("d")},
    optional={
        "eid": st.just("m"),
        "uid": st.just("ada"),
        "dtm": MILLIS,
        "stm": MILLIS,
        "ip": st.just("81.2.69.160"),
        "page": st.just("\u00e9 +&%"),
        "aid": st.just("shop"),
    },
)

_GA4: st.SearchStrategy[Any] = GA4_EVENTS | st.fixed_dictionaries(
    {"name": st.sampled_from(["login", "purchase"])},
    optional={"params": st.just({"transaction_id": "T1", "value": 5}), "timestamp_micros": st.just(NOW - 10**9)},
)

_POSTHOG: st.SearchStrategy[Any] = POSTHOG_EVENTS | st.fixed_dictionaries(
    {"event": st.sampled_from(["Bought", "$pageview", "$set"]), "distinct_id": st.just("ada")},
    optional={
        "uuid": st.just("m"),
        "timestamp": HOURS,
        "sent_at": HOURS,
        "offset": st.integers(0, 5000),
        "properties": st.fixed_dictionaries({"$ip": ADDRESSES, "batch": JSON}),
        "$set": st.just({"plan": "gold"}),
    },
)

_CLOUDEVENTS: st.SearchStrategy[Any] = CLOUDEVENTS | st.fixed_dictionaries(
    {"specversion": st.just("1.0"), **dict.fromkeys(("id", "source", "type", "subject"), st.sampled_from(["a", "b"]))},
    optional={"time": HOURS, "data": JSON, "data_base64": st.just("e30=")},
)


@st.composite
def segment_requests(draw: st.DrawFn) -> Request:
    if draw(st.booleans()):
        path = draw(st.sampled_from(["/v1/{}", "/api/s/{}"])).format(draw(st.sampled_from(sorted(CALLS))))
        return Request("POST", path, "", [], _json(draw(_SEGMENT)))
    shared = st.fixed_dictionaries(
        {"batch": st.lists(_SEGMENT, max_size=3)},
        optional={
            "sentAt": HOURS | TIMES,
            "context": st.fixed_dictionaries({"ip": ADDRESSES | JSON}) | st.dictionaries(TEXT, JSON, max_size=2),
            "integrations": JSON,
            "writeKey": st.just(KEY),
        },
    )
    path = draw(st.sampled_from(["/v1/batch", "/batch", "/beacon/v1/batch"]))
    return Request("POST", path, f"writeKey={KEY}", [], _json(draw(shared)))


@st.composite
def snowplow_requests(draw: st.DrawFn) -> Request:
    if draw(st.booleans()):
        body = {"schema": draw(TEXT), "data": draw(st.lists(_SNOWPLOW, max_size=3))}
        return Request("POST", "/com.snowplowanalytics.snowplow/tp2", "", [], _json(body))
    fields = draw(_SNOWPLOW.filter(lambda value: isinstance(value, dict)))
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in fields.items())
    return Request("GET", "/i", query + draw(st.sampled_from(["", "&page=%ff", "&aid=%00", "&page=a+b"])), [], b"")


@st.composite
def ga4_requests(draw: st.DrawFn) -> Request:
    named = st.fixed_dictionaries({}, optional={"user_id": st.just("ada"), "timestamp_micros": st.just(NOW - 10**9)})
    anything = st.dictionaries(st.sampled_from(["client_id", "user_id", "consent", "api_key", "other"]), TEXT | JSON)
    body = {"client_id": "c", "api_key": KEY, "ip_override": draw(ADDRESSES), **draw(named | anything)}
    body["events"] = draw(st.lists(_GA4, max_size=3)) * draw(st.integers(1, 2))
    stream = draw(st.sampled_from(["measurement_id", "firebase_app_id"]))
    query = urlencode({stream: draw(st.text(max_size=3)), "api_secret": KEY}, errors="replace")
    return Request("POST", "/mp/collect", query, [], _json(body))


@st.composite
def posthog_requests(draw: st.DrawFn) -> Request:
    events = st.lists(_POSTHOG, max_size=3)
    batches = st.fixed_dictionaries({"batch": events, "api_key": st.just(KEY)}, optional={"sent_at": HOURS | TIMES})
    body = _json(draw(_POSTHOG | events | batches))
    if draw(st.booleans()):
        body = b"data=" + quote(base64.b64encode(body)).encode()
    headers: _Headers = [
        (b"posthog-sdk-info", b"posthog-js/1"),
        (b"posthog-request-timestamp", b"2026-11-23T19:00:00Z"),
    ]
    path = draw(st.sampled_from(["/batch", "/e", "/i/v1/analytics/events"]))
    query = draw(st.sampled_from(["", "_=1795460000000", "sent_at=2026-11-23T18:00:00Z"]))
    return Request("POST", path, query, headers[: draw(st.integers(0, 2))], body)


@st.composite
def cloudevents_requests(draw: st.DrawFn) -> Request:
    media = [
        "",
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "text/plain",
    ]
    headers: _Headers = [(b"content-type", draw(st.sampled_from(media)).encode())]
    if draw(st.booleans()):
        names = st.sampled_from(["id", "source", "type", "subject", "time"])
        attributes = {"specversion": "1.0", **draw(st.dictionaries(names, TEXT | st.just("x"), max_size=5))}
        headers += [(f"ce-{name}".encode(), _quoted(value).encode()) for name, value in attributes.items()]
    body = _json(draw(_CLOUDEVENTS | st.lists(_CLOUDEVENTS, max_size=3)))
    return Request("POST", "/v1/cloudevents", f"write_key={KEY}", headers, body)


@st.composite
def pos_requests(draw: st.DrawFn) -> Request:
    query = draw(st.sampled_from(["", f"writeKey={KEY}", "time_zone=Europe/Vienna&currency=EUR&anonymous=receipt"]))
    if draw(st.booleans()):
        return Request("POST", "/v1/pos", query, [], _json({"sales": draw(st.lists(SALES, max_size=3))}))
    rows = draw(
        st.lists(st.sampled_from(["R-1;ada;42,50;2026-11-23T18:00", "R-2;;1.5;soon", "R-3;ben;x;"]), max_size=3)
    )
    return Request("POST", "/v1/pos", query, [], "\n".join(["receipt;customer;total;sold_at", *rows]).encode())


@st.composite
def shopify_requests(draw: st.DrawFn) -> Request:
    headers = draw(st.dictionaries(HEADER_NAMES, st.binary(max_size=30)))
    return webhook(draw(TOPICS), headers, _json(draw(PAYLOADS.filter(lambda value: isinstance(value, dict)))))


def _quoted(value: Any) -> str:
    return quote(str(value), errors="replace")
