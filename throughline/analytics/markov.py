"""Removal effects of a Markov chain over paths (Anderl and others, 2016), solved, never simulated.

A state is the last touches of a path, as many as the order. Removing a value leads every state that contains it to no
conversion; its effect is the share of the chance of a conversion that is lost then.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MAX_STATES = 2_000
"""Maximum number of states of a chain."""
_DENSE_STATES = 60
"""Up to so many states equations are solved by elimination, which is faster there; more by iteration."""
_TOLERANCE = 1e-15
_CONVERTED, _NULL = -1, -2


class Sequences(NamedTuple):
    """Journeys with one sequence of values, at least one."""

    values: tuple[str, ...]
    conversions: int
    nulls: int
    """Of them, ended without a conversion."""


class NoNullsError(ValueError):
    """All paths convert: a chain of order 1 says nothing then."""


class TooManyStatesError(ValueError):
    """The chain has more than `MAX_STATES` states."""


class Effects(NamedTuple):
    """What a chain says."""

    probability: float
    """Of a conversion from the start: the share of paths that convert."""
    effects: dict[str, float]
    """Value -> share of the conversions lost without it, from 0 to 1."""

    @property
    def shares(self) -> dict[str, float]:
        """Value -> share of all conversions; empty without a conversion."""
        whole = sum(self.effects.values())
        return {value: effect / whole for value, effect in self.effects.items()} if whole else {}


class Chain:
    """The states of some paths and the steps between them, ready to be weighed."""

    def __init__(self, paths: Sequence[Sequences], order: int = 1) -> None:
        """Raises TooManyStatesError."""
        numbers: dict[tuple[str, ...], int] = {(): 0}
        self._steps: list[tuple[int, ...]] = []
        for path in paths:
            states = [0]
            for end in range(1, len(path.values) + 1):
                state = path.values[max(0, end - order) : end]
                states.append(numbers.setdefault(state, len(numbers)))
                if len(numbers) > MAX_STATES:
                    raise TooManyStatesError(f"there are more than {MAX_STATES:,} states")
            self._steps.append(tuple(states))
        self._states = list(numbers)
        self.values = sorted({value for path in paths for value in path.values})
        self._order = order

    @property
    def size(self) -> int:
        """Number of states."""
        return len(self._states)

    def effects(self, weights: Iterable[tuple[float, float]]) -> Effects:
        """Returns the removal effects.

        Args:
            weights: conversions and nulls of each path.

        Raises:
            NoNullsError: of a chain of order 1.
        """
        counts: list[dict[int, float]] = [{} for _ in self._states]
        conversions = nulls = 0.0
        for states, (converted, ended) in zip(self._steps, weights, strict=True):
            weight = converted + ended
            if not weight:
                continue
            conversions += converted
            nulls += ended
            before = 0
            for state in states[1:]:
                of_state = counts[before]
                of_state[state] = of_state.get(state, 0.0) + weight
                before = state
            of_state = counts[before]
            of_state[_CONVERTED] = of_state.get(_CONVERTED, 0.0) + converted
            of_state[_NULL] = of_state.get(_NULL, 0.0) + ended
        if self._order == 1 and conversions and not nulls:
            raise NoNullsError("every path ends with a conversion")
        if not conversions:
            return Effects(0.0, dict.fromkeys(self.values, 0.0))
        rows: list[dict[int, float]] = []
        for of_state in counts:
            whole = sum(of_state.values())
            rows.append({state: weight / whole for state, weight in of_state.items()} if whole else {})
        probability = _chance(rows, [bool(row) for row in rows])
        effects = {}
        for value in self.values:
            stay = [bool(row) and value not in state for row, state in zip(rows, self._states, strict=True)]
            effects[value] = min(1.0, max(0.0, 1.0 - _chance(rows, stay) / probability))
        return Effects(probability, effects)


def markov(paths: Sequence[Sequences], order: int = 1) -> Effects:
    """Returns the removal effects of some paths.

    Raises:
        NoNullsError: the order is 1, and every path converts.
        TooManyStatesError: choose a lower order.
    """
    return Chain(paths, order).effects((path.conversions, path.nulls) for path in paths)


def _chance(rows: Sequence[Mapping[int, float]], stay: Sequence[bool]) -> float:
    """Returns the chance of a conversion from the start, through states that stay only: x = Q x + r, solved for x."""
    numbers = [number for number, stays in enumerate(stay) if stays]
    if not numbers or numbers[0] != 0:
        return 0.0
    places = {number: place for place, number in enumerate(numbers)}
    staying: list[float] = []
    converted: list[float] = []
    others: list[list[tuple[int, float]]] = []
    for number in numbers:
        row = rows[number]
        staying.append(row.get(number, 0.0))
        converted.append(row.get(_CONVERTED, 0.0))
        others.append([(places[to], part) for to, part in row.items() if to in places and to != number])
    solve = _eliminated if len(numbers) <= _DENSE_STATES else _iterated
    return solve(staying, converted, others)


def _eliminated(staying: list[float], converted: list[float], others: Sequence[Sequence[tuple[int, float]]]) -> float:
    """State after state is left out, from the last, and its ways led past it. Nothing is ever subtracted but a stay."""
    size = len(staying)
    table = [[0.0] * size for _ in range(size)]
    for place, of_state in enumerate(others):
        for to, part in of_state:
            table[place][to] = part
    for left_out in range(size - 1, 0, -1):
        leaving = 1.0 - staying[left_out]
        if leaving <= 0.0:
            continue
        row, chance = table[left_out], converted[left_out]
        for place in range(left_out):
            part = table[place][left_out]
            if part:
                part /= leaving
                target = table[place]
                converted[place] += part * chance
                for to in range(left_out):
                    target[to] += part * row[to]
                staying[place] += target[place]
                target[place] = 0.0
    leaving = 1.0 - staying[0]
    return converted[0] / leaving if leaving > 0.0 else 0.0


def _iterated(staying: list[float], converted: list[float], others: Sequence[Sequence[tuple[int, float]]]) -> float:
    """Gauss and Seidel's iteration, from below, until no number changes any more. The last states first."""
    x = [0.0] * len(staying)
    leaving = [1.0 - part for part in staying]
    order = [place for place in range(len(staying) - 1, -1, -1) if leaving[place] > 0.0]
    change = math.inf
    while change > _TOLERANCE:
        change = 0.0
        for place in order:
            value = converted[place]
            for to, part in others[place]:
                value += part * x[to]
            value /= leaving[place]
            change = max(change, abs(value - x[place]))
            x[place] = value
    return x[0]
