"""Touchpoints and verdicts of PostHog's requests, as its libraries sent them."""

import base64
import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from services.ingest.dialects.base import Request
from services.ingest.dialects.posthog.parse import RESULTS_PATH, parse_batch, parse_capture
from services.ingest.dialects.posthog.settings import config, config_script, parse_flags
from services.ingest.validate.request import Result
from tests.support.dialect_requests import NOW, codes, only, post, rest, source
from tests.support.dialect_requests import take as take_by
from throughline.kit.clock import to_us
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

FIXTURES = Path(__file__).parents[4] / "fixtures" / "posthog"
TIME = "2026-11-23T20:28:00Z"
EVENT = {"event": "Product Viewed", "distinct_id": "ada", "uuid": "u-1", "timestamp": TIME}


def recorded(name: str) -> Request:
    sent = json.loads((FIXTURES / f"{name}.json").read_text())
    headers = [(key.encode(), value.encode()) for key, value in sent["headers"].items()]
    path, _, query = sent["path"].partition("?")
    return post(sent["body"].encode(), query, path.rstrip("/"), headers)


def take(*events: Any, **head: Any) -> Result:
    return take_by(parse_capture, post({"api_key": "k", **head, "batch": events}, path="/batch"))


def touchpoint_of(properties: Any = None, **fields: Any) -> Touchpoint:
    return only(take({**EVENT, "properties": properties or {}, **fields}))


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def ids_of(result: Result) -> list[tuple[str, str, str, str, str]]:
    return [(t.call, t.name, t.user_id, t.anonymous_id, t.previous_id) for t in result.touchpoints]


@pytest.mark.parametrize("name", ["python", "python-v1"])
def test_python(name: str) -> None:
    request = recorded(name)
    result = take_by(parse_capture, request)
    assert not result.rejected
    order, viewed, plan, _, group = result.touchpoints
    assert ids_of(result)[0] == ("track", "Order Completed", "ada", "", "")
    assert (order.order_id, order.value, order.currency) == ("A-1", 59.9, "EUR")
    # Captured without a distinct id: the library makes one up and sends that it is no person's.
    assert (viewed.user_id, viewed.product_id) == ("", "BOOT")
    assert viewed.anonymous_id == viewed.actor != ""
    assert ids_of(result)[2:] == [
        ("identify", "", "ada", "", ""),
        ("alias", "", "ada", "", "anon-1"),
        ids_of(result)[4],
    ]
    assert ids_of(result)[4] == ("group", "", "ada", "", "")
    assert rest(group)["groupId"] == "acme"
    assert rest(group)["traits"] == {"size": 3}
    assert plan.message_id == [each["uuid"] for each in json.loads(request.body)["batch"]][2]
    assert rest(plan)["context"]["library"] == {"name": "posthog-python", "version": "7.91.1"}
    assert rest(plan)["traits"] == {"plan": "gold"}


@pytest.mark.parametrize("headers", [(), ((b"posthog-sdk-info", b"posthog-python/7.91.1"),)])
@pytest.mark.parametrize(
    ("distinct", "verdict"),
    [
        ("$company_acme", ("rejected", "missing_id", "distinct_id")),
        ("39e821e3-488f-4f1e-b372-9631b38512d1", ("rejected", "missing_id", "distinct_id")),
        ("ada", None),
        ("019a2b3c-488f-7f1e-b372-9631b38512d1", None),
    ],
)
def test_a_group_is_no_customer(headers: Any, distinct: str, verdict: Any) -> None:
    group = {"$group_type": "company", "$group_key": "acme", **({} if headers else {"$lib": "posthog-python"})}
    event = {**EVENT, "event": "$groupidentify", "distinct_id": distinct, "properties": group}
    assert codes(take_by(parse_capture, post({"batch": [event]}, path=RESULTS_PATH, headers=headers))) == [verdict]


def test_the_newer_endpoint_is_answered_by_uuid() -> None:
    request = recorded("python-v1")
    parsed = parse_capture(request)
    assert (request.path, parsed.write_key) == (RESULTS_PATH, "")
    assert parsed.reply is not None
    result = take_by(parse_capture, request)
    verdicts = list(result.verdicts)
    verdicts[1] = take({**EVENT, "distinct_id": ""}).verdicts[0]
    verdicts[2] = take({**EVENT, "timestamp": "soon"}).verdicts[0]
    media_type, body = parsed.reply(verdicts)
    results = list(json.loads(body)["results"].items())
    assert media_type == b"application/json"
    assert [uuid for uuid, _ in results] == [each["uuid"] for each in json.loads(request.body)["batch"]]
    assert [outcome["result"] for _, outcome in results] == ["ok", "drop", "warning", "ok", "ok"]
    assert "missing_id distinct_id" in results[1][1]["details"]


