"""What exports, clients and people print is read as the time it is."""

import pytest

from throughline.kit.clock import to_us
from throughline.kit.time_text import order_of_date, parse_time

TEN_US = 1_740_823_200_000_000
"""2025-03-01T10:00:00Z"""


@pytest.mark.parametrize(
    "value",
    [
        "2025-03-01 10:00:00 UTC",
        " 2025-03-01 10:00:00.000 UTC ",
        "2025-03-01 10:00:00 +0000 UTC",
        "2025-03-01 11:00:00 +0100",
        "2025-03-01t10:00:00z",
        "2025-03-01T11:00:00+01:00",
        "2025-03-01 10:00:00",
        "20250301T100000Z",
        "20250301100000",
        "Sat, 01 Mar 2025 10:00:00 GMT",
        "Sat, 1 Mar 2025 11:00:00 +0100",
        "01 Mar 2025 10:00:00 +0000",
        "Sat Mar 01 2025 11:00:00 GMT+0100 (CET)",
        1_740_823_200,
        1_740_823_200_000,
        1_740_823_200_000_000,
        "1740823200",
        "1740823200.0",
        "1740823200000",
        "1740823200000000",
        "1.7408232E12",
        "2025/03/01 10:00:00",
        "2025/3/1 11:00 +0100",
        "01.03.2025 10:00",
        "1.3.2025, 10:00:00.000 UTC",
        "Mar 1, 2025 10:00:00",
        "March 1, 2025 at 10:00 AM",
        "Saturday, March 1, 2025 11:00:00 a.m. +01:00",
    ],
)
def test_one_instant_in_many_forms(value: object) -> None:
    time = parse_time(value)
    assert time is not None
    assert to_us(time) == TEN_US


def test_microseconds_are_exact() -> None:
    for value in (1_740_823_200_123_457, "1740823200123457", "2025-03-01 10:00:00.123457 UTC"):
        time = parse_time(value)
        assert time is not None
        assert to_us(time) == TEN_US + 123_457


def test_digits_are_never_taken_for_a_date_of_the_18th_century() -> None:
    time = parse_time("1712120112345")
    assert time is not None
    assert time.year == 2024


@pytest.mark.parametrize(
    "value",
    ["", " ", "yesterday", "0000-00-00 00:00:00", "2025-13-01", "10:00", "1 2", "May", "NaN", True, None, [], {},
     "1 Mar", float("nan"), "x" * 100_000, "Sat, 41 Mar 2025 10:00:00 GMT", "1.2.3", "1.2.25", "31.02.2025",
     "Mai 1, 2025", "2025/13/01", "1.3.2025 13:00 pm", "1/3.2025"],
)  # fmt: skip
def test_what_is_no_time(value: object) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value", ["+010000-01-01T00:00:00Z", "0000-01-01", 1e18, -1e18, float("inf"), "1e50", "1" * 40]
)
def test_what_lies_outside_the_years(value: object) -> None:
    with pytest.raises(OverflowError):
        parse_time(value)


@pytest.mark.parametrize(
    "value", ["3/1/2025 10:00", "3/1/25 10:00:00 AM", "03-01-2025 10:00", "3/1/2025  10:00:00 UTC"]
)
def test_nobody_guesses_the_month(value: str) -> None:
    assert parse_time(value) is None
    assert "nobody can tell" in order_of_date(value)
    by_month, by_day = (parse_time(value, day_first=day_first) for day_first in (False, True))
    assert by_month is not None
    assert by_day is not None
    assert to_us(by_month) == TEN_US
    assert (by_day.year, by_day.month, by_day.day, by_day.hour) == (2025, 1, 3, 10)


def test_a_day_that_can_be_no_month_is_named_but_tells_nothing_of_other_dates() -> None:
    assert parse_time("13/04/2025") is None
    assert order_of_date("13/04/2025").startswith("the first number can only be the day")
    assert order_of_date("04/13/2025").startswith("the second number can only be the day")
    assert parse_time("13/04/2025", day_first=False) is None
    assert [order_of_date(text) for text in ("2025/04/13", "13.04.2025", "soon")] == ["", "", ""]
