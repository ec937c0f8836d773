"""Incremental Shapley credit against an example by hand and a naive reading of the definition."""

from fractions import Fraction
from itertools import combinations
from math import factorial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.attribution import leave_one_out
from throughline.analytics.attribution import Converting, Touch, credit
from throughline.analytics.paths import PathCount, shapley_credit
from throughline.analytics.shapley import Sets, shapley

FRACTRIBUTION = {
    ("Direct",): (3, 25, 9_442),
    ("Organic_Search",): (1, 26, 6_650),
    ("Referral", "Direct"): (0, 1, 0),
    ("Video",): (1, 2, 20_000),
    ("Organic_Search", "Paid_Search_Other"): (0, 2, 0),
    ("Referral",): (0, 2, 0),
    ("Organic_Search", "Direct"): (1, 1, 14_000),
    ("Paid_Search_Other",): (0, 1, 0),
    ("Unmatched_Channel",): (0, 1, 0),
}
"""The example of dbt-snowplow-fractribution (Apache-2.0): path -> conversions, nulls, revenue in cents."""


def test_two_channels_and_those_without() -> None:
    sets = {frozenset(): (2, 100), frozenset("A"): (4, 100), frozenset("B"): (6, 100), frozenset("AB"): (12, 100)}
    result = shapley(sets, shrinkage=0)
    assert result.baseline == pytest.approx(8)
    assert result.values == pytest.approx({"A": 6, "B": 10})


def naive(sets: Sets, shrinkage: int) -> dict[str, Fraction]:
    average = Fraction(sum(c for c, _ in sets.values()), sum(n for _, n in sets.values()))

    def worth(part: frozenset[str]) -> Fraction:
        converted, number = sets.get(part, (0, 0))
        return (converted + shrinkage * average) / (number + shrinkage) if number + shrinkage else average

    credit: dict[str, Fraction] = {}
    for whole, (converted, number) in sets.items():
        if not number:
            continue
        worths = {
            frozenset(part): worth(frozenset(part)) for size in range(len(whole)) for part in combinations(whole, size)
        }
        worths[whole] = Fraction(converted, number)
        credit["(baseline)"] = credit.get("(baseline)", Fraction(0)) + number * worths[frozenset()]
        for player in whole:
            for part, value in worths.items():
                if player in part:
                    continue
                ways = Fraction(factorial(len(part)) * factorial(len(whole) - len(part) - 1), factorial(len(whole)))
                credit[player] = credit.get(player, Fraction(0)) + number * ways * (worths[part | {player}] - value)
    return credit


counts = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (pair[0], sum(pair)))


@given(st.dictionaries(st.frozensets(st.sampled_from("ABCD")), counts, max_size=8), st.sampled_from([0, 1, 20]))
def test_it_is_the_definition_and_adds_up(sets: dict[frozenset[str], tuple[int, int]], shrinkage: int) -> None:
    if not sum(number for _, number in sets.values()):
        return
    result = shapley(sets, shrinkage)
    expected = naive(sets, shrinkage)
    assert result.baseline == pytest.approx(float(expected.pop("(baseline)")), abs=1e-9)
    assert {value: part for value, part in result.values.items() if value in expected} == pytest.approx(
        {value: float(part) for value, part in expected.items()}, abs=1e-9
    )
    assert result.baseline + sum(result.values.values()) == pytest.approx(sum(c for c, _ in sets.values()), abs=1e-9)


def test_what_others_call_the_shapley_value_leaves_one_out() -> None:
    others = leave_one_out({path: (conversions, nulls) for path, (conversions, nulls, _) in FRACTRIBUTION.items()})
    shown = {value: part for value, part in others.items() if part}
    assert shown == pytest.approx(
        {"Direct": 3.5409582690664606, "Organic_Search": 1.459041731664606, "Video": 1}, abs=1e-8
    )
    ours = shapley_credit([PathCount(path, c, n) for path, (c, n, _) in FRACTRIBUTION.items()], with_bounds=False)
    assert sum(ours.shares.values()) == pytest.approx(1)
    assert ours.shares.keys() > {value for path in FRACTRIBUTION for value in path}
    # Its last touch is ours, to the cent; so are the returns of 10,000 spent on each channel.
    orders = [
        Converting(tuple(map(Touch, path)), "EUR", c, cents, cents) for path, (c, _, cents) in FRACTRIBUTION.items()
    ]
    last = {value: of["EUR"] for value, of in credit(orders, "last").items() if of["EUR"].conversions}
    assert {value: (part.conversions, part.gross) for value, part in last.items()} == {
        "Direct": (4_000_000, 23_442_000_000), "Organic_Search": (1_000_000, 6_650_000_000),
        "Video": (1_000_000, 20_000_000_000),
    }  # fmt: skip
    assert last["Direct"].gross / 1_000_000 / 1_000_000 == pytest.approx(0.023442)


rows = st.lists(
    st.builds(
        PathCount, st.lists(st.sampled_from("abcd"), max_size=4).map(tuple), st.integers(0, 9), st.integers(0, 30)
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@given(rows, st.randoms(use_true_random=False))
def test_order_rows_names_and_repeats_change_nothing(counts: list[PathCount], dice: Random) -> None:
    shares = shapley_credit(counts, with_bounds=False).shares
    mixed = dice.sample(counts, len(counts))
    split = [
        PathCount(row.values, *numbers)
        for row in counts
        for numbers in ((row.conversions // 2, row.nulls), (row.conversions - row.conversions // 2, 0))
    ]
    collapsed = [
        row._replace(values=tuple(v for n, v in enumerate(row.values) if n == 0 or row.values[n - 1] != v))
        for row in counts
    ]
    for others in (mixed, split, collapsed):
        assert shapley_credit(others, with_bounds=False).shares == pytest.approx(shares, abs=1e-9)
    renamed = [row._replace(values=tuple(f"x{value}" for value in row.values)) for row in counts]
    assert shapley_credit(renamed, with_bounds=False).shares == pytest.approx(
        {value if value.startswith("(") else f"x{value}": share for value, share in shares.items()}, abs=1e-9
    )


@given(st.dictionaries(st.frozensets(st.sampled_from("ABC")), counts, min_size=1, max_size=6), st.integers(2, 9))
def test_all_counts_times_as_many_are_credit_times_as_much(
    sets: dict[frozenset[str], tuple[int, int]], times: int
) -> None:
    scaled = {values: (times * converted, times * number) for values, (converted, number) in sets.items()}
    once, often = shapley(sets, shrinkage=2), shapley(scaled, shrinkage=2 * times)
    assert often.baseline == pytest.approx(times * once.baseline, abs=1e-6)
    assert often.values == pytest.approx({value: times * part for value, part in once.values.items()}, abs=1e-6)
