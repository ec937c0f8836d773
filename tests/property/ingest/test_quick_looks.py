"""What ingest remembers, or looks at quickly, comes out as the long way does."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.ingest.dialects import ga4, posthog, snowplow, split
from services.ingest.dialects.base import ParsedEvent, Request
from services.ingest.dialects.registry import RULES, match_route
from services.ingest.enrich.attribution import Origin, adds_nothing, attribution_of
from services.ingest.enrich.context import build_context, with_member
from services.ingest.event import ids
from services.ingest.event.event import NO_RAW, Event
from services.ingest.event.times import EARLIEST_US, SKEW_US
from services.ingest.event.verdict import MAX_DEPTH, MAX_EVENT_BYTES, RejectedError, Verdict
from services.ingest.validate import checks, fields, kept, privacy, touchpoint
from services.ingest.validate.fast_clocks import move_back
from services.ingest.validate.links import limit_links
from services.ingest.validate.request import Result, validate
from services.ingest.validate.when import check_times
from tests.strategies.requests import (
    cloudevents_requests,
    ga4_requests,
    posthog_requests,
    segment_requests,
    snowplow_requests,
)
from tests.strategies.values import JSON
from throughline.kit import time_text
from throughline.kit.clock import MIN_US, to_datetime
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey, SourceSettings
from throughline.store.access.modes import ConsentMode, IpMode

NAMES = st.sampled_from([*fields._PLACES, "price", "name"])
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["", "1", "u-1", True, 2**53, "yes"]) | JSON
OTHERS = {f"other {number}": number for number in range(fields._MANY)}
CONTEXTS: list[Any] = [
    None,
    [],
    {},
    "text",
    {"ip": "192.0.2.7"},
    {"userAgent": "Googlebot/2.1 (+http://www.google.com/bot.html)"},
    {"page": {"url": "https://shop.example/?utm_source=mail", "referrer": "https://www.google.com/"}},
    {"campaign": {"source": "google", "medium": "cpc"}, "ip": 7},
    {"campaign": {"source": "google", "medium": "email"}, "note": "é" * 1500},
]


def _read(properties: dict[str, Any]) -> tuple[Any, list[Verdict]]:
    warnings: list[Verdict] = []
    try:
        return fields.read_fields(properties, warnings), warnings
    except RejectedError as error:
        return error.verdict, []


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans())
def test_fields_are_read_among_many_properties_as_among_few(properties: dict[str, Any], first: bool) -> None:
    many = {**OTHERS, **properties} if first else {**properties, **OTHERS}
    assert _read(many) == _read(properties)


@given(st.from_regex(r"[12].{3}-.{0,20}", fullmatch=True) | st.datetimes().map(datetime.isoformat))
def test_a_text_that_begins_as_an_iso_time_has_no_other_form(text: str) -> None:
    if text[0] in "12" and text[4:5] == "-":
        assert time_text._YEAR_OUT_OF_RANGE.match(text) is None
        assert time_text._DAY.fullmatch(text) is None
        assert time_text.number_of(text) is None


@given(st.lists(st.sampled_from([*'ipIP\\u0="x', "ip", '"ip', "shipping"]), max_size=30).map("".join))
def test_no_address_is_overlooked(text: str) -> None:
    names = ('ip"', '"ip', "ip=", "Ip", "IP", "\\u00")
    has_name = any(name in text for name in names)
    assert privacy.may_hold_address(text) == has_name


@pytest.mark.parametrize("ip", IpMode)
@given(contexts=st.lists(st.sampled_from(CONTEXTS), min_size=1, max_size=12), shared=st.sampled_from(CONTEXTS))
def test_a_context_says_the_same_whatever_stood_before_it(ip: IpMode, contexts: list[Any], shared: Any) -> None:
    together = _validated(contexts, shared, ip)
    apart = [_validated([context], shared, ip) for context in contexts]
    assert together.verdicts == [verdict for each in apart for verdict in each.verdicts]
    assert [each._replace(place=0) for each in together.touchpoints] == [
        first for each in apart for first in each.touchpoints
    ]


def _validated(contexts: list[Any], shared: Any, ip: IpMode) -> Result:
    events = [{"type": "page", "userId": "u-1", "messageId": "m-1", "context": context} for context in contexts]
    body = msgspec.json.encode({"batch": events, "context": shared})
    route = match_route("POST", "/v1/batch")
    assert route is not None
    source = SourceKey(b"", 1, 1, "web", enabled=True, settings=SourceSettings(ip=ip))
    parsed = route.parse(Request("POST", "/v1/batch", "", [], body))
    kept._cached.cache_clear()
    return validate(parsed, source, RULES, received_us=1_795_000_000_000_000, new_id=lambda: "random")


REQUESTS = segment_requests() | posthog_requests() | snowplow_requests() | ga4_requests() | cloudevents_requests()
SOURCES = [
    SourceKey(b"", 1, 1, "web", enabled=True, settings=SourceSettings(ip=ip, consent=consent))
    for ip in IpMode
    for consent in (ConsentMode.OFF, ConsentMode.DROP)
]
NOW_US = 1_795_465_700_000_000
MEMORIES: list[Callable[[], None]] = [
    kept._cached.cache_clear,
    checks.check_name.cache_clear,
    checks.shipped_names.clear,
    posthog.event._cached_context.cache_clear,
    snowplow.context._cached_context.cache_clear,
    snowplow.context._cached_json.cache_clear,
    ga4.parse._cached_context.cache_clear,
]


def _outcome(request: Request, source: SourceKey, *, check_text: bool = False) -> Any:
    route = match_route(request.method, request.path)
    assert route is not None
    try:
        parsed = route.parse(request)
        if check_text:
            parsed.native, parsed.is_text_checked = False, False
        return validate(parsed, source, RULES, received_us=NOW_US, new_id=lambda: "random")
    except ServiceError as error:
        return error.code, error.message


@given(REQUESTS)
def test_text_that_is_said_to_be_checked_needs_no_check(request: Request) -> None:
    checked = _outcome(request, SOURCES[0], check_text=True)
    usual = _outcome(request, SOURCES[0])
    if isinstance(usual, Result) and isinstance(checked, Result):
        # Of a rejected event, a request that is not native also keeps what could be read of it.
        assert (checked.touchpoints, checked.verdicts) == (usual.touchpoints, usual.verdicts)
    else:
        assert checked == usual


@given(REQUESTS, st.lists(st.sampled_from(SOURCES), min_size=2, max_size=4))
def test_what_is_remembered_of_one_source_says_nothing_to_another(
    request: Request, sources: Sequence[SourceKey]
) -> None:
    remembering = [_outcome(request, source) for source in sources]
    for source, outcome in zip(sources, remembering, strict=True):
        for forget in MEMORIES:
            forget()
        assert _outcome(request, source) == outcome


MEMBER_NAMES = st.sampled_from(["page", "ip", "userAgent", "url"])
MEMBERS = st.recursive(
    st.sampled_from([1, None, "x", "bot/1.0"]), lambda part: st.lists(part) | st.dictionaries(MEMBER_NAMES, part)
)


@given(st.dictionaries(MEMBER_NAMES, MEMBERS, max_size=3), MEMBERS)
def test_a_member_joins_a_context_as_if_it_had_been_there(members: dict[str, Any], entities: Any) -> None:
    assert with_member(build_context(members), "entities", entities) == build_context({**members, "entities": entities})


ADDRESS_NAMES = st.sampled_from([*RULES.address_members, "shipping", "tip", "name", "IPA"])
ADDRESS_VALUES = st.sampled_from(
    ["81.2.69.160", "https://x.example/?ip=81.2.69.160&a=b", "a&_uip=81.2.69.160", "zip=1", "=", 'an "ip" \\', 7]
)


@given(st.dictionaries(ADDRESS_NAMES, ADDRESS_VALUES | st.dictionaries(ADDRESS_NAMES, ADDRESS_VALUES, max_size=1)))
def test_an_object_without_an_address_is_kept_whole(members: dict[str, Any]) -> None:
    text = f'"properties":{msgspec.json.encode(members).decode()}'
    if privacy.has_no_address(members, text, len('"properties":'), RULES):
        assert privacy.kept_of_rejected(text.encode(), IpMode.DROP, RULES) == text.encode()


IDS = st.text("aZ09 -@._é{", max_size=4) | st.sampled_from(["u-1", "null", "000", "@@x1@@", "-1", "x" * 60 + "1"])


@given(IDS, IDS, IDS)
def test_usual_ids_are_seen_together_as_each_alone(user: str, anonymous: str, message_id: str) -> None:
    together = ids.are_usual_ids(f"{user} {anonymous} {message_id}") is not None
    given_ids = [each for each in (user, anonymous) if each]
    assert together == all(map(ids.is_usual_id, [*given_ids, message_id]))
    if together:
        assert [ids.clean_id(each) for each in given_ids] == given_ids


def _builder(sent_us: int | None = None, cutoff_us: int = MIN_US) -> touchpoint.TouchpointBuilder:
    return touchpoint.TouchpointBuilder(
        call="track",
        sent_us=sent_us,
        is_sent_usual=None if sent_us is None else 0 <= NOW_US - sent_us <= SKEW_US,
        workspace=1,
        source=1,
        received_us=NOW_US,
        new_id=str,
        ip=IpMode.KEEP,
        retention_cutoff_us=cutoff_us,
        oldest_us=max(cutoff_us, EARLIEST_US),
        consent=ConsentMode.OFF,
        rules=RULES,
        earliest_us=EARLIEST_US,
        is_history=False,
        ahead_us={},
    )


_INSTANTS = st.sampled_from([0, EARLIEST_US, NOW_US - 10**9, NOW_US, NOW_US + SKEW_US]).flatmap(
    lambda us: st.integers(us - 2, us + 2)
)


@given(
    st.none() | _INSTANTS,
    st.none() | _INSTANTS,
    st.none() | _INSTANTS,
    st.sampled_from([MIN_US, NOW_US - 10**9, NOW_US + 1]),
    st.booleans(),
)
def test_a_usual_time_needs_no_second_look(
    client_us: int | None, sent_us: int | None, batch_us: int | None, cutoff_us: int, in_event: bool
) -> None:
    event, when = Event(), None
    if in_event:
        event.timestamp = None if client_us is None else to_datetime(client_us)
        event.sentAt = None if sent_us is None else to_datetime(sent_us)
    elif client_us is not None:
        when = client_us, sent_us
    builder = _builder(batch_us, cutoff_us)
    usual_us = builder._usual_us(event, when)
    if usual_us:
        warnings: list[Verdict] = []
        assert check_times(builder, event, when, warnings, "") == (min(usual_us, NOW_US), usual_us)
        assert not warnings
        assert not builder.ahead_us


EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "identify", "alias"]),
        "event": st.sampled_from(["Order Completed", "Signed Upp"]),
    },
    optional={
        "userId": st.sampled_from(["u-1", "u-2", "null"]),
        "anonymousId": st.sampled_from(["a-1", "a-2", "undefined"]),
        "previousId": st.sampled_from(["p-1", "a-1"]),
        "messageId": st.sampled_from(["m-1", "m-2"]),
        "timestamp": st.sampled_from(["2026-11-23T20:00:00Z", "2026-11-23T20:00:00"]),
        "sentAt": st.sampled_from(["2026-11-23T20:28:15Z", "2026-11-23T20:00:01Z"]),
        "properties": st.sampled_from(
            [{"order_id": "o-1"}, {"order_id": "null"}, {"test": True}, {"ip": "81.2.69.160"}]
        ),
        "category": st.sampled_from(["x", {"ip": "81.2.69.160"}]),
    },
)


@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_an_event_says_the_same_whatever_stood_before_it(events: list[dict[str, Any]]) -> None:
    def outcome(some: list[dict[str, Any]]) -> Result:
        body = msgspec.json.encode({"batch": some})
        return _outcome(Request("POST", "/v1/batch", "", [], body), SOURCES[0])  # type: ignore[no-any-return]

    together, apart = outcome(events), [outcome([event]) for event in events]
    assert together.verdicts == [verdict for each in apart for verdict in each.verdicts]
    assert [each._replace(place=0) for each in together.touchpoints] == [
        first for each in apart for first in each.touchpoints
    ]


@given(st.lists(EVENTS, max_size=12), st.integers(0, 4), st.sets(st.sampled_from(["u-1", "a-2", "p-1"])).map(frozenset))
def test_a_request_of_few_links_needs_no_walk(
    events: list[dict[str, Any]], limit: int, suspects: frozenset[str]
) -> None:
    route = match_route("POST", "/v1/batch")
    assert route is not None
    source = SourceKey(b"", 1, 1, "web", enabled=True)

    def touchpoints(source: SourceKey, link_limit: int) -> list[Any]:
        parsed = route.parse(Request("POST", "/v1/batch", "", [], msgspec.json.encode({"batch": events})))
        result = validate(parsed, source, RULES, received_us=NOW_US, new_id=lambda: "random", link_limit=link_limit)
        return result.touchpoints

    expected = touchpoints(source, 1000)
    for number, (limited, _) in limit_links(expected, limit, suspects).items():
        expected[number] = limited
    assert touchpoints(replace(source, suspects=suspects), limit) == expected


@given(st.lists(st.sampled_from(["view", "order"]), min_size=1, max_size=5))
def test_properties_that_are_the_same_object_are_read_once(kinds: list[str]) -> None:
    shared: dict[str, dict[str, Any]] = {"view": {"product_id": "p"}, "order": {"order_id": "0", "total": "x"}}

    def built(properties: list[dict[str, Any]]) -> list[Any]:
        builder = _builder()
        outcomes = []
        for each in properties:
            event = Event(userId="u-1", messageId="m-1", event="Order Completed", properties=NO_RAW)
            event.properties = msgspec.Raw(msgspec.json.encode(each))
            parsed = ParsedEvent(b"{}", event, None, [], properties=each)
            outcomes.append((builder.build(parsed, 0), parsed.warnings))
        return outcomes

    assert built([shared[kind] for kind in kinds]) == built([{**shared[kind]} for kind in kinds])


@given(posthog_requests())
def test_a_usual_batch_is_read_as_its_events_one_by_one(request: Request) -> None:
    at_once = _outcome(request, SOURCES[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posthog.parse, "try_usual_batch", lambda _: None)
        assert _outcome(request, SOURCES[0]) == at_once


def test_what_is_kept_of_a_rejected_event_of_a_usual_batch_is_its_bytes() -> None:
    events = [b'{"event": "a", "distinct_id": "u-1", "uuid": "m-1"}', b'{"event": "b", "distinct_id": "null"}']
    request = Request("POST", "/batch", "", [], b'{"api_key": "k", "batch": [' + b", ".join(events) + b"]}")
    assert posthog.wire.try_usual_batch(request.body) is not None
    (rejected,) = _outcome(request, SOURCES[0]).rejected
    assert (rejected.position, rejected.payload) == (1, events[1])


@pytest.mark.parametrize(
    "event",
    [
        {"properties": {"note": "x" * MAX_EVENT_BYTES}},
        {"properties": {"note": "x"}, "$set": {"note": "x" * MAX_EVENT_BYTES}},
        {"properties": json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)},
    ],
)
def test_a_batch_with_an_event_that_is_too_large_or_deep_is_no_usual_one(event: dict[str, Any]) -> None:
    sent = [{"event": "a", "distinct_id": "u-1", "uuid": "m-1"}, {"event": "b", "distinct_id": "u-1", **event}]
    request = Request("POST", "/batch", "", [], msgspec.json.encode({"api_key": "k", "batch": sent}))
    assert posthog.wire.try_usual_batch(request.body) is None
    assert [verdict is None for verdict in _outcome(request, SOURCES[0]).verdicts] == [True, False]


ORIGINS = st.builds(
    Origin,
    st.sampled_from([(), ("mail", "email", "", "", "")]),
    st.sampled_from(["", "https://shop.example/?utm_source=x", "https://shop.example/"]),
    st.sampled_from(["", "https://www.google.com/", "https://shop.example/"]),
)
ORIGIN_PROPERTIES = st.dictionaries(
    st.sampled_from(["url", "referrer", "gclid", "utm_source", "name"]),
    st.sampled_from(["", "x", 7, None, "https://shop.example/", "https://b.example/?gclid=1", "https://b.example/#a"]),
)


@given(ORIGINS, ORIGIN_PROPERTIES, st.sampled_from(["page", "track"]))
def test_properties_that_add_nothing_leave_the_attribution_of_the_context(
    origin: Origin, properties: dict[str, Any], call: str
) -> None:
    if adds_nothing(origin, properties, call):
        assert attribution_of(origin, properties, call) == attribution_of(origin)


@given(st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whether_a_body_is_an_object_is_seen_without_its_members(body: bytes) -> None:
    def is_object(decoder: msgspec.json.Decoder[Any]) -> bool:
        try:
            decoder.decode(body)
        except msgspec.DecodeError:
            return False
        return True

    if split.is_clean(body):
        assert is_object(split._OBJECT) == is_object(split._FIELDS)


@given(st.integers(1, 10**12), st.booleans())
def test_one_event_of_a_fast_clock_happened_when_it_was_received(ahead_us: int, is_at_start: bool) -> None:
    time = to_datetime(NOW_US + (0 if is_at_start else SKEW_US) + ahead_us)
    event = {"type": "page", "userId": "u-1", "messageId": "m-1", "timestamp": time}
    request = Request("POST", "/v1/batch", "", [], msgspec.json.encode({"batch": [event]}))
    (moved,) = _outcome(request, SOURCES[0]).touchpoints
    assert moved.occurred_us == NOW_US
    assert move_back([moved], {"u-1": moved.client_us - NOW_US}, NOW_US) == [moved]
