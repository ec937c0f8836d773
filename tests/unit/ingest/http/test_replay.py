"""What the headers of an event that is sent again say, and what is made of it."""

import json

import pytest

from services.ingest.dialects.registry import RULES
from services.ingest.http.replay import Replay, read_replay, require_each, restamp
from services.ingest.publish.rejected import rejected_records
from tests.support.dialect_requests import segment, source, validated
from throughline.kit.errors import ServiceError

NOW = 1_795_465_713_000_000  # 2026-11-23T20:28:33Z
AT = b"x-throughline-received-at"
EVENT = {"type": "track", "event": "E", "userId": "ada"}


def test_when_they_were_first_received_and_whose_they_are() -> None:
    headers = [
        (b"host", b"x"),
        (AT, b"2026-11-22T20:28:33.000001Z"),
        (b"x-throughline-message-id", b"Caf%C3%A9%231, ,a%2Cb"),
        (b"x-throughline-replay-of", b"touchpoints.rejected/2/71,touchpoints.rejected/2/72, touchpoints.rejected/2/75"),
    ]
    assert read_replay(dict(headers), NOW) == Replay(
        NOW - 86_399_999_999,
        ["Caf\u00e9#1", "", "a,b"],
        ["touchpoints.rejected/2/71", "touchpoints.rejected/2/72", "touchpoints.rejected/2/75"],
    )


def test_never_later_than_now() -> None:
    assert read_replay({AT: b"2026-11-23T23:00:00Z"}, NOW) == Replay(NOW, [], [])


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ([(AT, b"yesterday")], "X-Throughline-Received-At"),
        ([(AT, b"")], "X-Throughline-Received-At"),
        ([(AT, b"+12345-01-01T00:00:00Z")], "X-Throughline-Received-At"),
        ([(AT, b"2026-11-23"), (b"x-throughline-message-id", b"a," + b"m" * 101)], "X-Throughline-Message-Id"),
        ([(AT, b"2026-11-23"), (b"x-throughline-message-id", b"%00")], "X-Throughline-Message-Id"),
        ([(AT, b"2026-11-23"), (b"x-throughline-replay-of", b"r" * 1000)], "X-Throughline-Replay-Of"),
    ],
)
def test_what_cannot_be_read_is_told(headers: list[tuple[bytes, bytes]], field: str) -> None:
    with pytest.raises(ServiceError, match=field) as caught:
        read_replay(dict(headers), NOW)
    assert (caught.value.status, caught.value.field) == (400, field)


def test_what_is_said_of_some_events_is_not_taken_for_all() -> None:
    require_each(Replay(NOW, [], []), 2)
    require_each(Replay(NOW, ["m", ""], ["r", "s"]), 2)
    for replay in (Replay(NOW, ["m"], []), Replay(NOW, [], ["r"]), Replay(NOW, ["a", "b"], ["r", "s", "t"])):
        with pytest.raises(ServiceError, match="the body has 2"):
            require_each(replay, 2)


def test_events_without_an_id_have_one_of_the_record_they_come_from() -> None:
    def ids(*replay_of: str, received_us: int = NOW) -> list[str]:
        body = segment(json.dumps({"batch": [EVENT] * len(replay_of)}).encode())
        result = validated(body, received_us, lambda: "none")
        touchpoints = restamp(result, Replay(received_us, [], list(replay_of)), NOW + 5, "none").touchpoints
        assert all(
            (touchpoint.occurred_us, touchpoint.received_us) == (received_us, NOW + 5) for touchpoint in touchpoints
        )
        return [touchpoint.message_id for touchpoint in touchpoints]

    first = ids("t/0/1", "t/0/2")
    assert first == ids("t/0/1", "t/0/2") == [*ids("t/0/1"), *ids("t/0/2")]
    assert len({*first, *ids("t/1/1"), *ids("t/0/1", received_us=NOW + 1)}) == 4


def test_each_id_stays_with_its_event_when_a_neighbour_is_refused() -> None:
    body = segment(json.dumps({"batch": [EVENT, {"type": "track"}, EVENT]}).encode())
    result = validated(body, new_id=lambda: "none")
    touchpoints = restamp(result, Replay(NOW, ["a", "b", "c"], []), NOW, "none").touchpoints
    assert [touchpoint.message_id for touchpoint in touchpoints] == ["a", "c"]
    records = rejected_records(result, body, source(), RULES, NOW, "POST /v1/batch", ["t/0/1", "t/0/2", "t/0/3"])
    assert [(record.code, record.replay_of) for record in records] == [("missing_field", "t/0/2")]
