"""What the headers of an event that is sent again say, and what is made of it."""

import pytest

from services.ingest.resent import Resent, id_of, read_resent, require_alone
from throughline.kit.errors import ServiceError

NOW = 1_795_465_713_000_000  # 2026-11-23T20:28:33Z
AT = b"x-throughline-received-at"


def test_when_it_was_first_received_and_whose_it_is() -> None:
    headers = [
        (b"host", b"x"),
        (AT, b"2026-11-22T20:28:33.000001Z"),
        (b"x-throughline-message-id", b"Caf%C3%A9%231"),
        (b"x-throughline-replay-of", b"touchpoints.rejected/2/71"),
    ]
    assert read_resent(headers, NOW) == Resent(NOW - 86_399_999_999, "Caf\u00e9#1", "touchpoints.rejected/2/71")


def test_never_later_than_now() -> None:
    assert read_resent([(AT, b"2026-11-23T23:00:00Z")], NOW) == Resent(NOW, "", "")


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ([(AT, b"yesterday")], "X-Throughline-Received-At"),
        ([(AT, b"")], "X-Throughline-Received-At"),
        ([(AT, b"+12345-01-01T00:00:00Z")], "X-Throughline-Received-At"),
        ([(AT, b"2026-11-23"), (b"x-throughline-message-id", b"m" * 101)], "X-Throughline-Message-Id"),
        ([(AT, b"2026-11-23"), (b"x-throughline-message-id", b"%00")], "X-Throughline-Message-Id"),
        ([(AT, b"2026-11-23"), (b"x-throughline-replay-of", b"r" * 1000)], "X-Throughline-Replay-Of"),
    ],
)
def test_what_cannot_be_read_is_told(headers: list[tuple[bytes, bytes]], field: str) -> None:
    with pytest.raises(ServiceError, match=field) as caught:
        read_resent(headers, NOW)
    assert (caught.value.status, caught.value.field) == (400, field)


def test_what_is_said_of_one_event_is_not_taken_for_two() -> None:
    require_alone(Resent(NOW, "", ""), 2)
    require_alone(Resent(NOW, "m", "r"), 1)
    for resent in (Resent(NOW, "m", ""), Resent(NOW, "", "r")):
        with pytest.raises(ServiceError, match="2"):
            require_alone(resent, 2)


def test_an_event_without_an_id_has_the_same_each_time() -> None:
    first = id_of(Resent(NOW, "", "touchpoints.rejected/2/71"))
    assert first == id_of(Resent(NOW, "", "touchpoints.rejected/2/71"))
    others = [Resent(NOW, "", "touchpoints.rejected/2/72"), Resent(NOW + 1, "", "touchpoints.rejected/2/71")]
    assert len({first, *map(id_of, others)}) == 3
