"""Ids of events: what several dialects do with placeholders, other forms and case."""

from typing import Any

import pytest

from services.ingest.dialects.cloudevents.parse import parse_cloudevents
from services.ingest.dialects.ga4.parse import parse_collect
from services.ingest.dialects.snowplow.parse import parse_payload
from tests.support.dialect_requests import batch, codes, post, rest, take

TIME = "2026-11-23T20:28:00Z"
EVENT = {"type": "track", "event": "Quiz", "userId": "u-1", "messageId": "m-1", "timestamp": TIME}
MICROS = 1_795_465_713_000_000


@pytest.mark.parametrize("sent", [" ", "null", "undefined", "N/A", "{{uuid}}", "00000000-0000-0000-0000-000000000000"])
def test_blank_and_placeholder_message_ids_are_none(sent: str) -> None:
    other = {**EVENT, "event": "Other", "messageId": sent}
    result = batch({**EVENT, "messageId": sent}, other, other)
    first, second, again = (touchpoint.message_id for touchpoint in result.touchpoints)
    assert first != second == again
    assert sent.strip() not in (first, second)
    assert codes(result)[0] == ("warning", "illegal_id", "messageId")


def test_message_ids_of_other_dialects_are_guarded_too() -> None:
    cloud = {"specversion": "1.0", "type": "quiz", "source": "s", "id": "null", "userid": "u-1", "time": TIME}
    result = take(parse_cloudevents, post([cloud, {**cloud, "type": "other"}]))
    assert len({touchpoint.message_id for touchpoint in result.touchpoints}) == 2
    assert codes(result) == [("warning", "illegal_id", "id")] * 2
    params = {"message_id": "undefined"}
    events = [{"name": "quiz", "params": params}, {"name": "other", "params": params}]
    result = take(parse_collect, post({"client_id": "1.2", "timestamp_micros": MICROS, "events": events}))
    assert len({touchpoint.message_id for touchpoint in result.touchpoints}) == 2
    assert codes(result) == [("warning", "illegal_id", "params.message_id")] * 2
    fields = {"e": "se", "se_ac": "quiz", "aid": "a", "uid": "u-1", "eid": "null", "dtm": "1795465713000"}
    result = take(parse_payload, post({"schema": "s", "data": [fields, {**fields, "se_ac": "other"}]}))
    assert len({touchpoint.message_id for touchpoint in result.touchpoints}) == 2


def test_ids_have_one_form_and_a_request_says_so_once() -> None:
    sent = [" u-1 ", "\ufeffu-1", "u-1\u200b", "u-1"]
    result = batch(*({**EVENT, "messageId": f"m-{number}", "userId": each} for number, each in enumerate(sent)))
    assert {touchpoint.actor for touchpoint in result.touchpoints} == {"u-1"}
    assert codes(result) == [("warning", "cleaned_id", "userId"), None, None, None]


def test_case_stays_unless_the_source_folds_that_of_email_addresses() -> None:
    events = [{**EVENT, "messageId": each, "userId": each} for each in ("Ada@Example.com", "ADA-1")]
    assert [touchpoint.actor for touchpoint in batch(*events).touchpoints] == ["Ada@Example.com", "ADA-1"]
    folded = batch(*events, {**EVENT, "type": "alias", "previousId": "A@B.c"}, settings={"fold_case": True})
    assert [touchpoint.actor for touchpoint in folded.touchpoints] == ["ada@example.com", "ADA-1", "u-1"]
    assert folded.touchpoints[2].previous_id == "a@b.c"


@pytest.mark.parametrize(
    ("digits", "actor"),
    [("1234567890.1234567890", "1234567890.1234567890"), ("1234567890", "1234567890"), ("1.10", "1.10")],
)
def test_a_bare_client_id_keeps_its_digits(digits: str, actor: str) -> None:
    body = f'{{"client_id": {digits}, "events": [{{"name": "quiz"}}]}}'
    assert [touchpoint.actor for touchpoint in take(parse_collect, post(body.encode())).touchpoints] == [actor]


@pytest.mark.parametrize(("sent", "stored"), [("null", None), (" g-1 ", "g-1"), ("g-1", "g-1"), (7, "7")])
def test_a_groups_id_is_guarded_too(sent: Any, stored: str | None) -> None:
    (touchpoint,) = batch({**EVENT, "type": "group", "groupId": sent}).touchpoints
    assert rest(touchpoint).get("groupId") == stored
