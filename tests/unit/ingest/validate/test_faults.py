"""A verdict names every fault of an event, the first as before and all others beside it."""

import json

from services.ingest.dialects.ga4.parse import parse_collect, parse_debug
from services.ingest.dialects.posthog.parse import RESULTS_PATH, parse_capture
from services.ingest.event.verdict import MAX_FAULTS, MAX_OTHER_FAULTS, Verdict, answer_of
from tests.support.dialect_requests import batch, post, segment, take, validated

EVENT = {"type": "track", "event": "Quiz", "userId": "u-1", "messageId": "m-1"}


def named(verdict: Verdict | None) -> list[tuple[str, str, str]]:
    assert verdict is not None
    return [fault[:3] for fault in (verdict, *verdict.others)]


def test_a_rejected_event_is_told_all_that_is_wrong() -> None:
    (verdict,) = batch({"type": "jump", "userId": "null", "properties": [1], "messageId": "x" * 101}).verdicts
    assert named(verdict) == [
        ("rejected", "unknown_type", "type"),
        ("rejected", "illegal_id", "userId"),
        ("rejected", "too_long", "messageId"),
        ("rejected", "wrong_type", "properties"),
    ]


def test_members_of_the_wrong_type_are_all_named() -> None:
    sent = {"type": 5, "event": ["a"], "userId": {}, "anonymousId": [], "messageId": {}, "timestamp": 1e18}
    (verdict,) = batch(sent).verdicts
    assert {fault[1:] for fault in named(verdict)} >= {
        *((("wrong_type", name)) for name in ("type", "event", "userId", "anonymousId", "messageId")),
        ("time_out_of_range", "timestamp"),
    }


def test_a_warned_event_is_told_every_warning() -> None:
    properties = {"value": "much", "quantity": True}
    (verdict,) = batch({**EVENT, "event": "Order Completed", "anonymousId": "null", "properties": properties}).verdicts
    assert named(verdict) == [
        ("warning", "illegal_id", "anonymousId"),
        ("warning", "wrong_type", "properties.value"),
        ("warning", "wrong_type", "properties.quantity"),
        ("warning", "missing_order_id", "properties.order_id"),
    ]
    assert [other["code"] for other in answer_of(verdict)["others"]] == ["wrong_type"] * 2 + ["missing_order_id"]


def test_what_can_not_be_kept_is_named_wherever_it_stands() -> None:
    body = b'{"batch":[{"type":"track","event":"a\\u0000","userId":"\\ud800","properties":{"x":NaN,"y":[1e999]}}]}'
    (verdict,) = validated(segment(body)).verdicts
    assert {fault[1:] for fault in named(verdict)} == {
        ("nul_character", "event"),
        ("invalid_unicode", "userId"),
        ("number_out_of_range", "properties.x"),
        ("number_out_of_range", "properties.y[0]"),
    }


def test_one_fault_has_no_others() -> None:
    (verdict,) = batch({**EVENT, "type": "jump"}).verdicts
    assert set(answer_of(verdict)) == {"verdict", "code", "field", "message"}


def test_dialects_call_all_fields_by_their_own_names() -> None:
    event = {"name": "x" * 600, "params": {"message_id": "y" * 101}}
    (verdict,) = take(
        parse_collect, post({"client_id": "null", "events": [{**event, "params": {"value": "a"}}]})
    ).verdicts
    assert named(verdict)[:2] == [("rejected", "too_long", "name"), ("rejected", "illegal_id", "client_id")]
    opened = parse_debug(post({"client_id": "null", "events": [{"name": "purchase", "params": {"value": "a"}}]}))
    assert opened.reply is not None
    messages = json.loads(opened.reply(validated(opened).verdicts)[1])["validationMessages"]
    assert [message["fieldPath"] for message in messages] == [
        "events[0].client_id",
        "events[0].params.value",
        "events[0].params.transaction_id",
    ]
    order = {"event": "Order Completed", "distinct_id": "u", "uuid": "u-1", "properties": {"value": "a"}}
    opened = parse_capture(post({"batch": [order]}, path=RESULTS_PATH))
    assert opened.reply is not None
    details = json.loads(opened.reply(validated(opened).verdicts)[1])["results"]["u-1"]["details"]
    assert "wrong_type" in details
    assert "missing_order_id" in details


def test_the_number_of_faults_that_are_named_has_a_limit() -> None:
    broken = b'{"type":"track","userId":"u","event":"\\u0000","properties":{%s}}'
    broken %= b",".join(b'"p%d":NaN' % number for number in range(100))
    (verdict,) = validated(segment(b'{"batch":[%s]}' % broken)).verdicts
    assert len(named(verdict)) == MAX_FAULTS
    result = batch(*[{"type": "jump", "userId": "null", "messageId": "x" * 101}] * 2000)
    assert sum(len(verdict.others) for verdict in result.verdicts if verdict) == MAX_OTHER_FAULTS


def test_a_misspelt_name_gets_a_hint_and_is_kept() -> None:
    names = ["Signed Upp", "Signed Up", "Quiz Finished", "Signed Upp"]
    result = batch(*({**EVENT, "messageId": f"m-{number}", "event": name} for number, name in enumerate(names)))
    assert [touchpoint.name for touchpoint in result.touchpoints] == names
    assert [touchpoint.warnings for touchpoint in result.touchpoints] == [("unknown_name",), (), (), ("unknown_name",)]
    verdict = result.verdicts[0]
    assert verdict is not None
    assert "did you mean 'Signed Up'?" in verdict.message
    others = [{**EVENT, "messageId": f"o-{number}", "event": f"Signed Upp {number}"} for number in range(2000)]
    assert len(batch(*others).touchpoints) == 2000
