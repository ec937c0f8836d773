"""Which events have consent for analytics, family by family, and what becomes of those that have none."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from services.ingest.dialects.base import Parse, Request
from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.dialects.posthog.parse import RESULTS_PATH, parse_capture
from services.ingest.dialects.registry import RULES
from services.ingest.dialects.snowplow.parse import parse_payload
from services.ingest.event.verdict import DroppedError
from services.ingest.validate.consent import require
from services.ingest.validate.request import Result
from tests.support.dialect_requests import codes, payloads, post, segment, validated
from throughline.store.access.modes import ConsentMode

EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "m"}
YES: dict[str, Any] = {"consent": {"analytics": True}}
NO: dict[str, Any] = {"consent": {"analytics": False}}
DROPPED = ("dropped", "no_consent", "context.consent.analytics")


def batch(*events: Any, consent: ConsentMode = ConsentMode.AGGREGATE, **shared: Any) -> Result:
    return validated(segment(json.dumps({"batch": events, **shared}).encode()), consent=consent)


def take(parse: Parse, request: Request, consent: ConsentMode = ConsentMode.AGGREGATE) -> Result:
    return validated(parse(request), consent=consent)


def said(result: Result) -> Sequence[bool]:
    """Of each event whether it was taken; the others were dropped."""
    assert not result.rejected, result.rejected
    return [verdict is None or verdict.status != "dropped" for verdict in result.verdicts]


@pytest.mark.parametrize(
    ("context", "has_consent"),
    [
        ({}, False),
        ({"consent": {}}, False),
        ({"consent": True}, False),
        (YES, True),
        (NO, False),
        ({"consent": {"analytics": "granted"}}, True),
        ({"consent": {"analytics": "maybe"}}, False),
        ({"consent": {"analytics": 1}}, True),
        ({"consent": {"analytics": 2}}, False),
        ({"consent": {"marketing": True}}, False),
        # Segment, Jitsu
        ({"consent": {"categoryPreferences": {"Analytics": True, "Advertising": False}}}, True),
        ({"consent": {"categoryPreferences": {"Analytics": False, "Advertising": True}}}, False),
        ({"consent": {"categoryPreferences": {"Advertising": True}}}, False),
        ({"consent": {"categoryPreferences": {"C0001": True, "C0002": True}}}, True),
        ({"consent": {"categoryPreferences": {"C0001": True, "C0002": False}}}, False),
        ({"consent": {"categoryPreferences": {"statistics": True}}}, True),
        ({"consent": {"categoryPreferences": {"Performance Cookies": True}}}, True),
        ({"consent": {"categoryPreferences": {"marketingAndAnalytics": True, "functional": False}}}, True),
        ({"consent": {"categoryPreferences": {"analytics": True, "performance": False}}}, False),
        ({"consent": {"categoryPreferences": ["Analytics"]}}, False),
        # RudderStack
        ({"consentManagement": {"allowedConsentIds": ["C0001", "C0002"], "deniedConsentIds": ["C0004"]}}, True),
        ({"consentManagement": {"allowedConsentIds": ["C0001"], "deniedConsentIds": ["C0002"]}}, False),
        ({"consentManagement": {"deniedConsentIds": ["C0004"]}}, False),
        ({"consentManagement": {"allowedConsentIds": {"C0002": "Performance Cookies"}}}, True),
        ({"consentManagement": {"allowedConsentIds": {"7f": "Analytics"}, "deniedConsentIds": {}}}, True),
        ({"consentManagement": {"allowedConsentIds": {"analytics": False}}}, False),
        ({"consentManagement": {"allowedConsentIds": ["analytics"], "deniedConsentIds": ["analytics"]}}, False),
        ({"consentManagement": {"allowedConsentIds": ["1", "4"], "provider": "iubenda"}}, True),
        ({"consentManagement": {"allowedConsentIds": ["1", "4"], "provider": "custom"}}, False),
        ({"consentManagement": {"allowedConsentIds": ["1"], "deniedConsentIds": ["4"], "provider": "iubenda"}}, False),
        ({"consentManagement": "analytics"}, False),
        # Two that disagree.
        (YES | {"consentManagement": {"deniedConsentIds": ["analytics"]}}, False),
        (NO | {"consentManagement": {"allowedConsentIds": ["analytics"]}}, False),
    ],
)
def test_what_a_context_says(context: Any, has_consent: bool) -> None:
    assert said(batch(EVENT | {"context": context})) == [has_consent]
    # Where the batch says it for all, and an event alone, as Jitsu's come.
    assert said(batch(EVENT, context=context)) == [has_consent]
    body = segment(json.dumps(EVENT | {"context": context}).encode(), "track")
    assert said(validated(body, consent=ConsentMode.DROP)) == [has_consent]


def test_each_event_of_a_batch_is_asked() -> None:
    events = [EVENT | {"messageId": f"m{n}", "context": [YES, NO, {}][n % 3]} for n in range(9)]
    assert said(batch(*events)) == [True, False, False] * 3
    assert said(batch(EVENT, EVENT | {"context": NO}, EVENT, context=YES)) == [True, False, True]


def test_a_property_says_it_too() -> None:
    assert said(batch(EVENT | {"properties": YES}, EVENT | {"properties": NO, "context": YES})) == [True, False]


@pytest.mark.parametrize("call", ["identify", "alias", "group", "page", "screen", "track"])
def test_every_call_needs_it(call: str) -> None:
    event = EVENT | {"type": call, "anonymousId": "b1c0", "previousId": "old", "name": "Order of Ada"}
    result = batch(event)
    assert codes(result) == [DROPPED]
    assert not result.touchpoints
    # A page's name may be its title, which is no name to count by.
    assert [event.name for event in result.dropped] == ["Product Viewed" if call == "track" else call]
    assert [event.name for event in batch(event, consent=ConsentMode.DROP).dropped] == [""]


def test_consent_is_asked_before_anything_else() -> None:
    nobody = {"type": "track", "event": "Seen", "timestamp": "0001-01-01"}
    assert codes(batch(nobody, {"type": "track"}, {})) == [DROPPED] * 3
    assert codes(batch(nobody | {"context": YES})) == [("rejected", "missing_id", "userId")]


def test_off_asks_nobody() -> None:
    assert said(batch(EVENT, EVENT | {"context": NO}, consent=ConsentMode.OFF)) == [True, True]


def test_the_verdict_tells_silence_from_refusal() -> None:
    silent, refused = (verdict for verdict in batch(EVENT, EVENT | {"context": NO}).verdicts)
    assert silent is not None
    assert refused is not None
    assert "says nothing of consent" in silent.message
    assert "has no consent" in refused.message
    assert "context.consent.analytics" in silent.message


TOO_LARGE = {"properties": {"note": "x" * 40_000}}


@pytest.mark.parametrize("wrong", [{"userId": {"a": 1}}, {"properties": {"order_id": "\0"}}, {"event": [1]}, TOO_LARGE])
def test_a_refused_event_is_kept_only_if_it_says_that_there_is_consent(wrong: Any) -> None:
    with_, without = EVENT | {"context": YES} | wrong, EVENT | {"context": NO} | wrong
    result = batch(with_, without, EVENT | wrong)
    assert [verdict and verdict.status for verdict in result.verdicts] == ["rejected"] * 3
    assert json.loads(result.rejected[0].payload) == with_
    for event in result.rejected[1:]:
        assert (event.verdict.field, event.payload) == ("", b"")
        assert event.verdict.code == result.rejected[0].verdict.code
        assert "not kept" in event.verdict.message
    shared = batch(EVENT | wrong, context=YES)
    assert json.loads(shared.rejected[0].payload) == EVENT | wrong
    assert batch(EVENT | wrong, consent=ConsentMode.OFF).rejected[0].payload


@pytest.mark.parametrize(
    ("consent", "has_consent"),
    [
        (None, False),
        ({"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"}, False),
        ({"analytics_storage": "GRANTED"}, True),
        ({"analytics_storage": "DENIED", "ad_user_data": "GRANTED"}, False),
        ({"analytics": True}, True),
    ],
)
def test_ga4(consent: Any, has_consent: bool) -> None:
    body = {"client_id": "1.2", "consent": consent, "events": [{"name": "login", "params": {"message_id": "m"}}, {}]}
    result = take(parse_collect, post(body))
    assert codes(result)[0] == (None if has_consent else ("dropped", "no_consent", "consent.analytics_storage"))
    # The second has no name: it is kept if the request says that there is consent.
    assert payloads(result) == [b"{}" if has_consent else b""]


def entity(name: str, data: Any) -> Any:
    return {"schema": f"iglu:com.snowplowanalytics.snowplow/{name}/jsonschema/1-0-0", "data": data}


def chosen(kind: str, *scopes: str) -> Any:
    return {"eventType": kind, "consentScopes": scopes, "basisForProcessing": "consent", "consentVersion": "1"}


@pytest.mark.parametrize(
    ("entities", "has_consent"),
    [
        ([], False),
        ([entity("web_page", {"id": "1"})], False),
        ([entity("gdpr", {"basisForProcessing": "consent", "documentId": "1"})], True),
        ([entity("gdpr", {"basisForProcessing": "legitimate_interests"})], False),
        ([entity("consent_document", {"id": "1", "version": "2"})], False),
        ([entity("consent_preferences", chosen("allow_all"))], True),
        ([entity("consent_preferences", chosen("allow_selected", "necessary", "statistics"))], True),
        ([entity("consent_preferences", chosen("allow_selected", "necessary"))], False),
        ([entity("consent_preferences", chosen("implicit_consent", "analytics"))], True),
        ([entity("consent_preferences", chosen("deny_all"))], False),
        ([entity("consent_preferences", chosen("withdrawn", "analytics"))], False),
        ([entity("consent_preferences", chosen("pending", "analytics"))], False),
        ([entity("consent", {"analytics": True})], True),
        ([entity("gdpr", {"basisForProcessing": "consent"}), entity("consent", {"analytics": False})], False),
        ([None, 5, {"schema": "nonsense"}, {"schema": "iglu:a/consent/j/1", "data": {"analytics": True}}], True),
    ],
)
def test_snowplow(entities: Any, has_consent: bool) -> None:
    contexts = json.dumps({"schema": "iglu:c/contexts/jsonschema/1-0-0", "data": entities})
    packed = base64.urlsafe_b64encode(contexts.encode()).decode().rstrip("=")
    for where in ({"co": contexts}, {"cx": packed}):
        event = {"e": "pv", "eid": "m", "duid": "b1c0", "page": "Ada's orders", **where}
        result = take(parse_payload, post({"data": [event, {**event, "e": "nonsense"}]}))
        assert codes(result)[0] == (None if has_consent else ("dropped", "no_consent", "cx"))
        assert result.rejected[0].verdict.code == "unknown_type"
        assert bool(result.rejected[0].payload) == has_consent


@pytest.mark.parametrize(
    ("name", "data", "has_consent"),
    [
        ("consent_granted", {"expiry": "2027-01-01T00:00:00Z"}, True),
        ("consent_withdrawn", {"all": True}, False),
        ("consent_preferences", chosen("allow_selected", "analytics"), True),
        ("consent_preferences", chosen("expired", "analytics"), False),
        ("cmp_visible", {"elapsedTime": 1.5}, False),
    ],
)
def test_snowplows_events_of_consent_speak_for_themselves(name: str, data: Any, has_consent: bool) -> None:
    unstruct_event = json.dumps({"schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data": entity(name, data)})
    result = take(parse_payload, post({"data": [{"e": "ue", "eid": "m", "duid": "b1c0", "ue_pr": unstruct_event}]}))
    assert said(result) == [has_consent]
    assert [event.name for event in result.dropped] == ([] if has_consent else [name])


@pytest.mark.parametrize(
    ("fields", "has_consent"),
    [
        ({}, False),
        ({"properties": YES}, True),
        ({"properties": NO}, False),
        ({"properties": {"$cookieless_mode": True}}, False),
        ({"properties": {"$cookieless_mode": True} | YES}, False),
        ({"options": {"cookieless_mode": True}}, False),
        ({"distinct_id": "$posthog_cookieless"}, False),
        ({"event": "$opt_in"}, True),
    ],
)
def test_posthog(fields: Any, has_consent: bool) -> None:
    event = {"event": "$pageview", "distinct_id": "ada", "uuid": "0192", "properties": {"token": "k"}} | fields
    result = take(parse_capture, post({"api_key": "k", "batch": [event]}))
    assert codes(result) == [None if has_consent else ("dropped", "no_consent", "properties.consent.analytics")]
    assert [event.name for event in result.dropped] == ([] if has_consent else ["page"])


def test_posthogs_newer_endpoint_is_told_of_a_drop() -> None:
    event = {"event": "Seen", "distinct_id": "ada", "uuid": "0192"}
    opened = parse_capture(post({"batch": [event]}, path=RESULTS_PATH))
    validation = validated(opened, consent=ConsentMode.DROP)
    assert opened.reply is not None
    (result,) = json.loads(opened.reply(validation.verdicts)[1])["results"].values()
    assert result["result"] == "drop"
    assert "no_consent" in result["details"]


CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "Product Viewed", "subject": "ada"}


@pytest.mark.parametrize(
    ("fields", "has_consent"),
    [
        ({}, False),
        ({"analyticsconsent": True}, True),
        ({"analyticsconsent": "true"}, True),
        ({"analyticsconsent": False}, False),
        ({"analyticsconsent": "so be it"}, False),
        ({"data": YES}, True),
        ({"data": {"context": YES}}, True),
        ({"data": {"context": {"consent": {"categoryPreferences": {"Analytics": True}}}}}, True),
        ({"data": {"context": YES}, "analyticsconsent": False}, False),
    ],
)
def test_cloudevents(fields: Any, has_consent: bool) -> None:
    result = take(parse_cloudevents, post([CLOUDEVENT | fields, CLOUDEVENT | fields | {"id": {}}]))
    assert codes(result)[0] == (None if has_consent else ("dropped", "no_consent", "analyticsconsent"))
    assert bool(result.rejected[0].payload) == has_consent


def test_a_binary_cloudevent() -> None:
    headers = [(f"ce-{name}".encode(), value.encode()) for name, value in CLOUDEVENT.items()]
    for header, has_consent in ((b"true", True), (b"false", False)):
        request = Request("POST", "/v1/cloudevents", "", [*headers, (b"ce-analyticsconsent", header)], b"")
        assert said(take(parse_cloudevents, request)) == [has_consent]


def test_a_name_that_no_text_can_be_is_counted_all_the_same() -> None:
    with pytest.raises(DroppedError) as dropped:
        require(None, "track", "\udcff", None, ConsentMode.AGGREGATE, RULES.consent)
    assert dropped.value.name == "?"
    assert [len(event.name) for event in batch(EVENT | {"event": "n" * 5_000}).dropped] == [200]
