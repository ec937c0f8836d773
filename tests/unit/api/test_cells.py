"""Small cells: what is shown never tells more of a cell than the step it lies in, whatever answers are put together."""

from collections.abc import Iterable, Mapping
from itertools import product

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.api.shared.cells import PARTS, Level, Parts, is_hidden, shown, shown_past
from services.api.shared.sums import Sums

Cell = tuple[str, str]
CELLS: list[Cell] = [("web", "email"), ("web", "direct"), ("till", "email"), ("till", "direct")]
FILTERS: list[tuple[str | None, str | None]] = [*product(("web", "till", None), ("email", "direct", None))]
MIN_CELLS = st.integers(2, 4)


def level(cells: Iterable[Parts], min_cell: int) -> Level:
    """The level of some cells, naively."""
    rows = list(cells)
    return Level(
        Parts(*(sum(row[part] for row in rows) for part in range(len(PARTS)))),
        Parts(*(sum(row[part] // min_cell * min_cell for row in rows) for part in range(len(PARTS)))),
        Parts(*(sum(row[part] >= min_cell for row in rows) for part in range(len(PARTS)))),
    )


def answers(table: Mapping[Cell, Parts], min_cell: int) -> list[Sums]:
    """What the api says to every filter."""
    return [
        shown(
            level(
                (parts for (of, by), parts in table.items() if source in (None, of) and channel in (None, by)), min_cell
            ),
            min_cell,
            is_whole=source is None and channel is None,
        )
        for source, channel in FILTERS
    ]


def possible(values: tuple[int, ...], part: int, min_cell: int) -> list[set[int]]:
    """All that somebody can find out who knows the rule, and the answer to every filter: the values that each cell may
    have, by trying each table of one part."""

    def said(numbers: tuple[int, ...]) -> list[Sums]:
        parts = [Parts()._replace(**{PARTS[part]: number}) for number in numbers]
        return answers(dict(zip(CELLS, parts, strict=True)), min_cell)

    truth = said(values)
    steps = [value // min_cell * min_cell for value in values]
    guesses = product(*(range(max(0, step - 1), step + min_cell + 1) for step in steps))
    tables = [guess for guess in guesses if said(guess) == truth]
    return [set(column) for column in zip(*tables, strict=True)]


@settings(max_examples=30)
@given(st.tuples(*[st.integers(0, 5)] * 4), st.integers(0, len(PARTS) - 2), st.integers(2, 3))
@example((1, 1, 1, 1), 0, 2)
@example((2, 2, 2, 0), 0, 3)
@example((5, 5, 2, 0), 3, 3)
@example((3, 3, 1, 1), 1, 2)
def test_no_answers_solve_for_a_cell(values: tuple[int, ...], part: int, min_cell: int) -> None:
    for value, found in zip(values, possible(values, part, min_cell), strict=True):
        step = value // min_cell * min_cell
        assert found >= set(range(step, step + min_cell)), "each value of the step is as possible as the true one"


TABLES = st.fixed_dictionaries(dict.fromkeys(CELLS, st.builds(Parts, *[st.integers(0, 9)] * len(PARTS))))


@given(TABLES, TABLES, MIN_CELLS)
def test_no_two_answers_differ_by_a_small_cell(
    table: Mapping[Cell, Parts], later: Mapping[Cell, Parts], min_cell: int
) -> None:
    # Whatever is subtracted from whatever: filters, phases, parts and instants.
    numbers = {number for each in (*answers(table, min_cell), *answers(later, min_cell)) for number in each[:5]}
    assert all(number % min_cell == 0 for number in numbers)


@given(TABLES, MIN_CELLS)
def test_shown_counts_add_up_and_never_exceed_the_true_ones(table: Mapping[Cell, Parts], min_cell: int) -> None:
    whole = answers(table, min_cell)[-1]
    exact = level(table.values(), min_cell).exact
    for sums in answers(table, min_cell):
        assert sums.entered == sums.now + sums.left
        assert 0 <= sums.churned <= sums.lapsed
        assert 0 <= sums.returned <= sums.entered
        assert sums.active <= whole.active <= exact.active
        assert sums.left <= whole.left <= exact.left


@given(st.lists(TABLES, min_size=1, max_size=4), MIN_CELLS, st.booleans())
def test_a_past_moment_shows_what_it_showed_then(
    tables: list[Mapping[Cell, Parts]], min_cell: int, is_whole: bool
) -> None:
    levels = [level(table.values(), min_cell) for table in tables]
    starts = range(len(levels) - 1)
    changes = {(start, 1): levels[start + 1].minus(levels[start]) for start in starts}
    closing, shown_changes = shown_past({1: levels[-1]}, changes, starts, min_cell, is_whole=is_whole)
    at = closing[1]
    for start in reversed(starts):
        assert at == shown(levels[start + 1], min_cell, is_whole=is_whole)
        at = at.minus(shown_changes.get((start, 1), Sums()))
    assert at == shown(levels[0], min_cell, is_whole=is_whole)


def test_an_answer_says_whether_it_hides_something() -> None:
    assert is_hidden(Sums(active=10), 5)
    assert not is_hidden(Sums(active=10, lapsed=5, left=5), 5)
    assert not is_hidden(Sums(), None)