def test_the_newer_endpoint_answers_rejected_events_too() -> None:
    request = post({"batch": [{**EVENT, "event": 5}, 7, {**EVENT, "uuid": 8}]}, path=RESULTS_PATH)
    parsed = parse_capture(request)
    assert parsed.reply is not None
    _, body = parsed.reply(take_by(parse_capture, request).verdicts)
    assert {uuid: outcome["result"] for uuid, outcome in json.loads(body)["results"].items()} == {
        "u-1": "drop",
        "8": "ok",
    }


def test_node() -> None:
    result = take_by(parse_capture, recorded("node"))
    order, viewed = result.touchpoints[:2]
    assert (order.actor, order.order_id) == ("ada", "A-1")
    assert (viewed.user_id, viewed.anonymous_id) == ("", viewed.actor)
    assert ids_of(result)[2:] == [
        ("identify", "", "ada", "anon-1", ""),
        ("alias", "", "ada", "", "anon-2"),
        ("group", "", "ada", "", ""),
    ]
    assert rest(result.touchpoints[2])["traits"] == {"plan": "gold"}
    # groupIdentify without a distinctId: the library makes the id of the group's.
    assert [verdict and verdict[:3] for verdict in result.verdicts if verdict] == [
        ("rejected", "missing_id", "distinct_id")
    ]


def test_the_browser() -> None:
    (page,) = take_by(parse_capture, recorded("browser-pageview")).touchpoints
    assert (page.call, page.user_id, page.anonymous_id) == ("page", "", page.actor)
    assert page.channel == "email"
    context = rest(page)["context"]
    assert context["campaign"] == {"source": "news", "medium": "email"}
    assert (context["page"]["referrer"], context["page"]["title"]) == ("https://www.google.com/", "Boots")
    assert context["library"] == {"name": "web", "version": "1.449.2"}
    assert "Chrome" in context["userAgent"]
    (identify,) = take_by(parse_capture, recorded("browser-identify")).touchpoints
    assert (identify.call, identify.user_id, identify.anonymous_id) == ("identify", "ada", page.actor)
    assert rest(identify)["traits"]["plan"] == "gold"


def test_the_device_of_an_app_and_not_that_of_a_server() -> None:
    assert json.loads(
        touchpoint_of({"$device_type": "Tablet", "$os_name": "Android", "$lib": "posthog-android"}).attribution
    ) == {"device": {"type": "tablet", "os": "Android"}}
    assert touchpoint_of({"$os": "Linux", "$os_name": "Linux", "$lib": "posthog-python"}).attribution == ""


def test_the_beacon_of_a_browser() -> None:
    request = recorded("browser-beacon")
    assert request.body.startswith(b"data=")
    assert parse_capture(request).write_key == "phc_key"
    touchpoints = take_by(parse_capture, request).touchpoints
    assert [(t.actor, t.order_id) for t in touchpoints if t.order_id] == [("ada", "A-1")]


@pytest.mark.parametrize(
    ("properties", "anonymous"),
    [
        ({}, False),
        ({"$device_id": "other"}, False),
        ({"$device_id": "ada"}, True),
        ({"$device_id": "ada", "$is_identified": True}, False),
        ({"$is_identified": False}, True),
        ({"$is_identified": True, "$process_person_profile": False}, False),
        ({"$process_person_profile": False}, True),
        ({"$process_person_profile": "false"}, True),
        ({"$process_person_profile": True}, False),
        ({"$process_person_profile": None, "$is_identified": None}, False),
    ],
)
def test_anonymous_distinct_ids(properties: Any, anonymous: bool) -> None:
    touchpoint = touchpoint_of(properties)
    assert (touchpoint.anonymous_id if anonymous else touchpoint.user_id) == "ada"
    assert (touchpoint.user_id if anonymous else touchpoint.anonymous_id) == ""


def test_anonymous_distinct_ids_by_the_newer_endpoints_options() -> None:
    assert touchpoint_of(options={"process_person_profile": False}).anonymous_id == "ada"
    assert touchpoint_of(options={"process_person_profile": True}).user_id == "ada"


@pytest.mark.parametrize(
    "fields",
    [
        {"distinct_id": "$posthog_cookieless"},
        {"properties": {"$cookieless_mode": True}},
        {"options": {"cookieless_mode": True}},
    ],
)
def test_cookieless_events_have_no_id(fields: Any) -> None:
    assert codes(take({**EVENT, **fields})) == [("rejected", "missing_id", "distinct_id")]


