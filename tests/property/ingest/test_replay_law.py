"""Any refused event, sent again by itself: the same verdict, and once its fault is mended, the touchpoint it missed."""

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects import base, segment
from services.ingest.dialects.base import Opened, Request
from services.ingest.dialects.envelope import Body, open_body
from services.ingest.dialects.registry import BATCH, takes
from services.ingest.http.replay import Resent, received_now
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.privacy import DROP, KEEP, SHORTEN
from services.ingest.validate.touchpoint import CALLS, Result
from tests.property.ingest import test_posthog
from tests.property.ingest.test_dialects import CLOUDEVENTS, GA4, SNOWPLOW
from tests.property.ingest.test_segment import EVENTS, JSON, TEXT, TIMES
from tests.property.ingest.test_stores import NAMES, PAYLOADS, SALES, TOPICS, webhook
from tests.support.laws import NOW
from throughline.kit.clock import MAX_US, MIN_US
from throughline.kit.errors import ServiceError
from throughline.store.keys import SourceKey, SourceSettings
from throughline.wire.codec import Rejected, decode_rejected, encode_rejected

LATER = NOW + 86_400_000_000
KEY = "tlw_secret"
WHERE = "touchpoints.rejected/2/71"
ADDRESSES = st.sampled_from(["81.2.69.160", "2001:db8::1", "not one", 5])

Headers = list[tuple[bytes, bytes]]


def text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


