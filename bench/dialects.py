"""Requests of every dialect, made of what real clients were recorded sending (`tests/fixtures`), their ids made many.

Nobody here has recorded RudderStack and Jitsu: theirs are Segment's recorded events with what those libraries add.
"""

import base64
from collections.abc import Callable
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import msgspec

from services.ingest.dialects.base import Request
from services.ingest.event import times
from throughline.kit.clock import to_us

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
TRANSIT_US = 40_000
CUSTOMERS = 5_000
JSON = ((b"content-type", b"application/json"), (b"user-agent", b"recorded"))
_numbers = count(1)


class Case(NamedTuple):
    """Requests of one kind, of one dialect."""

    name: str
    events: int
    """In each request."""
    requests: list[Request]
    received_us: int
    """Shortly after the clients' clocks say that they sent."""

    @property
    def event_bytes(self) -> float:
        """Mean of body and query, per event."""
        size = sum(len(request.body) + len(request.query) for request in self.requests)
        return size / len(self.requests) / self.events


def cases(requests: int) -> list[Case]:
    """So many requests of each kind: Segment's of 100, 25 and one event first, which the others stand beside."""
    return [make(requests) for make in _MAKERS]


def _ids() -> tuple[str, str]:
    """(message id, customer id), new ones."""
    number = next(_numbers)
    return f"{number:08x}-4f8c-4d3a-8b37-ade5205f1e06", f"customer-{number % CUSTOMERS:07d}"


def _load(name: str) -> Any:
    return msgspec.json.decode((FIXTURES / name).read_bytes())


def _body(name: str) -> Any:
    return msgspec.json.decode(_load(name)["body"])


def _us(text: str) -> int:
    found = times.parse(text, "sentAt")
    assert found is not None
    return to_us(found)


def _post(path: str, body: Any, query: str = "", headers: tuple[tuple[bytes, bytes], ...] = JSON) -> Request:
    return Request("POST", path, query, headers, body if isinstance(body, bytes) else msgspec.json.encode(body))


# --- Segment and those who speak like it


def _segment_events(events: int) -> list[dict[str, Any]]:
    recorded = _body("segment/python.json")["batch"]
    made = []
    for event in islice(cycle(recorded), events):
        message_id, user = _ids()
        one = {**event, "messageId": message_id}
        one["userId" if one.get("userId") else "anonymousId"] = user
        made.append(one)
    return made


def _segment(events: int) -> Callable[[int], Case]:
    def make(requests: int) -> Case:
        body = _body("segment/python.json")
        if events > 1:
            found = [_post("/v1/batch", {**body, "batch": _segment_events(events)}) for _ in range(requests)]
        else:
            found = [_post(f"/v1/{e['type']}", {**e, "sentAt": body["sentAt"]}) for e in _segment_events(requests)]
        return Case("Segment", events, found, _us(body["sentAt"]) + TRANSIT_US)

    return make


def _rudder(requests: int) -> Case:
    sent = _body("segment/python.json")["sentAt"]

    def event(one: dict[str, Any]) -> dict[str, Any]:
        time = one.pop("timestamp")
        more = {"channel": "server", "originalTimestamp": time, "sentAt": sent, "integrations": {"All": True}}
        return {**one, **more, "rudderId": one["messageId"]}

    bodies = [{"batch": [event(one) for one in _segment_events(100)], "sentAt": sent} for _ in range(requests)]
    return Case("RudderStack", 100, [_post("/v1/batch", body) for body in bodies], _us(sent) + TRANSIT_US)


def _jitsu(requests: int) -> Case:
    sent = _body("segment/python.json")["sentAt"]
    headers = (*JSON, (b"x-write-key", b"key:secret"))
    found = [
        _post(f"/api/s/s2s/{one['type']}", {**one, "sentAt": sent, "writeKey": "key:***"}, headers=headers)
        for one in _segment_events(requests)
    ]
    return Case("Jitsu", 1, found, _us(sent) + TRANSIT_US)


# --- Snowplow


def _snowplow(name: str, file: str, kinds: str) -> Callable[[int], Case]:
    def make(requests: int) -> Case:
        recorded = _load(f"snowplow/{file}.json")
        events = [event for event in recorded["data"] if event["e"] in kinds.split()]
        bodies = []
        for _ in range(requests):
            made = [dict(zip(("eid", "uid"), _ids(), strict=True)) for _ in range(100)]
            data = [{**event, **ids} for event, ids in zip(cycle(events), made, strict=False)]
            bodies.append({**recorded, "data": data})
        found = [_post("/com.snowplowanalytics.snowplow/tp2", body) for body in bodies]
        return Case(name, 100, found, int(events[0]["stm"]) * 1000 + TRANSIT_US)

    return make


def _snowplow_orders(requests: int) -> Case:
    """Orders that differ, so that no two events of a request have their entities in common."""
    case = _snowplow("", "python-base64", "ue")(requests)
    bodies = [msgspec.json.decode(request.body) for request in case.requests]
    for body in bodies:
        for event in body["data"]:
            contexts = msgspec.json.decode(base64.urlsafe_b64decode(event["cx"]))
            _, order = contexts["data"]
            order["data"]["transaction_id"] = _ids()[0]
            event["cx"] = base64.urlsafe_b64encode(msgspec.json.encode(contexts)).decode()
    found = [_post(case.requests[0].path, body) for body in bodies]
    return Case("Snowplow, orders", 100, found, case.received_us)


