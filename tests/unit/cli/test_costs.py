"""Files of costs: their columns, their numbers, and what is said of a row that is none."""

from collections.abc import Sequence
from datetime import date

import pytest

from throughline.cli.costs import MAX_ROWS, parse_costs
from throughline.cli.importing.mapping import RowError
from throughline.store.costs import Cost

DAY = date(2026, 11, 23).toordinal() - date(1970, 1, 1).toordinal()


def parsed(*rows: Sequence[str], currency: str = "") -> list[Cost]:
    return parse_costs(enumerate(rows, start=1), currency)


def test_rows_of_one_day_value_and_currency_are_added_up() -> None:
    header = ("Day", " campaign ", "amount", "currency", "clicks")
    assert parsed(
        header,
        ("2026-11-23", "spring", "1,234.50", "eur", "9"),
        ("2026-11-23T00:00:00", " spring ", "0,50", "EUR", "1"),
        ("2026-11-23", "spring", "100", "JPY", ""),
    ) == [Cost("campaign", DAY, "spring", "EUR", 123_500), Cost("campaign", DAY, "spring", "JPY", 100)]
    assert parsed(("day", "channel", "amount"), ("2026-11-23", "email", "2"), currency="USD") == [
        Cost("channel", DAY, "email", "USD", 200)
    ]


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        (("day", "amount", "currency"), ("2026-11-23", "1", "EUR"), ["one of channel, source", "day, amount"]),
        (("day", "campaign", "channel", "amount"), ("2026-11-23", "a", "b", "1"), ["one of channel"]),
        (("day", "campaign", "amount"), ("23.11.2026", "a", "1"), ["line 2, day", "2026-11-23"]),
        (("day", "campaign", "amount"), ("2026-11-23", "a", "much"), ["line 2, amount", "'much'"]),
        (("day", "campaign", "amount"), ("2026-11-23", "a", "-1"), ["line 2, amount", "less than nothing"]),
        (("day", "campaign", "amount"), ("2026-11-23", " ", "1"), ["line 2, campaign", "empty"]),
        (("day", "campaign", "amount"), ("2026-11-23", "a"), ["line 2 has 2 cells"]),
        (("day", "campaign", "amount", "currency"), ("2026-11-23", "a", "1", "euro"), ["line 2, currency", "EUR"]),
    ],
)
def test_a_row_that_is_no_cost_is_named(header: Sequence[str], row: Sequence[str], words: list[str]) -> None:
    with pytest.raises(RowError) as failure:
        parsed(header, row, currency="" if "currency" in header else "EUR")
    assert all(word in str(failure.value) for word in words)


def test_a_file_is_limited() -> None:
    row = ("2026-11-23", "a", "1")
    with pytest.raises(RowError, match="split the file"):
        parsed(("day", "campaign", "amount"), *[row] * (MAX_ROWS + 1), currency="EUR")
    with pytest.raises(RowError, match="none"):
        parsed()
