"""What is kept of the fields that a source's owner names, in every copy of an event, in every dialect."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import ParsedRequest
from services.ingest.dialects.registry import RULES
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.named_fields import NamedFields, _stripped, named_fields
from tests.support.dialect_requests import NOW, batch, only, parsed, post, rest, source, validated

SECRET = "ada@shop.example"
PAGE = "https://shop.example/a?token=t0psecret&utm_source=mail&gclid=g1#/cart?session=t0psecret&utm_term=shoes"
KEPT_PAGE = "https://shop.example/a?utm_source=mail&gclid=g1#/cart?utm_term=shoes"


def _segment(ok: bool) -> ParsedRequest:
    event = {
        "type": "track",
        "event": "Viewed",
        "messageId": "m",
        "properties": {"email": SECRET, "url": PAGE, "items": [{"email": SECRET, "n": 1}]},
        "traits": {"Email": SECRET},
        "context": {"page": {"url": PAGE, "search": "?token=t0psecret&gclid=g1"}, "traits": {"email": SECRET}},
        "email": SECRET,
    }
    shared = {"traits": {"e_mail": SECRET, "plan": "gold"}, "page": {"url": PAGE}}
    return parsed(post({"batch": [event | ({"userId": "ada"} if ok else {})], "context": shared}, path="/v1/batch"))


def _ga4(ok: bool) -> ParsedRequest:
    event = {"name": "view" if ok else "", "params": {"email": SECRET, "page_location": PAGE}}
    head = {"client_id": "c.1", "user_properties": {"email": {"value": SECRET}}, "user_data": {"email": SECRET}}
    return parsed(post(head | {"events": [event]}, path="/mp/collect"))


def _posthog(ok: bool) -> ParsedRequest:
    properties = {"email": SECRET, "$current_url": PAGE, "$set": {"email": SECRET}, "$referrer": PAGE}
    event = {"event": "viewed", "properties": properties, "$set_once": {"email": SECRET}}
    body = {"api_key": "k", "batch": [event | ({"distinct_id": "ada"} if ok else {})]}
    return parsed(post(body, path="/batch"))


def _cloudevents(ok: bool) -> ParsedRequest:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "viewed", "email": SECRET}
    data = base64.b64encode(json.dumps({"email": SECRET, "url": PAGE}).encode()).decode()
    event |= {"data_base64": data} | ({"subject": "ada"} if ok else {})
    return parsed(post(event, path="/v1/cloudevents"))


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _snowplow(ok: bool) -> ParsedRequest:
    data = {"schema": "iglu:com.x/viewed/jsonschema/1-0-0", "data": {"email": SECRET, "url": PAGE}}
    entity = {"schema": "iglu:com.x/person/jsonschema/1-0-0", "data": {"email": SECRET}}
    event = {
        "e": "ue",
        "aid": "k",
        "url": PAGE,
        "refr": PAGE,
        "ue_px": _encoded({"schema": "iglu:u/u/j/1", "data": data}),
        "co": json.dumps({"schema": "iglu:c/c/j/1", "data": [entity]}),
    }
    if ok:
        event["uid"] = "ada"
    return parsed(post({"schema": "s", "data": [event]}, path="/com.snowplowanalytics.snowplow/tp2"))


def _pos(ok: bool) -> ParsedRequest:
    sale = {"receipt": "R-1", "sold_at": "2026-01-31T09:30:00Z", "total": 1, "email": SECRET, "url": PAGE}
    return parsed(post({"sales": [sale | ({"customer": "ada"} if ok else {})]}, path="/v1/pos"))


DIALECTS = [_segment, _ga4, _posthog, _cloudevents, _snowplow, _pos]


def _all_copies(request: ParsedRequest, **settings: Any) -> str:
    result = validated(request, **settings)
    copies = [repr(touchpoint) for touchpoint in result.touchpoints]
    records = rejected_records(result, request, source(**settings), RULES, NOW, "POST /", ())
    for record in records:
        copies.append(repr(record))
        assert record.payload, "an event that can be read is kept"
        body = record.envelope.before + record.payload + record.envelope.after
        copies.append(json.dumps(json.loads(body)))
        copies += [_decoded(part) for part in _texts(json.loads(body))]
    return "\n".join(copies)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "==").decode(errors="replace")
    except ValueError:
        return ""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("action", ["drop", "hashed"])
def test_no_copy_has_a_named_member(dialect: Any, ok: bool, action: str) -> None:
    assert SECRET in _all_copies(dialect(ok))
    assert bool(validated(dialect(ok)).rejected) is not ok
    copies = _all_copies(dialect(ok), **{action: ("email",)})
    assert SECRET not in copies
    assert "t0psecret" in copies
    assert ("hmac:" in copies) is (action == "hashed")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("paths", [("url", "referrer"), ("context.page.url", "properties.referrer")])
def test_no_copy_has_what_a_query_hides(dialect: Any, ok: bool, paths: tuple[str, ...]) -> None:
    copies = _all_copies(dialect(ok), strip_queries=paths)
    assert "t0psecret" not in copies
    assert "gclid" in copies
    assert SECRET in copies


def test_campaigns_and_clicks_count_as_before() -> None:
    (before,) = validated(_segment(True)).touchpoints
    (after,) = validated(_segment(True), strip_queries=("url",)).touchpoints
    assert after.channel == before.channel == "paid_search"
    assert after.attribution == before.attribution
    assert rest(after)["context"]["page"] == {"url": KEPT_PAGE, "search": "?gclid=g1"}


def test_a_path_is_the_end_of_the_way() -> None:
    event = {
        "type": "track",
        "event": "x",
        "userId": "u",
        "messageId": "m",
        "properties": {"email": 1, "card": {"number": "42", "brand": "v"}, "number": 7},
        "traits": {"email": 2},
        "context": {"traits": {"email": 3, "plan": "gold"}},
    }
    remaining = rest(only(batch(event, settings={"drop": ("traits.email", "card.number")})))
    assert remaining["properties"] == {"email": 1, "card": {"brand": "v"}, "number": 7}
    assert "traits" not in remaining
    assert remaining["context"] == {"traits": {"plan": "gold"}}


def test_columns_are_read_from_what_is_kept() -> None:
    event: dict[str, Any] = {"type": "track", "event": "Order Completed", "userId": "u", "messageId": "m"}
    event |= {"properties": {"orderId": "A-1", "revenue": 5, "coupon": "X"}}
    dropped = only(batch(event, settings={"drop": ("revenue",), "hashed": ("order_id",)}))
    assert dropped.value is None
    assert dropped.order_id.startswith("hmac:")
    assert "A-1" not in repr(dropped)


def test_ga4s_order_is_hashed_in_both_places() -> None:
    event = {"name": "purchase", "params": {"transaction_id": "T-1001"}}
    request = parsed(post({"client_id": "c.1", "events": [event]}, path="/mp/collect"))
    touchpoint = only(validated(request, hashed=("order_id",)))
    assert "T-1001" not in repr(touchpoint)
    assert touchpoint.order_id.startswith("hmac:")


def test_what_is_equal_stays_equal_and_hashing_twice_is_hashing_once() -> None:
    event = {"type": "identify", "userId": "u", "messageId": "m", "traits": {"email": SECRET}}
    first = rest(only(batch(event, settings={"hashed": ("email",)})))["traits"]["email"]
    moved = {"type": "track", "event": "x", "userId": "u", "messageId": "n", "properties": {"email": SECRET}}
    assert rest(only(batch(moved, settings={"hashed": ("email",)})))["properties"]["email"] == first
    again = event | {"traits": {"email": first}}
    assert rest(only(batch(again, settings={"hashed": ("email",)})))["traits"]["email"] == first


def test_an_event_without_id_has_the_same_one_when_it_is_sent_again() -> None:
    event: dict[str, Any] = {"type": "track", "event": "x", "userId": "u", "timestamp": "2026-01-01T00:00:00Z"}
    event |= {"properties": {"email": SECRET, "n": 1}}
    settings: dict[str, Any] = {"hashed": ("email",)}
    first = only(batch(event, settings=settings))
    again = json.dumps(event | {"properties": rest(first)["properties"]}, separators=(",", ":"))
    request = parsed(post(f'{{"batch":[{again}]}}'.encode(), path="/v1/batch"))
    assert only(validated(request, **settings)).message_id == first.message_id


def test_an_event_that_cannot_be_read_is_not_kept() -> None:
    body = b'{"batch": [{"type": "track", "userId": "u", "properties": {"email": "%s", "n": [%s1%s]}}]}' % (
        SECRET.encode(),
        b"[" * 500,
        b"]" * 500,
    )
    result = validated(parsed(post(body, path="/v1/batch")), drop=("email",))
    assert SECRET.encode() not in result.rejected[0].payload


def test_no_message_quotes_a_named_member() -> None:
    sale = {"receipt": "R-1", "customer": "ada", "total": "t0psecret", "sold_at": "2026-01-31T09:30:00Z"}
    request = parsed(post({"sales": [sale]}, path="/v1/pos"))
    assert "t0psecret" in _all_copies(request)
    assert "t0psecret" not in _all_copies(parsed(post({"sales": [sale]}, path="/v1/pos")), drop=("total",))


def test_a_source_that_names_nothing_pays_nothing() -> None:
    assert named_fields(source(), RULES, {}) is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (PAGE, KEPT_PAGE),
        ("https://x.example/p", "https://x.example/p"),
        ("https://x.example/p?token=1", "https://x.example/p"),
        ("https://x.example/p?utm_source=a;token=1", "https://x.example/p?utm_source=a"),
        ("https://x.example/p?utm_source=a?token=1", "https://x.example/p?utm_source=a"),
        ("https://x.example/p?a=1&amp;gclid=2&amp;token=3", "https://x.example/p?gclid=2"),
        ("https://x.example/p?UTM_Source=a&%67clid=7", "https://x.example/p?UTM_Source=a&%67clid=7"),
        ("https://x.example/p?token", "https://x.example/p"),
        ("https://x.example/p#access_token=1&utm_source=a", "https://x.example/p#utm_source=a"),
        ("https://x.example/p#section", "https://x.example/p#section"),
        ("https://x.example/a=b/c?d=e", "https://x.example/a=b/c"),
        ("https://x.example/#/a?t=1#b?t=2&gclid=3", "https://x.example/#/a#b?gclid=3"),
        ("/p?token=1", "/p"),
        ("?token=1&gclid=2", "?gclid=2"),
        ("token=1&gclid=2", "gclid=2"),
        ("", ""),
        (5, 5),
    ],
)
def test_queries(sent: Any, kept: Any) -> None:
    assert _stripped(sent) == kept
    assert _stripped(kept) == kept


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["email", "E-Mail", "url", "x", "traits", "", "é"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def _without(value: Any) -> Any:
    """The rule, naively: no member is called email, but for case and punctuation."""
    if isinstance(value, dict):
        return {n: _without(v) for n, v in value.items() if n.lower().replace("-", "") != "email"}
    return [_without(part) for part in value] if isinstance(value, list) else value


@given(JSON)
def test_dropping_is_what_the_rule_says(value: Any) -> None:
    fields = NamedFields(("email",), (), (), b"", {}, ())
    remaining = fields.apply({"properties": value})
    assert remaining == {"properties": _without(value)}
    assert fields.apply(remaining) is remaining


@given(JSON)
def test_hashing_hides_and_is_idempotent(value: Any) -> None:
    fields = NamedFields((), ("email",), (), b"k", {}, ())
    remaining = fields.apply({"properties": value})
    assert fields.apply(remaining) == remaining
    raw = json.dumps({"properties": value}).encode()
    assert json.loads(fields.kept_of_raw(raw)) == remaining