def _snowplow_get(requests: int) -> Case:
    found = []
    for line in islice(cycle(_load("snowplow/python-get.json")), requests):
        fields = dict(parse_qsl(line.partition("?")[2]))
        fields["eid"], fields["uid"] = _ids()
        found.append(Request("GET", "/i", urlencode(fields), JSON, b""))
    return Case("Snowplow, GET", 1, found, int(fields["stm"]) * 1000 + TRANSIT_US)


# --- PostHog


def _posthog(name: str, file: str, path: str) -> Callable[[int], Case]:
    def make(requests: int) -> Case:
        recorded = _body(f"posthog/{file}.json")
        found = []
        for _ in range(requests):
            events = []
            for event in islice(cycle(recorded["batch"]), 100):
                uuid, customer = _ids()
                one = {**event, "uuid": uuid}
                if "distinct_id" in one:
                    one["distinct_id"] = customer
                else:
                    one["properties"] = {**one["properties"], "distinct_id": customer, "$device_id": customer}
                events.append(one)
            found.append(_post(path, {**recorded, "batch": events}))
        return Case(name, 100, found, _us(recorded["sent_at"]) + TRANSIT_US)

    return make


# --- GA4


def _ga4(requests: int) -> Case:
    recorded = _load("ga4/purchase.json")
    (event,) = recorded["events"]
    found = []
    for _ in range(requests):
        events = [{**event, "params": {**event["params"], "transaction_id": _ids()[0]}} for _ in range(25)]
        body = {**recorded, "client_id": _ids()[1], "user_id": _ids()[1], "events": events}
        found.append(_post("/mp/collect", body, "measurement_id=G-1&api_secret=secret"))
    return Case("GA4", 25, found, int(recorded["timestamp_micros"]) + TRANSIT_US)


# --- CloudEvents

_ORDER = "python structured"


def _cloudevent() -> dict[str, Any]:
    recorded: dict[str, Any] = msgspec.json.decode(_load("cloudevents/sdks.json")[_ORDER]["body"])
    data = msgspec.json.decode(_load("cloudevents/sdks.json")["python binary"]["body"])
    own_id, subject = _ids()
    return {**recorded, "id": own_id, "subject": subject, "data": data}


def _cloudevents(name: str, requests: list[Request], events: int) -> Case:
    return Case(f"CloudEvents, {name}", events, requests, _us(_cloudevent()["time"]) + TRANSIT_US)


def _cloudevents_batch(requests: int) -> Case:
    headers = ((b"content-type", b"application/cloudevents-batch+json"),)
    bodies = [[_cloudevent() for _ in range(100)] for _ in range(requests)]
    return _cloudevents("batch", [_post("/v1/cloudevents", body, headers=headers) for body in bodies], 100)


def _cloudevents_structured(requests: int) -> Case:
    headers = ((b"content-type", b"application/cloudevents+json"),)
    found = [_post("/v1/cloudevents", _cloudevent(), headers=headers) for _ in range(requests)]
    return _cloudevents("structured", found, 1)


def _cloudevents_binary(requests: int) -> Case:
    recorded = _load("cloudevents/sdks.json")["python binary"]
    found = []
    for _ in range(requests):
        own_id, subject = _ids()
        headers = {**recorded["headers"], "ce-id": own_id, "ce-subject": subject}
        sent = tuple((name.encode(), value.encode()) for name, value in headers.items())
        found.append(_post("/v1/cloudevents", recorded["body"].encode(), headers=sent))
    return _cloudevents("binary", found, 1)


def _beacon(requests: int) -> Case:
    case = _posthog("", "browser-pageview", "/e")(requests)
    found = []
    for request in case.requests:
        body = msgspec.json.decode(request.body)
        data = base64.b64encode(msgspec.json.encode({**body, "batch": body["batch"][:1]})).decode()
        headers = ((b"content-type", b"application/x-www-form-urlencoded"),)
        found.append(_post("/e", urlencode({"data": data}).encode(), headers=headers))
    return Case("PostHog, browser, beacon", 1, found, case.received_us)


_MAKERS: tuple[Callable[[int], Case], ...] = (
    _segment(100),
    _segment(25),
    _segment(1),
    _rudder,
    _jitsu,
    _snowplow("Snowplow, tp2", "python-base64", "pv pp se ue"),
    _snowplow("Snowplow, e-commerce", "python-base64", "ue"),
    _snowplow_orders,
    _snowplow_get,
    _posthog("PostHog, Python", "python", "/batch"),
    _posthog("PostHog, Node.js", "node", "/batch"),
    _posthog("PostHog, browser", "browser-pageview", "/e"),
    _beacon,
    _ga4,
    _cloudevents_batch,
    _cloudevents_structured,
    _cloudevents_binary,
)
