"""Incremental Shapley credit against an example by hand and a naive reading of the definition."""

from fractions import Fraction
from itertools import combinations
from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.analytics.shapley import Sets, shapley


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
