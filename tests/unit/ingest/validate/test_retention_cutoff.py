"""What occurred before its workspace's retention cutoff is refused where it comes in."""

import json

from services.ingest.dialects.envelope import open_body
from services.ingest.dialects.segment import judge


def test_an_event_before_the_retention_cutoff_is_refused() -> None:
    retention_cutoff_us = 1_700_000_000_000_000
    events = [
        {"type": "track", "event": "Seen", "userId": "ada", "timestamp": time}
        for time in ("2023-11-14T22:13:19.999999Z", "2023-11-14T22:13:20Z")
    ]
    body = open_body(json.dumps({"batch": events}).encode(), "")
    found = judge(
        body,
        workspace=1,
        source=1,
        received_us=retention_cutoff_us * 2,
        new_id=lambda: "new",
        retention_cutoff_us=retention_cutoff_us,
    )
    assert [one.occurred_us for one in found.touchpoints] == [retention_cutoff_us]
    ((verdict, _),) = found.refused
    assert (verdict.code, verdict.field) == ("before_horizon", "timestamp")
    assert "2023-11-14T22:13:20Z" in verdict.message
