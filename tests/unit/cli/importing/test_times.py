"""A column of times is read in every form that exports print, by the parser of live events."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from throughline.cli.importing.mapping import RowError
from throughline.cli.importing.values import time_of

TEN = "2025-03-01T10:00:00+00:00"


def read(value: Any, form: str = "") -> str:
    return time_of(value, "at", form, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    "value",
    ["2025-03-01 10:00:00 UTC", "Sat, 01 Mar 2025 10:00:00 GMT", "1740823200", 1_740_823_200, "1740823200000",
     1.7408232e15],
)  # fmt: skip
def test_without_a_format_the_form_is_found_out(value: object) -> None:
    assert read(value) == TEN


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("epoch", "1740823200"),
        ("epoch", "1740823200000"),
        ("epoch", 1_740_823_200_000_000),
        ("epoch_s", " 1740823200 "),
        ("epoch_ms", 1_740_823_200_000),
        ("epoch_us", "1740823200000000"),
    ],
)
def test_a_format_says_that_it_is_a_number(form: str, value: object) -> None:
    assert read(value, form) == TEN


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("", "soon"),
        ("", True),
        ("epoch", "2025-03-01"),
        ("epoch", "nan"),
        ("epoch", True),
        ("epoch", [1]),
        ("epoch_s", 10**30),
        ("%d.%m.%Y", 5),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(form: str, value: object) -> None:
    with pytest.raises(RowError, match="is not a time like") as caught:
        read(value, form)
    assert (caught.value.code, caught.value.field) == ("unreadable_time", "timestamp")


def test_a_date_without_an_order_is_refused_and_names_both() -> None:
    with pytest.raises(RowError, match="--dates day-first or --dates month-first") as caught:
        read("9/6/2016  6:29:00")
    assert (caught.value.code, caught.value.field) == ("ambiguous_time", "timestamp")
    zone = ZoneInfo("Europe/Vienna")
    assert time_of("9/6/2016  6:29:00", "at", "", zone, day_first=True) == "2016-06-09T06:29:00+02:00"
    assert time_of("9/6/2016  6:29:00", "at", "", zone, day_first=False) == "2016-09-06T06:29:00+02:00"
    with pytest.raises(RowError, match="is not a time like"):
        time_of("13/13/2016", "at", "", zone, day_first=True)
