"""Requests of every dialect, built from recordings of real clients (`tests/fixtures`), with new ids.

There are no recordings of RudderStack and Jitsu: theirs are Segment's events with what those libraries add.
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
    """Number of events in each request."""
    requests: list[Request]
    received_us: int
    """Shortly after the time at which the clients sent, by their clocks."""

    @property
    def event_bytes(self) -> float:
        """Mean of body and query, per event."""
        size = sum(len(request.body) + len(request.query) for request in self.requests)
        return size / len(self.requests) / self.events


def cases(requests: int) -> list[Case]:
    """`requests` requests of each kind; first Segment's of 100, 25 and one event, with which others are compared."""
    return [make(requests) for make in _MAKERS]


def _ids() -> tuple[str, str]:
    """A new (message id, customer id)."""
    number = next(_numbers)
    return f"{number:08x}-4f8c-4d3a-8b37-ade5205f1e06", f"customer-{number % CUSTOMERS:07d}"


def _load(name: str) -> Any:
    return msgspec.json.decode((FIXTURES / name).read_bytes())


def _body(name: str) -> Any:
    return msgspec.json.decode(_load(name)["body"])


def _us(text: str) -> int:
    time = times.parse(text, "sentAt")
    assert time is not None
    return to_us(time)


def _post(path: str, body: Any, query: str = "", headers: tuple[tuple[bytes, bytes], ...] = JSON) -> Request:
    return Request("POST", path, query, headers, body if isinstance(body, bytes) else msgspec.json.encode(body))


# --- Segment and the SDKs that speak its protocol


def _segment_events(events: int) -> list[dict[str, Any]]:
    recorded = _body("segment/python.json")["batch"]
    events_sent = []
    for event in islice(cycle(recorded), events):
        message_id, user = _ids()
        sent = {**event, "messageId": message_id}
        sent["userId" if sent.get("userId") else "anonymousId"] = user
        events_sent.append(sent)
    return events_sent


def _segment(events: int) -> Callable[[int], Case]:
    def make(requests: int) -> Case:
        body = _body("segment/python.json")
        if events > 1:
            built = [_post("/v1/batch", {**body, "batch": _segment_events(events)}) for _ in range(requests)]
        else:
            built = [_post(f"/v1/{e['type']}", {**e, "sentAt": body["sentAt"]}) for e in _segment_events(requests)]
        return Case("Segment", events, built, _us(body["sentAt"]) + TRANSIT_US)

    return make


def _rudder(requests: int) -> Case:
    sent = _body("segment/python.json")["sentAt"]

    def event(segment: dict[str, Any]) -> dict[str, Any]:
        time = segment.pop("timestamp")
        more = {"channel": "server", "originalTimestamp": time, "sentAt": sent, "integrations": {"All": True}}
        return {**segment, **more, "rudderId": segment["messageId"]}

    bodies = [{"batch": [event(segment) for segment in _segment_events(100)], "sentAt": sent} for _ in range(requests)]
    return Case("RudderStack", 100, [_post("/v1/batch", body) for body in bodies], _us(sent) + TRANSIT_US)


def _jitsu(requests: int) -> Case:
    sent = _body("segment/python.json")["sentAt"]
    headers = (*JSON, (b"x-write-key", b"key:secret"))
    built = [
        _post(f"/api/s/s2s/{event['type']}", {**event, "sentAt": sent, "writeKey": "key:***"}, headers=headers)
        for event in _segment_events(requests)
    ]
    return Case("Jitsu", 1, built, _us(sent) + TRANSIT_US)


# --- Snowplow


def _snowplow(name: str, file: str, kinds: str) -> Callable[[int], Case]:
    def make(requests: int) -> Case:
        recorded = _load(f"snowplow/{file}.json")
        events = [event for event in recorded["data"] if event["e"] in kinds.split()]
        bodies = []
        for _ in range(requests):
            ids_of_events = [dict(zip(("eid", "uid"), _ids(), strict=True)) for _ in range(100)]
            data = [{**event, **ids} for event, ids in zip(cycle(events), ids_of_events, strict=False)]
            bodies.append({**recorded, "data": data})
        built = [_post("/com.snowplowanalytics.snowplow/tp2", body) for body in bodies]
        return Case(name, 100, built, int(events[0]["stm"]) * 1000 + TRANSIT_US)

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
    built = [_post(case.requests[0].path, body) for body in bodies]
    return Case("Snowplow, orders", 100, built, case.received_us)


