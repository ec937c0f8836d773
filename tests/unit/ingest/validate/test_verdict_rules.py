"""Times, channels and typed fields: the rules an event is measured by."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.ingest.event.times import SKEW_US, correct, parse
from services.ingest.event.verdict import RejectedError, Verdict
from services.ingest.validate.fields import NONE, read_fields
from throughline.kit.clock import to_us

NOW = 1_795_000_000_000_000
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("client", "sent", "expected", "flagged"),
    [
        (NOW - HOUR, None, NOW - HOUR, False),  # nothing to compare with: the client is believed
        (NOW - HOUR, NOW - 5_000_000, NOW - HOUR, False),  # five seconds are transit
        (NOW - 2 * HOUR, NOW - HOUR, NOW - HOUR, False),  # a clock an hour slow
        (NOW + HOUR - 60_000_000, NOW + HOUR, NOW - 60_000_000, False),  # an hour fast, a minute in the queue
        (NOW + 2_000_000, NOW, NOW, False),  # two seconds ahead: cut, not worth a warning
        (NOW + HOUR, NOW, NOW, True),
        (NOW + HOUR, None, NOW, True),
        (NOW - HOUR, NOW - 2 * HOUR, NOW, True),  # sent before it happened
        (NOW - HOUR, NOW - SKEW_US, NOW - HOUR, False),  # exactly the threshold
    ],
)
def test_clock_correction(client: int, sent: int | None, expected: int, flagged: bool) -> None:
    assert correct(client, sent, NOW) == (expected, flagged)


def test_a_correction_before_the_year_1_refuses_the_event() -> None:
    year_1, year_9999 = (to_us(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
    with pytest.raises(RejectedError, match="year 1"):
        correct(year_1, year_9999, NOW)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2026-11-23T20:28:33.120Z", datetime(2026, 11, 23, 20, 28, 33, 120_000, UTC)),
        ("2026-11-23 21:28:33+01:00", datetime(2026, 11, 23, 20, 28, 33, tzinfo=UTC)),
        ("20261123T202833Z", datetime(2026, 11, 23, 20, 28, 33, tzinfo=UTC)),
        (1_795_465_713, datetime(2026, 11, 23, 20, 28, 33, tzinfo=UTC)),
        (1_795_465_713_000, datetime(2026, 11, 23, 20, 28, 33, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (True, None),
        ({}, None),
        (float("nan"), None),
    ],
)
def test_forms_of_time(sent: Any, expected: datetime | None) -> None:
    assert parse(sent, "timestamp") == expected


@pytest.mark.parametrize("sent", ["+010000-01-01T00:00:00.000Z", "-000001-01-01T00:00:00Z", "0000-01-01", 1e18, -1e18])
def test_years_out_of_range_refuse_the_event(sent: Any) -> None:
    with pytest.raises(RejectedError) as refused:
        parse(sent, "timestamp")
    assert refused.value.verdict.code == "time_out_of_range"


def test_typed_fields_take_the_first_name_that_is_given() -> None:
    fields, _ = read_fields({"total": 3, "revenue": "2.5", "orderId": 7, "sku": "s", "npsScore": 9, "rating": 4.5}, [])
    assert fields[:7] == ("7", 2.5, "", 4.5, 9.0, "s", None)
    assert read_fields({"price": 1}, []) == (NONE, False)


def test_typed_fields_of_the_wrong_type_are_left_out_with_a_warning() -> None:
    notes: list[Verdict] = []
    fields, _ = read_fields({"value": "much", "total": 3.0, "order_id": {"a": 1}, "quantity": True}, notes)
    assert fields[:7] == ("", 3.0, "", None, None, "", None)
    assert [(note.code, note.field) for note in notes] == [
        ("wrong_type", "properties.value"),
        ("wrong_type", "properties.order_id"),
        ("wrong_type", "properties.quantity"),
    ]


def test_a_number_no_float_holds_refuses_the_event() -> None:
    with pytest.raises(RejectedError, match="too large"):
        read_fields({"value": 10**400}, [])
