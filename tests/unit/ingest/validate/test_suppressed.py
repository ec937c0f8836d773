"""Suppressed ids among a request's events: dropped, and left out of the events of others."""

from typing import Any

from services.ingest.dialects.segment.parse import parse_batch
from services.ingest.validate.request import Result
from services.ingest.validate.suppressed import without_suppressed
from tests.support.dialect_requests import post, validated
from throughline.store.digest import id_digest


def take(*events: dict[str, Any], suppressed: tuple[str, ...] = ("ada", "device")) -> Result:
    result = validated(parse_batch(post({"batch": list(events)})))
    digests = {id_digest(1, id_) for id_ in suppressed}
    return without_suppressed(result, 1, digests)


def track(**members: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Seen", "messageId": f"m-{members}", **members}


def test_events_of_a_suppressed_id_are_dropped() -> None:
    result = take(track(userId="ada"), track(userId="bob"), track(anonymousId="device"), track(userId=7))
    assert [verdict and verdict[:2] for verdict in result.verdicts] == [
        ("dropped", "suppressed"),
        None,
        ("dropped", "suppressed"),
        None,
    ]
    assert [touchpoint.actor for touchpoint in result.touchpoints] == ["bob", "7"]
    assert len(result.dropped) == 2


def test_others_do_not_name_a_suppressed_id() -> None:
    result = take(
        track(userId="bob", anonymousId="device"),
        {"type": "alias", "userId": "bob", "previousId": "ada"},
        track(userId="bob", anonymousId="phone"),
    )
    assert [(t.anonymous_id, t.previous_id) for t in result.touchpoints] == [("", ""), ("", ""), ("phone", "")]


def test_nothing_is_kept_of_a_rejected_event_that_names_a_suppressed_id() -> None:
    result = take(track(userId="ada", event=["no text"]), track(userId="bob", event=["no text"]))
    assert [bool(event.payload) for event in result.rejected] == [False, True]
    assert [verdict and verdict.status for verdict in result.verdicts] == ["rejected", "rejected"]
