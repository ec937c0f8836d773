"""What occurred before its workspace's retention cutoff is rejected where it comes in."""

from tests.support.dialect_requests import batch


def test_an_event_before_the_retention_cutoff_is_rejected() -> None:
    retention_cutoff_us = 1_700_000_000_000_000
    events = [
        {"type": "track", "event": "Seen", "userId": "ada", "timestamp": time}
        for time in ("2023-11-14T22:13:19.999999Z", "2023-11-14T22:13:20Z")
    ]
    settings = {"retention_cutoff_us": retention_cutoff_us}
    result = batch(*events, received_us=retention_cutoff_us * 2, settings=settings)
    assert [touchpoint.occurred_us for touchpoint in result.touchpoints] == [retention_cutoff_us]
    (event,) = result.rejected
    assert (event.verdict.code, event.verdict.field) == ("before_horizon", "timestamp")
    assert "2023-11-14T22:13:20Z" in event.verdict.message
