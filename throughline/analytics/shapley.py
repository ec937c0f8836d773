"""Incremental Shapley credit: what each value adds to the rate of conversion, with a baseline of those without any.

The players are the values of a journey, whatever their order. For each set of values that journeys have, the game is
played within it: a part of it is worth the rate of the journeys with exactly that part, drawn towards the rate of all
where there are few; the whole is worth what it is. Credit may be negative, and is shown so.
"""

from collections.abc import Mapping
from typing import NamedTuple

MAX_PLAYERS = 12
"""Maximum number of values."""
SHRINKAGE = 20
"""Number of journeys of the average rate that are added to those of each part."""

Sets = Mapping[frozenset[str], tuple[int, int]]
"""Values of a journey -> conversions, and all journeys."""


class Incremental(NamedTuple):
    """The credit, which adds up to all conversions."""

    baseline: float
    """What would have come of nothing."""
    values: dict[str, float]


def shapley(sets: Sets, shrinkage: float = SHRINKAGE) -> Incremental:
    """Returns the credit of each value.

    Args:
        sets: journeys by their values, of at most `MAX_PLAYERS` in all.
        shrinkage: see `SHRINKAGE`.
    """
    players = sorted(frozenset().union(*sets))
    bits = {player: 1 << place for place, player in enumerate(players)}
    size = 1 << len(players)
    conversions, journeys = [0] * size, [0] * size
    for values, (converted, number) in sets.items():
        mask = sum(bits[value] for value in values)
        conversions[mask] += converted
        journeys[mask] += number
    everybody = sum(journeys)
    average = sum(conversions) / everybody if everybody else 0.0
    worth = [
        (converted + shrinkage * average) / (number + shrinkage) if number + shrinkage else average
        for converted, number in zip(conversions, journeys, strict=True)
    ]
    # What each part is worth beyond its own parts (Harsanyi's dividends), of which its values have equal shares.
    dividends = worth.copy()
    _each_subset(dividends, -1)
    sizes = [mask.bit_count() for mask in range(size)]
    # The whole of a set is worth what it is: the difference is shared by all of the set.
    extra = [
        number * (converted / number - worth[mask]) if number else 0.0
        for mask, (converted, number) in enumerate(zip(conversions, journeys, strict=True))
    ]
    credit: dict[str, float] = {}
    for player, bit in bits.items():
        within = [dividends[mask] / sizes[mask] if mask & bit else 0.0 for mask in range(size)]
        _each_subset(within, 1)
        credit[player] = sum(
            journeys[mask] * within[mask] + extra[mask] / sizes[mask] for mask in range(size) if mask & bit
        )
    return Incremental(everybody * worth[0] + extra[0], credit)


def _each_subset(numbers: list[float], sign: int) -> None:
    """Add to the number of each set those of all its subsets; with -1, take that back."""
    bit = 1
    while bit < len(numbers):
        for mask in range(len(numbers)):
            if mask & bit:
                numbers[mask] += sign * numbers[mask ^ bit]
        bit <<= 1