HOURS = st.sampled_from(["2026-11-23T18:00:00Z", "2026-11-23T20:28:00.5Z", "2027-01-01T00:00:00Z"])
MILLIS = st.sampled_from(["1795460000000", "1795465700000", "1799999999999"])
SEGMENT: st.SearchStrategy[Any] = EVENTS | st.fixed_dictionaries(
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
TP2: st.SearchStrategy[Any] = SNOWPLOW | st.fixed_dictionaries(
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
COLLECT: st.SearchStrategy[Any] = GA4 | st.fixed_dictionaries(
    {"name": st.sampled_from(["login", "purchase"])},
    optional={"params": st.just({"transaction_id": "T1", "value": 5}), "timestamp_micros": st.just(NOW - 10**9)},
)
CAPTURE: st.SearchStrategy[Any] = test_posthog.EVENTS | st.fixed_dictionaries(
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
CLOUD: st.SearchStrategy[Any] = CLOUDEVENTS | st.fixed_dictionaries(
    {"specversion": st.just("1.0"), **dict.fromkeys(("id", "source", "type", "subject"), st.sampled_from(["a", "b"]))},
    optional={"time": HOURS, "data": JSON, "data_base64": st.just("e30=")},
)


@st.composite
def segments(draw: st.DrawFn) -> Request:
    if draw(st.booleans()):
        path = draw(st.sampled_from(["/v1/{}", "/api/s/{}"])).format(draw(st.sampled_from(sorted(CALLS))))
        return Request("POST", path, "", [], text(draw(SEGMENT)))
    shared = st.fixed_dictionaries(
        {"batch": st.lists(SEGMENT, max_size=3)},
        optional={
            "sentAt": HOURS | TIMES,
            "context": st.fixed_dictionaries({"ip": ADDRESSES | JSON}) | st.dictionaries(TEXT, JSON, max_size=2),
            "integrations": JSON,
            "writeKey": st.just(KEY),
        },
    )
    path = draw(st.sampled_from(["/v1/batch", "/batch", "/beacon/v1/batch"]))
    return Request("POST", path, f"writeKey={KEY}", [], text(draw(shared)))


@st.composite
def snowplows(draw: st.DrawFn) -> Request:
    if draw(st.booleans()):
        body = {"schema": draw(TEXT), "data": draw(st.lists(TP2, max_size=3))}
        return Request("POST", "/com.snowplowanalytics.snowplow/tp2", "", [], text(body))
    fields = draw(TP2.filter(lambda value: isinstance(value, dict)))
    query = "&".join(f"{quote_any(name)}={quote_any(value)}" for name, value in fields.items())
    return Request("GET", "/i", query + draw(st.sampled_from(["", "&page=%ff", "&aid=%00", "&page=a+b"])), [], b"")


@st.composite
def ga4s(draw: st.DrawFn) -> Request:
    named = st.fixed_dictionaries({}, optional={"user_id": st.just("ada"), "timestamp_micros": st.just(NOW - 10**9)})
    said = st.dictionaries(st.sampled_from(["client_id", "user_id", "consent", "api_key", "other"]), TEXT | JSON)
    body = {"client_id": "c", "api_key": KEY, "ip_override": draw(ADDRESSES), **draw(named | said)}
    body["events"] = draw(st.lists(COLLECT, max_size=3)) * draw(st.integers(1, 2))
    stream = draw(st.sampled_from(["measurement_id", "firebase_app_id"]))
    query = urlencode({stream: draw(st.text(max_size=3)), "api_secret": KEY}, errors="replace")
    return Request("POST", "/mp/collect", query, [], text(body))


@st.composite
def posthogs(draw: st.DrawFn) -> Request:
    events = st.lists(CAPTURE, max_size=3)
    batches = st.fixed_dictionaries({"batch": events, "api_key": st.just(KEY)}, optional={"sent_at": HOURS | TIMES})
    body = text(draw(CAPTURE | events | batches))
    if draw(st.booleans()):
        body = b"data=" + quote(base64.b64encode(body)).encode()
    headers: Headers = [(b"posthog-sdk-info", b"posthog-js/1"), (b"posthog-request-timestamp", b"2026-11-23T19:00:00Z")]
    path = draw(st.sampled_from(["/batch", "/e", "/i/v1/analytics/events"]))
    query = draw(st.sampled_from(["", "_=1795460000000", "sent_at=2026-11-23T18:00:00Z"]))
    return Request("POST", path, query, headers[: draw(st.integers(0, 2))], body)


@st.composite
def cloudevents(draw: st.DrawFn) -> Request:
    media = ["", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain"]
    headers: Headers = [(b"content-type", draw(st.sampled_from(media)).encode())]
    if draw(st.booleans()):
        names = st.sampled_from(["id", "source", "type", "subject", "time"])
        said = {"specversion": "1.0", **draw(st.dictionaries(names, TEXT | st.just("x"), max_size=5))}
        headers += [(f"ce-{name}".encode(), quote_any(value).encode()) for name, value in said.items()]
    body = text(draw(CLOUD | st.lists(CLOUD, max_size=3)))
    return Request("POST", "/v1/cloudevents", f"write_key={KEY}", headers, body)


@st.composite
def tills(draw: st.DrawFn) -> Request:
    query = draw(st.sampled_from(["", f"writeKey={KEY}", "time_zone=Europe/Vienna&currency=EUR&anonymous=receipt"]))
    if draw(st.booleans()):
        return Request("POST", "/v1/pos", query, [], text({"sales": draw(st.lists(SALES, max_size=3))}))
    rows = draw(
        st.lists(st.sampled_from(["R-1;ada;42,50;2026-11-23T18:00", "R-2;;1.5;soon", "R-3;ben;x;"]), max_size=3)
    )
    return Request("POST", "/v1/pos", query, [], "\n".join(["receipt;customer;total;sold_at", *rows]).encode())


@st.composite
def webhooks(draw: st.DrawFn) -> Request:
    headers = draw(st.dictionaries(NAMES, st.binary(max_size=30)))
    return webhook(draw(TOPICS), headers, text(draw(PAYLOADS.filter(lambda value: isinstance(value, dict)))))


def quote_any(value: Any) -> str:
    return quote(str(value), errors="replace")


FAMILIES = pytest.mark.parametrize(
    "family",
    [segments(), snowplows(), ga4s(), posthogs(), cloudevents(), tills()],
    ids=["segment", "snowplow", "ga4", "posthog", "cloudevents", "pos"],
)


def opened(request: Request) -> Body | Opened:
    taken = takes(request.method, request.path)
    assert taken is not None
    return open_body(request.body, "" if taken == BATCH else taken) if isinstance(taken, str) else taken(request)


def judge(
    body: Body | Opened, ip: str, horizon_us: int, received_us: int = NOW, new_id: Any = lambda: "random"
) -> Result:
    how: Any = segment.judge if isinstance(body, Body) else base.judge
    found: Result = how(
        body, workspace=3, source=5, received_us=received_us, new_id=new_id, ip=ip, horizon_us=horizon_us
    )
    return found


def refused(request: Request, ip: str, horizon_us: int) -> list[Rejected]:
    """What the topic keeps of a request; nothing where it fails as a whole."""
    try:
        body = opened(request)
        found = judge(body, ip, horizon_us)
    except ServiceError:
        return []
    source = SourceKey(b"", 5, 3, "web", True, SourceSettings(ip=ip))
    records = rejected_records(found, body, source, NOW, f"{request.method} {request.path}", [])
    assert [decode_rejected(encode_rejected(one)) for one in records] == records
    return records


def again(one: Rejected, *others: Rejected) -> Request:
    """The request that sends it again, with others that came in the same request."""
    path, _, query = one.envelope.path.partition("?")
    headers = [(b"content-type", one.envelope.content_type.encode())]
    if one.envelope.library:
        headers.append((b"posthog-sdk-info", one.envelope.library.encode("latin-1")))
    payload = b",".join([one.payload, *(other.payload for other in others)])
    return Request("POST", path, query, headers, one.envelope.before + payload + one.envelope.after)


def replayed(one: Rejected, ip: str, horizon_us: int) -> Result:
    return together([one], ip, horizon_us)


def together(ones: Sequence[Rejected], ip: str, horizon_us: int) -> Result:
    """What becomes of events that came in one request and are sent again in one."""
    resent = Resent(NOW, [one.message_id for one in ones], [f"{WHERE}{number}" for number in range(len(ones))])
    found = judge(opened(again(*ones)), ip, horizon_us)
    return received_now(found, resent, LATER, "random")


def shared(one: Rejected) -> Any:
    around = one.envelope.before + one.envelope.after
    return one.envelope._replace(before=b"", after=b""), json.loads(around) if around else None


def without_key(rest: str) -> Any:
    return {name: value for name, value in json.loads(rest).items() if name != "api_key"}


@FAMILIES
@given(st.data(), st.sampled_from([SHORTEN, DROP, KEEP]))
def test_refused_again_for_the_same_reason(family: st.SearchStrategy[Request], data: st.DataObject, ip: str) -> None:
    for one in refused(data.draw(family), ip, MIN_US):
        if one.code == "mixed_app_ids":  # a fault of the request's
            continue
        ((verdict, payload),) = replayed(one, ip, MIN_US).refused
        assert (verdict.code, verdict.field) == (one.code, one.field)
        assert payload == one.payload
        (second,) = refused(again(one), ip, MIN_US)
        assert shared(second) == shared(one)
        assert second.payload == one.payload


@FAMILIES
@given(st.data())
def test_neighbours_can_be_sent_again_together(family: st.SearchStrategy[Request], data: st.DataObject) -> None:
    request = data.draw(family)
    for horizon_us in (MIN_US, MAX_US):
        ones = [one for one in refused(request, SHORTEN, horizon_us) if one.code != "mixed_app_ids"]
        if len(ones) > 1 and ones[0].envelope.after:
            all_at_once = together(ones, SHORTEN, MIN_US)
            alone = [together([one], SHORTEN, MIN_US) for one in ones]
            assert all_at_once.refused == [refusal for found in alone for refusal in found.refused]
            named = [touchpoint for found in alone for touchpoint in found.touchpoints]
            for one, other in zip(all_at_once.touchpoints, named, strict=True):
                same_id = "missing_message_id" in one.warnings
                assert one == (other._replace(message_id=one.message_id) if same_id else other)


@FAMILIES
@given(st.data(), st.sampled_from([SHORTEN, DROP, KEEP]))
def test_mended_it_is_the_touchpoint_it_would_have_been(
    family: st.SearchStrategy[Request], data: st.DataObject, ip: str
) -> None:
    mended(data.draw(family), ip)


@given(webhooks(), st.sampled_from([SHORTEN, DROP, KEEP]))
def test_a_mended_webhook_needs_no_signature(request: Request, ip: str) -> None:
    mended(request, ip)


def mended(request: Request, ip: str) -> None:
    too_old = [one for one in refused(request, ip, MAX_US) if one.code == "before_horizon"]
    if not too_old:
        return
    expected = judge(opened(request), ip, MIN_US).touchpoints
    found = []
    for one in too_old:
        # None where it has another fault, which shows only now: then it is none of those expected either.
        touchpoints = replayed(one, ip, MIN_US).touchpoints
        assert replayed(one, ip, MIN_US).touchpoints == touchpoints
        found += touchpoints
    for then, now in zip(expected, found, strict=True):
        identity = now.message_id if then.message_id == "random" else then.message_id
        assert now == then._replace(received_us=LATER, message_id=identity, rest=now.rest)
        # A placeholder in place of an id may stay among the rest: of a webhook it does only when it is sent again.
        if ip == KEEP and "illegal_id" not in then.warnings:
            assert json.loads(now.rest) == without_key(then.rest)


@FAMILIES
@given(st.data())
def test_no_write_key_and_no_address_is_kept_around_it(family: st.SearchStrategy[Request], data: st.DataObject) -> None:
    for one in refused(data.draw(family), SHORTEN, MAX_US):
        around = repr(one.envelope)
        assert KEY not in around
        assert "81.2.69.160" not in around
        assert one.envelope.path