def test_aliases() -> None:
    alias = touchpoint_of({"alias": "ada", "distinct_id": "anon"}, event="$create_alias", distinct_id=None)
    assert (alias.call, alias.user_id, alias.previous_id) == ("alias", "ada", "anon")
    merge = touchpoint_of({"alias": "old"}, event="$merge_dangerously")
    assert (merge.call, merge.user_id, merge.previous_id) == ("alias", "ada", "old")
    for name in ("$create_alias", "$merge_dangerously"):
        assert codes(take({**EVENT, "event": name})) == [("rejected", "missing_field", "properties.alias")]
        without_id = {**EVENT, "event": name, "distinct_id": None, "properties": {"alias": "x"}}
        assert codes(take(without_id)) == [("rejected", "missing_id", "distinct_id")]
        assert codes(take({**without_id, "properties": {"alias": "null"}})) == [
            ("rejected", "illegal_id", "properties.alias")
        ]


def test_other_calls() -> None:
    assert (
        touchpoint_of({"$screen_name": "Basket"}, event="$screen").call,
        touchpoint_of(event="$autocapture").name,
    ) == (
        "screen",
        "$autocapture",
    )
    assert touchpoint_of({"$screen_name": "Basket"}, event="$screen").name == "Basket"
    assert touchpoint_of(event="$pageleave").call == "track"
    traits = {"$set": {"a": 3, "b": 4}, "$set_once": {"b": 1, "c": 1}}
    touchpoint = touchpoint_of({"$set": {"a": 1}, "$set_once": {"a": 0, "d": 0}}, event="$set", **traits)
    assert (touchpoint.call, rest(touchpoint)["traits"]) == ("identify", {"a": 3, "b": 4, "c": 1, "d": 0})


def test_times() -> None:
    wrong_clock = touchpoint_of(sent_at="2026-11-23T10:00:10Z", timestamp="2026-11-23T10:00:00Z")
    assert wrong_clock.occurred_us == NOW - 10_000_000
    ignored = touchpoint_of({"$ignore_sent_at": True}, sent_at="2026-11-23T10:00:10Z", timestamp="2026-11-23T10:00:00Z")
    assert ignored.occurred_us == us("2026-11-23T10:00:00Z")
    waited = {**EVENT, "timestamp": None, "offset": 7000}
    result = take_by(parse_capture, post([{**waited, "api_key": "k"}], f"ip=1&_={NOW // 1000 - 9_000_000}", "/e"))
    assert only(result).occurred_us == NOW - 7_000_000
    assert only(take(waited)).occurred_us == NOW
    assert only(take(waited, sent_at="2026-11-23T20:28:30Z")).occurred_us == us("2026-11-23T20:28:23Z")
    header = [(b"posthog-request-timestamp", b"2026-11-23T10:00:10Z")]
    request = post({"batch": [{**EVENT, "timestamp": "2026-11-23T10:00:00Z"}]}, path=RESULTS_PATH, headers=header)
    assert only(take_by(parse_capture, request)).occurred_us == NOW - 10_000_000
    assert codes(take({**EVENT, "timestamp": "soon"})) == [("warning", "unreadable_time", "timestamp")]
    assert codes(take({**EVENT, "offset": "x"})) == [("warning", "unreadable_time", "offset")]
    assert codes(take({**waited, "offset": 1e300, "sent_at": TIME})) == [("rejected", "time_out_of_range", "offset")]


def test_an_address_is_moved_to_the_context() -> None:
    stored = rest(touchpoint_of({"$ip": "203.0.113.9", "x": 1}))
    assert stored["properties"] == {"x": 1}
    assert stored["context"]["ip"] == "203.0.113.0"


@pytest.mark.parametrize("compression", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "body", [EVENT | {"api_key": "k"}, [EVENT | {"properties": {"token": "k"}}], {"batch": [EVENT], "token": "k"}]
)
def test_bodies(body: Any, compression: Any) -> None:
    plain = json.dumps(body).encode()
    encoded = base64.b64encode(compression(plain)).decode()
    forms = [f"data={quote(encoded)}", f"compression=base64&data={encoded}", encoded, f"data={quote(plain.decode())}"]
    for sent in (plain, b" \n" + plain, *(form.encode() for form in forms)):
        request = post(sent, "compression=base64", "/e")
        assert parse_capture(request).write_key == "k"
        assert only(take_by(parse_capture, request)).message_id == "u-1"


def test_a_form_of_plain_json() -> None:
    sent = json.dumps({**EVENT, "event": "注文", "token": "k"}, ensure_ascii=False)
    for form in (f"data={quote(sent)}", f"a=1&data={quote(sent)}"):
        assert only(take_by(parse_capture, post(form.encode(), path="/e"))).name == "注文"


