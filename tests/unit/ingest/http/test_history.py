"""Headers say that events are history, from when on, and where their file had got to."""

import pytest

from services.ingest.http.history import HISTORY, PLACE, read_timing
from services.ingest.validate.request import LIVE, Timing
from throughline.kit.errors import ServiceError


def test_without_the_header_events_are_live() -> None:
    assert read_timing({PLACE: b"7"}, LIVE) is LIVE


def test_an_import_says_from_when_on_and_from_which_row() -> None:
    headers = {HISTORY: b"1970-01-02", PLACE: b"1500"}
    assert read_timing(headers, LIVE, is_operator=True) == Timing(86_400_000_000, True, 1500)
    # A key that stands in a web page must not put links before those of everybody else.
    assert read_timing(headers, LIVE) == Timing(LIVE.earliest_us, True, 1500)
    assert read_timing({HISTORY: b"2000-01-01T00:00:00Z"}, LIVE) == Timing(LIVE.earliest_us, True, 0)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({HISTORY: b""}, "X-Throughline-History"),
        ({HISTORY: b"true"}, "X-Throughline-History"),
        ({HISTORY: b"+010000-01-01"}, "X-Throughline-History"),
        ({HISTORY: b"2000-01-01", PLACE: b"-1"}, "X-Throughline-Place"),
        ({HISTORY: b"2000-01-01", PLACE: b"1" * 10}, "X-Throughline-Place"),
    ],
)
def test_a_header_that_cannot_be_read_fails_the_request(headers: dict[bytes, bytes], field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_timing(headers, LIVE)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "wrong_header", field)
