"""Any event to a source that asks for consent: it has consent and all is as ever, or nothing of it goes to Kafka."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import Parse, ParsedRequest
from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.dialects.posthog.parse import parse_capture
from services.ingest.dialects.registry import RULES
from services.ingest.dialects.snowplow.parse import parse_payload
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.request import Result
from tests.strategies.cloudevents import CLOUDEVENTS, GOOD_CLOUDEVENT
from tests.strategies.ga4 import GA4_EVENTS, GOOD_GA4
from tests.strategies.posthog import GOOD_POSTHOG, POSTHOG_EVENTS
from tests.strategies.segment import GOOD_SEGMENT, SEGMENT_EVENTS
from tests.strategies.snowplow import GOOD_SNOWPLOW, SNOWPLOW_EVENTS
from tests.strategies.values import JSON
from tests.support.dialect_requests import post, segment, validated
from tests.support.laws import NOW
from throughline.store.access.keys import SourceKey
from throughline.store.access.modes import ConsentMode
from throughline.wire.codec import encode, encode_rejected

YES: dict[str, Any] = {"consent": {"analytics": True}}
SECRET = "SECRET"
NAME = "NAMED"
SOURCE = SourceKey(b"", 1, 1, "web", enabled=True)


class Family(NamedTuple):
    """How a family of SDKs sends events, and tells that there is consent."""

    read: Callable[[list[Any]], ParsedRequest]
    """From events to a request of them, opened."""
    events: st.SearchStrategy[Any]
    good: Any
    give: Callable[[Any], Any]
    """An event with consent told in it."""
    secrets: dict[str, Any]
    """Members that say who and what, all with `SECRET` in it."""


def compact(value: Any) -> bytes:
    """As the slow reader writes it when one event of a body is not clean: what is kept of the others is the same."""
    return json.dumps(value, separators=(",", ":")).encode()


def segments(events: list[Any]) -> ParsedRequest:
    shared = {"context": {"page": {"title": SECRET}}, "integrations": {SECRET: True}}
    return segment(compact({"batch": events, **shared}))


def by(read: Parse, member: str, head: dict[str, Any], events: list[Any]) -> ParsedRequest:
    return read(post(compact({**head, member: events} if member else events)))


def judge(opened: ParsedRequest, consent: ConsentMode) -> Result:
    return validated(opened, consent=consent)


def in_context(event: Any) -> Any:
    return {**event, "context": YES}


def in_properties(event: Any) -> Any:
    return {**event, "properties": YES}


def in_an_entity(event: Any) -> Any:
    entities = {"schema": "s", "data": [{"schema": "iglu:a/consent/jsonschema/1-0-0", "data": YES["consent"]}]}
    return {**{name: part for name, part in event.items() if name != "cx"}, "co": json.dumps(entities)}


def in_an_attribute(event: Any) -> Any:
    return {**event, "analyticsconsent": True}


TIME = "2026-11-23T20:00:00Z"
OBJECT = {SECRET: SECRET, "value": SECRET, "ip": SECRET}
EVENTS_OWN = {
    **dict.fromkeys(("userId", "anonymousId", "previousId", "messageId", "type", "originalTimestamp", SECRET), SECRET),
    **dict.fromkeys(("properties", "traits", "context", "integrations", "groupId"), OBJECT),
}
FAMILIES = {
    "segment": Family(segments, SEGMENT_EVENTS, GOOD_SEGMENT, in_context, EVENTS_OWN),
    "posthog": Family(
        partial(by, parse_capture, "batch", {"api_key": "k"}),
        POSTHOG_EVENTS,
        GOOD_POSTHOG,
        in_properties,
        {
            **dict.fromkeys(("distinct_id", "uuid", "timestamp", "library", SECRET), SECRET),
            **dict.fromkeys(("properties", "$set", "$set_once", "options"), OBJECT),
        },
    ),
    "snowplow": Family(
        partial(by, parse_payload, "data", {}),
        SNOWPLOW_EVENTS,
        GOOD_SNOWPLOW,
        in_an_entity,
        dict.fromkeys(("e", "uid", "duid", "eid", "url", "refr", "page", "ue_pr", "co", "ip", "tr_id", SECRET), SECRET),
    ),
    "ga4": Family(
        partial(by, parse_collect, "events", {"client_id": SECRET, "consent": {"ad_user_data": "GRANTED"}}),
        GA4_EVENTS,
        GOOD_GA4,
        lambda event: event,
        {"params": {**OBJECT, "transaction_id": SECRET}, "timestamp_micros": SECRET, SECRET: SECRET},
    ),
    "cloudevents": Family(
        partial(by, parse_cloudevents, "", {}),
        CLOUDEVENTS,
        GOOD_CLOUDEVENT,
        in_an_attribute,
        {
            **dict.fromkeys(("id", "source", "subject", "userid", "anonymousid", "time", "specversion"), SECRET),
            "data": OBJECT,
            SECRET: SECRET,
        },
    ),
}
NAMES = {"segment": "event", "posthog": "event", "snowplow": "se_ac", "ga4": "name", "cloudevents": "type"}
EACH = pytest.mark.parametrize("family", FAMILIES)
EACH_THAT_TELLS_BY_EVENT = pytest.mark.parametrize("family", [name for name in FAMILIES if name != "ga4"])
ASKING = st.sampled_from([ConsentMode.DROP, ConsentMode.AGGREGATE])


def on_kafka(result: Result, opened: ParsedRequest) -> bytes:
    """All that goes there."""
    records = rejected_records(result, opened, SOURCE, RULES, NOW, "POST /v1/batch", "")
    return b"".join([*map(encode, result.touchpoints), *map(encode_rejected, records)])


@EACH
@given(st.data(), ASKING)
def test_nothing_of_an_event_without_consent_goes_to_kafka(
    family: str, data: st.DataObject, consent: ConsentMode
) -> None:
    read, events, _, _, secrets = FAMILIES[family]
    event = data.draw(events)
    if isinstance(event, dict):
        event |= {key: secrets[key] for key in data.draw(st.sets(st.sampled_from(sorted(secrets))))}
        event |= data.draw(st.sampled_from([{}, {NAMES[family]: NAME}]))
    opened = read([event])
    result = judge(opened, consent)
    assert not result.touchpoints
    assert len(result.rejected) + len(result.dropped) == 1
    written = on_kafka(result, opened)
    assert SECRET.encode() not in written
    assert consent == ConsentMode.AGGREGATE or NAME.encode() not in written
    assert len(written) < 400


@EACH_THAT_TELLS_BY_EVENT
@given(st.data(), ASKING)
def test_with_consent_all_is_as_if_nobody_asked_whatever_the_neighbour(
    family: str, data: st.DataObject, consent: ConsentMode
) -> None:
    read, events, good, give, _ = FAMILIES[family]
    good, event = give(good), data.draw(events)
    if isinstance(event, dict) and data.draw(st.booleans()):
        event = give(event)
        assert judge(read([good, event, good]), consent) == judge(read([good, event, good]), ConsentMode.OFF)
    else:
        (alone,) = judge(read([good]), ConsentMode.OFF).touchpoints
        assert judge(read([good, event, good]), consent).touchpoints == [alone, alone._replace(place=2)]


@given(st.dictionaries(st.sampled_from(["consent", "consentManagement", "entities"]), JSON), JSON, ASKING)
def test_whatever_stands_where_consent_is_told(context: Any, other: Any, consent: ConsentMode) -> None:
    mapping = {"consent": {"categoryPreferences": other, "analytics": other}, "consentManagement": {"provider": other}}
    mapping["consentManagement"] |= dict.fromkeys(("allowedConsentIds", "deniedConsentIds"), other)
    listed = [{"schema": "iglu:a/consent_preferences/j/1", "data": {"eventType": other, "consentScopes": other}}]
    for consent_context in (context, mapping, {"entities": listed}):
        result = judge(segments([GOOD_SEGMENT | {"context": consent_context}]), consent)
        assert len(result.touchpoints) + len(result.rejected) + len(result.dropped) == 1
