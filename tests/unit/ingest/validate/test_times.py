"""A time is believed only when somebody can have meant it; events of one list keep their order and their spacing."""

import json
from typing import Any

import pytest

from services.ingest.validate.request import Timing
from tests.support.dialect_requests import NOW, codes, only, parsed, post, segment, validated
from throughline.kit.clock import MAX_US, rfc3339

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
HISTORY = Timing(is_history=True)
ZEROS = (
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "1970-01-02",
    "1899-12-30T00:00:00Z",
    "1900-01-01",
    0,
    "0",
    45717.4,
    "45717",
    1_740_823,
)


def events(*members: dict[str, Any], timing: Timing = Timing(), **shared: Any) -> Any:  # noqa: B008
    usual = {"type": "track", "event": "E", "userId": "u"}
    batch = [{**usual, "messageId": f"m{number}", **each} for number, each in enumerate(members)]
    return validated(segment(json.dumps({"batch": batch, **shared}).encode()), timing=timing)


@pytest.mark.parametrize("zero", ZEROS)
def test_live_a_time_that_nobody_meant_is_the_time_received(zero: object) -> None:
    result = events({"timestamp": zero})
    assert (only(result).occurred_us, only(result).client_us) == (NOW, 0)
    assert codes(result) == [("warning", "implausible_time", "timestamp")]


@pytest.mark.parametrize("zero", ZEROS)
def test_history_with_a_time_that_nobody_meant_is_refused(zero: object) -> None:
    result = events({"timestamp": zero}, {"timestamp": "2020-05-05"}, timing=HISTORY)
    assert codes(result) == [("rejected", "implausible_time", "timestamp"), None]


def test_history_without_a_time_is_refused() -> None:
    result = events({}, {"timestamp": "soon"}, {"timestamp": None}, timing=HISTORY)
    assert codes(result) == [
        ("rejected", "missing_time", "timestamp"),
        ("rejected", "unreadable_time", "timestamp"),
        ("rejected", "missing_time", "timestamp"),
    ]


def test_an_import_may_believe_older_times() -> None:
    result = events({"timestamp": "1995-05-05"}, timing=Timing(800_000_000 * 10**6, is_history=True))
    assert codes(result) == [("rejected", "implausible_time", "timestamp")]
    older = events({"timestamp": "1995-05-05"}, timing=Timing(700_000_000 * 10**6, is_history=True))
    assert only(older).occurred_us == 799_632_000 * SECOND_US


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/mp/collect", {"client_id": "1.2", "events": [{"name": "e"}],
                         "timestamp_micros": 1_740_823}, "timestamp_micros"),
        ("/e", {"event": "e", "distinct_id": "u", "uuid": "m", "timestamp": "1970-01-01T00:00:00Z"}, "timestamp"),
        ("/v1/cloudevents", {"specversion": "1.0", "type": "e", "source": "s", "id": "1", "subject": "u",
                             "time": "0001-01-01T00:00:00Z"}, "time"),
    ],
)  # fmt: skip
def test_every_dialect_says_so(path: str, body: Any, field: str) -> None:
    result = validated(parsed(post(body, path=path, headers=[(b"content-type", b"application/cloudevents+json")])))
    assert result.touchpoints[0].occurred_us == NOW
    assert codes(result) == [("warning", "implausible_time", field)]


def test_the_validator_of_ga4_says_so_too() -> None:
    body = {"client_id": "1.2", "events": [{"name": "e"}], "timestamp_micros": 1_740_823_200_000}
    request = parsed(post(body, path="/debug/mp/collect"))
    assert request.reply is not None
    (message,) = json.loads(request.reply(validated(request, MAX_US).verdicts)[1])["validationMessages"]
    assert (message["fieldPath"], message["validationCode"]) == ("events[0].timestamp_micros", "VALUE_INVALID")
    assert "1970-01-21" in message["description"]


def test_a_sale_without_a_time_is_refused() -> None:
    result = validated(parsed(post([{"receipt": "R-1", "customer": "c"}], path="/v1/pos")))
    assert codes(result) == [("rejected", "missing_time", "sold_at")]


def test_an_archived_event_is_corrected_against_its_own_time_of_receipt() -> None:
    archived = {
        "receivedAt": "2023-05-05T10:00:10.000Z",
        "sentAt": "2023-05-05T12:00:09.000Z",
        "originalTimestamp": "2023-05-05T12:00:00.000Z",
        "timestamp": "2023-05-05T10:00:01.000Z",
    }
    touchpoint = only(events(archived))
    assert rfc3339(touchpoint.occurred_us) == "2023-05-05T10:00:01Z"
    assert json.loads(touchpoint.rest)["receivedAt"] == archived["receivedAt"]
    del archived["originalTimestamp"]
    assert rfc3339(only(events(archived)).occurred_us) == "2023-05-05T10:00:01Z"
    del archived["timestamp"]
    assert rfc3339(only(events(archived)).occurred_us) == "2023-05-05T10:00:10Z"
    zero = events({**archived, "timestamp": "1970-01-01T00:00:00Z"}, {**archived, "timestamp": "soon"})
    assert codes(zero) == [
        ("rejected", "implausible_time", "timestamp"),
        ("rejected", "unreadable_time", "timestamp"),
    ]


@pytest.mark.parametrize("receivedAt", [None, "soon", "1970-01-01", "2999-01-01", {}, 10**30])
def test_a_time_of_receipt_that_cannot_be_is_none(receivedAt: object) -> None:  # noqa: N803
    assert only(events({"receivedAt": receivedAt, "timestamp": NOW / 1e6})).occurred_us == NOW


def test_a_time_of_sending_that_nobody_meant_corrects_nothing() -> None:
    assert (
        only(events({"timestamp": rfc3339(NOW - SECOND_US)}, sentAt="1970-01-01T00:00:00Z")).occurred_us
        == NOW - SECOND_US
    )


def test_the_order_of_the_batch_is_the_place() -> None:
    result = events({}, {"event": None}, {}, timing=Timing(first_place=500))
    assert [touchpoint.place for touchpoint in result.touchpoints] == [500, 502]


@pytest.mark.parametrize("ahead_us", [SECOND_US, 600 * SECOND_US, 400 * DAY_US])
@pytest.mark.parametrize("says_when_sent", [True, False])
def test_a_batch_from_a_fast_clock_keeps_its_spacing(ahead_us: int, says_when_sent: bool) -> None:
    clock = [NOW + ahead_us - wait for wait in (7 * SECOND_US, 3 * SECOND_US, 0)]
    sent: dict[str, Any] = {"sentAt": rfc3339(clock[-1])} if says_when_sent else {}
    result = events(*({"timestamp": rfc3339(us)} for us in clock), **sent)
    assert [NOW - touchpoint.occurred_us for touchpoint in result.touchpoints] == [7 * SECOND_US, 3 * SECOND_US, 0]


def test_one_wrong_time_moves_no_neighbour() -> None:
    good = {"timestamp": rfc3339(NOW - 5 * SECOND_US)}
    wrong = {"timestamp": rfc3339(NOW + 5 * 365 * DAY_US)}
    assert [touchpoint.occurred_us for touchpoint in events(good, wrong).touchpoints] == [NOW - 5 * SECOND_US, NOW]
    ahead = {"timestamp": rfc3339(NOW + 60 * SECOND_US), "userId": "other"}
    assert [touchpoint.occurred_us for touchpoint in events(good, ahead).touchpoints] == [NOW - 5 * SECOND_US, NOW]
