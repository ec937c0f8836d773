"""Paths of orders and of cycles without one, put together: what they convert, and what models say of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from throughline.analytics.attribution import (
    NONE,
    OTHER,
    Converting,
    Credits,
    Direct,
    Path,
    Transform,
    prepared,
    shared_out,
)
from throughline.analytics.markov import Chain, Sequences
from throughline.analytics.resamples import intervals
from throughline.analytics.shapley import MAX_PLAYERS, shapley

BASELINE = "(baseline)"
"""The row of what would have come without any touch, by the incremental Shapley value."""
MARKOV_VALUES = 30
"""Maximum number of values of a chain; all others are `(other)` together."""
MAX_RESAMPLED = 20_000
"""Maximum number of different paths of which bootstrap intervals are computed."""
RESAMPLED_PLAYERS = 8
"""Maximum number of values of which those of the Shapley value are."""
RESAMPLED_STATES = 60
"""Maximum number of states of a chain of which they are."""


class Journeys(NamedTuple):
    """Journeys of one path: orders by currency, and cycles that ended without one."""

    path: Path
    currency: str | None
    """None: of cycles without an order."""
    number: int
    gross: int = 0
    net: int = 0


def converting(journeys: Iterable[Journeys]) -> list[Converting]:
    """Returns those with orders."""
    return [
        Converting(each.path, each.currency, each.number, each.gross, each.net)
        for each in journeys
        if each.currency is not None
    ]


class PathCount(NamedTuple):
    """How many journeys have one sequence of values."""

    values: tuple[str, ...]
    conversions: int
    nulls: int
    """Cycles that ended without an order."""


def counted(journeys: Iterable[Journeys], direct: Direct = "keep", transform: Transform = "none") -> list[PathCount]:
    """Returns the sequences of values, those with the most orders first."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for each in journeys:
        values = tuple(touch.value for touch in prepared(each.path, direct, transform))
        of_values = counts.setdefault(values, [0, 0])
        of_values[each.currency is None] += each.number
    rows = [PathCount(values, *numbers) for values, numbers in counts.items()]
    return sorted(rows, key=lambda row: (-row.conversions, -row.nulls, row.values))


class ModelCredit(NamedTuple):
    """What a model credits, and how sure it is."""

    shares: dict[str, float]
    """Value -> share of the conversions."""
    conversions: int
    """All conversions that are shared."""
    bounds: dict[str, tuple[float, float]]
    """Value -> bounds of its share; empty where these are not computed."""

    def credits(self, orders: Iterable[Converting]) -> Credits:
        """The credit of each value."""
        return shared_out(orders, self.shares)


def markov_credit(counts: Sequence[PathCount], order: int, *, with_bounds: bool) -> ModelCredit:
    """Returns the credit by removal effects of a chain.

    Raises:
        NoNullsError: the order is 1, and every path converts.
        TooManyStatesError: choose a lower order.
    """
    rows = _few_values([row for row in counts if row.values], MARKOV_VALUES)
    chain = Chain([Sequences(*row) for row in rows], order)
    shares = chain.effects((row.conversions, row.nulls) for row in rows).shares
    bounds: dict[str, tuple[float, float]] = {}
    if with_bounds and len(rows) <= MAX_RESAMPLED and chain.size <= RESAMPLED_STATES:

        def resampled(numbers: Sequence[int]) -> Mapping[str, float] | None:
            conversions, nulls = numbers[: len(rows)], numbers[len(rows) :]
            if not any(conversions) or (order == 1 and not any(nulls)):
                return None
            return chain.effects(zip(conversions, nulls, strict=True)).shares

        bounds = intervals([row.conversions for row in rows] + [row.nulls for row in rows], resampled)
    return ModelCredit(shares, sum(row.conversions for row in rows), bounds)


def shapley_credit(counts: Sequence[PathCount], *, with_bounds: bool) -> ModelCredit:
    """Returns the incremental Shapley credit, with `BASELINE` as one of the values."""
    rows = _few_values(counts, MAX_PLAYERS - 1)
    sets: dict[frozenset[str], list[int]] = {}
    for row in rows:
        of_set = sets.setdefault(frozenset(row.values), [0, 0])
        of_set[0] += row.conversions
        of_set[1] += row.nulls
    names = list(sets)

    def shares(numbers: Sequence[int]) -> dict[str, float] | None:
        conversions, nulls = numbers[: len(names)], numbers[len(names) :]
        whole = sum(conversions)
        if not whole:
            return None
        result = shapley(
            {name: (c, c + n) for name, c, n in zip(names, conversions, nulls, strict=True)}
        )  # fmt: skip
        return {BASELINE: result.baseline / whole, **{v: part / whole for v, part in result.values.items()}}

    numbers = [of_set[0] for of_set in sets.values()] + [of_set[1] for of_set in sets.values()]
    of_values = shares(numbers) or {}
    if of_values:
        # The orders without a touch are in the baseline.
        of_values[NONE] = 0.0
    players = {value for name in names for value in name}
    bounds = intervals(numbers, shares) if with_bounds and len(players) <= RESAMPLED_PLAYERS else {}
    return ModelCredit(of_values, sum(row.conversions for row in rows), bounds)


def _few_values(counts: Sequence[PathCount], most: int) -> list[PathCount]:
    """Returns the paths with all but the commonest values put together as `(other)`."""
    numbers: dict[str, int] = {}
    for row in counts:
        for value in set(row.values):
            numbers[value] = numbers.get(value, 0) + row.conversions + row.nulls
    ranked = sorted(numbers, key=lambda value: (value == OTHER, -numbers[value], value))
    if len(ranked) <= most:
        return list(counts)
    told_apart = set(ranked[:most])
    merged: dict[tuple[str, ...], list[int]] = {}
    for row in counts:
        of_values = merged.setdefault(tuple(value if value in told_apart else OTHER for value in row.values), [0, 0])
        of_values[0] += row.conversions
        of_values[1] += row.nulls
    return [PathCount(values, *of_values) for values, of_values in merged.items()]