@pytest.mark.parametrize(
    "body", [b"", b"7", b"data=%21", b"data=", b"garbage{", b'{"batch": 5}', b'[{"event"', b"\xff"]
)
def test_unreadable_bodies(body: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_capture(post(body, path="/e"))
    assert caught.value.status == 400


def test_an_unreadable_head() -> None:
    body = json.dumps({"api_key": "k", "sent_at": 0, "batch": [EVENT]}).replace('"sent_at": 0', '"sent_at": 1e999')
    with pytest.raises(ServiceError) as caught:
        parse_capture(post(body.encode(), path="/batch"))
    assert (caught.value.code, caught.value.field) == ("number_out_of_range", "sent_at")


def test_a_bad_event_leaves_its_neighbours_alone() -> None:
    bad: list[Any] = [
        7,
        {},
        {**EVENT, "event": ["x"]},
        {**EVENT, "distinct_id": {"a": 1}},
        {**EVENT, "distinct_id": "undefined"},
        {**EVENT, "properties": [1]},
        {**EVENT, "uuid": [1]},
        {**EVENT, "event": "$identify", "$set": 7, "properties": {"$set": {"a": 1}}},
    ]
    result = take(EVENT, *bad, EVENT)
    assert [None if verdict is None else verdict.field for verdict in result.verdicts] == [
        None,
        "",
        "event",
        "event",
        "distinct_id",
        "distinct_id",
        "properties",
        "uuid",
        "$set",
        None,
    ]
    assert len(result.touchpoints) == 2
    nan = b'{"api_key":"k","batch":[%s,{"event":"x","distinct_id":"a","properties":{"n":NaN}}]}'
    result = take_by(parse_capture, post(nan % json.dumps(EVENT).encode(), path="/batch"))
    assert codes(result) == [None, ("rejected", "number_out_of_range", "properties.n")]


def test_unknown_members_are_kept() -> None:
    touchpoint = touchpoint_of(
        {"a": 1}, **{"$unset": ["x"], "session_id": "s", "options": {}, "more": {"b": 2}, "distinct_id": 42}
    )
    assert (touchpoint.actor, rest(touchpoint)) == (
        "42",
        {"properties": {"a": 1}, "more": {"b": 2}, "$unset": ["x"], "session_id": "s"},
    )


def test_batch_takes_segments_requests_too() -> None:
    segments = post({"batch": [{"type": "track", "event": "api_key", "userId": "a"}], "writeKey": "w"}, path="/batch")
    parsed = parse_batch(segments)
    assert parsed.native
    assert parsed.write_key == "w"
    assert not parse_batch(recorded("python")).native


def test_settings_and_flags() -> None:
    settings = json.loads(config(source(), "key"))
    assert "gzip-js" in settings["supportedCompression"]
    assert settings["hasFeatureFlags"] is False
    script = config_script(source(), '</script>"]').decode()
    assert "</script>" not in script
    parsed = parse_flags(post(b"anything"))
    assert parsed.reply is not None
    assert json.loads(parsed.reply(())[1])["flags"] == {}


@pytest.mark.parametrize("event", [{"$distinct_id": "ada"}, {"distinct_id": "ada", "event": "profile"}])
def test_engage_is_an_identify(event: dict[str, Any]) -> None:
    sent = {"token": "k", "$set": {"plan": "gold"}, "uuid": "u-1", "timestamp": TIME, **event}
    touchpoint = only(take_by(parse_capture, post(sent, path="/engage/")))
    assert (touchpoint.call, touchpoint.actor) == ("identify", "ada")
    assert rest(touchpoint)["traits"] == {"plan": "gold"}
    rejected = parse_capture(post({**sent, "distinct_id": "null"}, path="/engage"))
    assert rejected.replay_request is not None
    assert rejected.replay_request().path == "/engage"


def test_batch_takes_base64_and_forms_as_the_other_paths_do() -> None:
    body = json.dumps({"api_key": "k", "batch": [EVENT]}).encode()
    encoded = base64.b64encode(body)
    forms = [encoded, b"data=" + quote(encoded).encode(), b"compression=base64&data=" + quote(encoded).encode()]
    forms += [b"data=" + quote(body).encode(), base64.b64encode(gzip.compress(body))]
    for form in forms:
        parsed = parse_batch(post(form, path="/batch"))
        assert parsed.write_key == "k"
        assert only(take_by(parse_batch, post(form, path="/batch"))).message_id == "u-1"


@pytest.mark.parametrize("sent", [" ", "null", "undefined"])
def test_a_placeholder_is_no_uuid(sent: str) -> None:
    ids = {
        touchpoint.message_id
        for touchpoint in take({**EVENT, "uuid": sent}, {**EVENT, "uuid": sent, "n": 1}).touchpoints
    }
    assert len(ids) == 2
    assert sent not in ids
