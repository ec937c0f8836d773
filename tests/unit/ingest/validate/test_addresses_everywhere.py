"""Addresses in accepted events: gone from every member in which a refused event loses them, in every dialect."""

import base64
import json
from typing import Any

import pytest

from services.ingest.dialects.base import ParsedRequest
from services.ingest.dialects.registry import RULES
from services.ingest.validate.privacy import may_hold_address
from tests.support.dialect_requests import batch, only, parsed, post, rest, validated

ADDRESS = "81.2.69.160"
HIDDEN = [
    {"ip": ADDRESS},
    {"request_ip": ADDRESS},
    {"ip_address": ADDRESS, "ipAddress": ADDRESS},
    {"$ip": ADDRESS},
    {"client_ip": ADDRESS, "clientIp": ADDRESS},
    {"source_ip": f"{ADDRESS}, 10.0.0.1"},
    {"deep": [{"er": {"ip": ADDRESS}}]},
    {"ip": [ADDRESS, ADDRESS]},
    {"ip": {"v4": ADDRESS}},
    {"url": f"https://shop.example/?ip={ADDRESS}&b=1"},
    {"text": f'say "?ip={ADDRESS}" twice'},
]


def _segment(hidden: Any) -> ParsedRequest:
    event = {"type": "track", "event": "Viewed", "userId": "ada", "messageId": "m", **hidden}
    places = dict.fromkeys(("properties", "traits", "context", "integrations", "_metadata"), hidden)
    return parsed(post({"batch": [event | places]}, path="/v1/batch"))


def _ga4(hidden: Any) -> ParsedRequest:
    body = {"client_id": "c.1", "user_data": hidden, "events": [{"name": "view", "params": hidden, **hidden}]}
    return parsed(post(body | {"user_properties": {name: {"value": part} for name, part in hidden.items()}},
                       path="/mp/collect"))  # fmt: skip


def _posthog(hidden: Any) -> ParsedRequest:
    event = {"event": "viewed", "distinct_id": "ada", "properties": {**hidden, "$set": hidden}, "$set_once": hidden}
    return parsed(post({"api_key": "k", "batch": [event | hidden]}, path="/batch"))


def _cloudevents(hidden: Any) -> ParsedRequest:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "viewed", "subject": "ada", "data": hidden}
    return parsed(post(event | {f"x{n}": part for n, part in enumerate(hidden)}, path="/v1/cloudevents"))


def _snowplow(hidden: Any) -> ParsedRequest:
    data = {"schema": "iglu:com.x/viewed/jsonschema/1-0-0", "data": hidden}
    inner = base64.urlsafe_b64encode(json.dumps({"schema": "iglu:u/u/j/1", "data": data}).encode()).decode()
    event = {"e": "ue", "ue_px": inner, "aid": "k", "uid": "ada", "ip": ADDRESS}
    return parsed(post({"schema": "s", "data": [event]}, path="/com.snowplowanalytics.snowplow/tp2"))


def _pos(hidden: Any) -> ParsedRequest:
    sale = {"receipt": "R-1", "sold_at": "2026-01-31T09:30:00Z", "customer": "ada", "total": 1}
    return parsed(post({"sales": [sale | hidden]}, path="/v1/pos"))


DIALECTS = [_segment, _ga4, _posthog, _cloudevents, _snowplow, _pos]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("mode", ["shorten", "drop"])
def test_no_address_is_kept(dialect: Any, hidden: Any, mode: str) -> None:
    touchpoint = only(validated(dialect(hidden), ip=mode))
    assert ADDRESS not in touchpoint.rest
    assert ADDRESS not in touchpoint.attribution
    assert isinstance(rest(touchpoint), dict)
    whole = only(validated(dialect(hidden), ip="keep"))
    assert ADDRESS in whole.rest


def test_the_network_is_kept() -> None:
    event = {"type": "track", "event": "x", "userId": "a", "messageId": "m", "properties": {"ip": ADDRESS, "n": 1}}
    assert rest(batch(event).touchpoints[0])["properties"] == {"ip": "81.2.69.0", "n": 1}


def test_a_name_with_escapes_hides_nothing() -> None:
    body = (
        b'{"batch":[{"type":"track","event":"x","userId":"a","messageId":"m","properties":{"\\u0069p":"81.2.69.160"}}]}'
    )
    assert rest(only(validated(parsed(post(body, path="/v1/batch")))))["properties"] == {"ip": "81.2.69.0"}
    escaped = body.replace(b'"\\u0069p":"81', b'"url":"https://x.example/?a=1\\u0026ip=81')
    assert ADDRESS not in only(validated(parsed(post(escaped, path="/v1/batch")))).rest


def test_what_is_no_address_stays() -> None:
    properties = {"zip": "10.0.0.1", "trip": ADDRESS, "description": f"at {ADDRESS}", "tip": 5}
    event = {"type": "track", "event": "x", "userId": "a", "messageId": "m", "properties": properties}
    assert rest(batch(event).touchpoints[0])["properties"] == properties


def test_every_name_is_looked_for() -> None:
    for name in RULES.address_members:
        assert may_hold_address(f'{{"{name}": 1}}'), name
    for name in RULES.address_parameters:
        assert may_hold_address(f"?{name}=1"), name
