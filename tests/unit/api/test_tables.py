"""Answers as CSV, read back by another reader of it."""

import csv
import io
from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from services.api.funnel.answers import Cohort, Funnel, FunnelStep, TimeToStep, WithinWindow
from services.api.phases.answers import Channels
from services.api.shared.answers import Answer
from services.api.shared.csv_answers import accepts_csv
from services.api.shared.tables import Table, written
from throughline.kit.clock import rfc3339


class Ends(Answer):
    """A number twice."""

    opening: int
    closing: int


class Inner(Answer):
    """An item of an item."""

    name: Annotated[str, Meta(examples=["discovery"])]
    tags: list[str]
    ends: Annotated[Ends | None, Meta(description="null: none")]


class Outer(Answer):
    """An item."""

    from_: str
    good: bool
    share: float | None
    inner: list[Inner]


class Page(Answer):
    """A page."""

    TABLE: ClassVar[str] = "items.inner"
    items: list[Outer]


def test_members_of_members_are_columns_and_outer_items_stand_in_each_row() -> None:
    table = Table(Page)
    page = Page(
        [
            Outer("now", True, 0.25, [Inner("a", ["x"], Ends(1, -2)), Inner("b", [], None)]),
            Outer("then", False, None, []),
        ]
    )
    assert table.header == ("from_", "good", "share", "name", "tags", "ends.opening", "ends.closing")
    assert list(table.rows(page)) == [
        ["now", True, 0.25, "a", ["x"], 1, -2],
        ["now", True, 0.25, "b", [], None, None],
    ]
    assert written(table.rows(page)) == b'now,true,0.25,a,"[""x""]",1,-2\r\nnow,true,0.25,b,[],,\r\n'


def test_a_list_of_names_is_one_column() -> None:
    table = Table(Channels)
    assert table.header == ("channels",)
    assert list(table.rows(Channels(["direct", "email"], None))) == [["direct"], ["email"]]


def test_a_funnel_has_its_whole_before_its_parts() -> None:
    within = WithinWindow(1, 1, None)
    step = FunnelStep("decision", 1, 1, 0, 0, 0, within, within, TimeToStep(None, None, None, {"1d": 0.5}), "", {})
    at = rfc3339(0)
    funnel = Funnel("m", "UTC", at, at, None, None, "cycle", None, "discovery", Cohort(1, 1, 0, {}), [step], [], None)
    table = Table(Funnel)
    row = dict(zip(table.header, next(table.rows(funnel)), strict=True))
    assert (row["value"], row["cohort.entered"], row["phase"], row["within.rate.low"]) == ("", 1, "decision", None)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_is_taken_for_a_formula(start: str) -> None:
    assert next(csv.reader(io.StringIO(written([[f"{start}1+1", -1]]).decode(), newline=""))) == [f"'{start}1+1", "-1"]


@given(rows=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4), max_size=5))
def test_every_text_comes_back(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(written(rows).decode(), newline="")))
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


@pytest.mark.parametrize(
    ("header", "is_csv"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/csv", True),
        ("Text/CSV; charset=utf-8", True),
        ("text/csv, */*;q=0.1", True),
        ("text/csv, application/json", False),
        ("text/csv, application/json;q=0.9", True),
        ("application/json, text/csv;q=0.5", False),
        ("text/csv;q=0", False),
        ("text/csv;q=much", False),
        ("text/html, text/plain", False),
    ],
)
def test_who_asks_for_csv(header: str, is_csv: bool) -> None:
    assert accepts_csv(header) is is_csv