def _snowplow_get(requests: int) -> Case:
    built = []
    for line in islice(cycle(_load("snowplow/python-get.json")), requests):
        fields = dict(parse_qsl(line.partition("?")[2]))
        fields["eid"], fields["uid"] = _ids()
        built.append(Request("GET", "/i", urlencode(fields), JSON, b""))
    return Case("Snowplow, GET", 1, built, int(fields["stm"]) * 1000 + TRANSIT_US)


# --- PostHog


def _posthog(name: str, file: str, path: str) -> Callable[[int], Case]:
    def make(requests: int) -> Case:
        recorded = _body(f"posthog/{file}.json")
        built = []
        for _ in range(requests):
            events = []
            for event in islice(cycle(recorded["batch"]), 100):
                uuid, customer = _ids()
                sent = {**event, "uuid": uuid}
                if "distinct_id" in sent:
                    sent["distinct_id"] = customer
                else:
                    sent["properties"] = {**sent["properties"], "distinct_id": customer, "$device_id": customer}
                events.append(sent)
            built.append(_post(path, {**recorded, "batch": events}))
        return Case(name, 100, built, _us(recorded["sent_at"]) + TRANSIT_US)

    return make


# --- GA4


def _ga4(requests: int) -> Case:
    recorded = _load("ga4/purchase.json")
    (event,) = recorded["events"]
    built = []
    for _ in range(requests):
        events = [{**event, "params": {**event["params"], "transaction_id": _ids()[0]}} for _ in range(25)]
        body = {**recorded, "client_id": _ids()[1], "user_id": _ids()[1], "events": events}
        built.append(_post("/mp/collect", body, "measurement_id=G-1&api_secret=secret"))
    return Case("GA4", 25, built, int(recorded["timestamp_micros"]) + TRANSIT_US)


# --- CloudEvents

_ORDER = "python structured"


def _cloudevent() -> dict[str, Any]:
    recorded: dict[str, Any] = msgspec.json.decode(_load("cloudevents/sdks.json")[_ORDER]["body"])
    data = msgspec.json.decode(_load("cloudevents/sdks.json")["python binary"]["body"])
    event_id, subject = _ids()
    return {**recorded, "id": event_id, "subject": subject, "data": data}


def _cloudevents(name: str, requests: list[Request], events: int) -> Case:
    return Case(f"CloudEvents, {name}", events, requests, _us(_cloudevent()["time"]) + TRANSIT_US)


def _cloudevents_batch(requests: int) -> Case:
    headers = ((b"content-type", b"application/cloudevents-batch+json"),)
    bodies = [[_cloudevent() for _ in range(100)] for _ in range(requests)]
    return _cloudevents("batch", [_post("/v1/cloudevents", body, headers=headers) for body in bodies], 100)


def _cloudevents_structured(requests: int) -> Case:
    headers = ((b"content-type", b"application/cloudevents+json"),)
    built = [_post("/v1/cloudevents", _cloudevent(), headers=headers) for _ in range(requests)]
    return _cloudevents("structured", built, 1)


def _cloudevents_binary(requests: int) -> Case:
    recorded = _load("cloudevents/sdks.json")["python binary"]
    built = []
    for _ in range(requests):
        event_id, subject = _ids()
        headers = {**recorded["headers"], "ce-id": event_id, "ce-subject": subject}
        sent = tuple((name.encode(), value.encode()) for name, value in headers.items())
        built.append(_post("/v1/cloudevents", recorded["body"].encode(), headers=sent))
    return _cloudevents("binary", built, 1)


def _beacon(requests: int) -> Case:
    case = _posthog("", "browser-pageview", "/e")(requests)
    built = []
    for request in case.requests:
        body = msgspec.json.decode(request.body)
        data = base64.b64encode(msgspec.json.encode({**body, "batch": body["batch"][:1]})).decode()
        headers = ((b"content-type", b"application/x-www-form-urlencoded"),)
        built.append(_post("/e", urlencode({"data": data}).encode(), headers=headers))
    return Case("PostHog, browser, beacon", 1, built, case.received_us)


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
