"""Counts of a workspace that withholds small cells. Pure.

A cell is a part of a phase's customers of one source and channel: active, abandoned, churned, left or returned. Each
is rounded down to a multiple of `min_cell`, and every number of every answer is a sum of rounded cells. So no answers,
subtracted or solved for a cell, tell more of it than that it lies within one step of its rounded value; one of fewer
than `min_cell` customers is 0 like an empty one. Decision 0023 has the proof.
"""

from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple

from services.api.shared.sums import Sums

PARTS = ("active", "abandoned", "churned", "left", "returned")
"""The parts of a phase's customers: the counts that no other count follows from."""


class Parts(NamedTuple):
    """One number for each of `PARTS`."""

    active: int = 0
    abandoned: int = 0
    churned: int = 0
    left: int = 0
    returned: int = 0


_NONE = Parts()


class Level(NamedTuple):
    """The cells of one phase at an instant, summed over sources and channels."""

    exact: Parts = _NONE
    """Number of customers."""
    rounded: Parts = _NONE
    """Sum of the rounded cells."""
    cells: Parts = _NONE
    """Number of cells that are not rounded to 0."""

    def plus(self, other: "Level") -> "Level":
        """The cells of both."""
        return Level(*(Parts(*map(add, ours, others)) for ours, others in zip(self, other, strict=True)))

    def minus(self, change: "Level") -> "Level":
        """The level before `change` happened."""
        return Level(
            *(
                Parts(*(after - delta for after, delta in zip(parts, changes, strict=True)))
                for parts, changes in zip(self, change, strict=True)
            )
        )


NO_LEVEL = Level()


def shown(level: Level, min_cell: int, *, is_whole: bool) -> Sums:
    """The counts of one phase that may be shown.

    Args:
        level: its cells.
        min_cell: the workspace's.
        is_whole: whether these are all its cells: then what rounding took away is counted together, as far as all but
            any one of the cells that are not 0 may hold it.
    """
    parts = Parts(
        *(
            rounded + (_together(exact - rounded, cells, min_cell) if is_whole else 0)
            for exact, rounded, cells in zip(*level, strict=True)
        )
    )
    lapsed = parts.abandoned + parts.churned
    entered = parts.active + lapsed + parts.left
    return Sums(parts.active, lapsed, parts.churned, entered, parts.left, min(parts.returned, entered))


def _together(remainder: int, cells: int, min_cell: int) -> int:
    """What rounding took away from a number of cells, as far as it may be shown of them together."""
    limit = max(cells - 1, 0) * (min_cell - 1)
    return min(remainder, limit) // min_cell * min_cell


def shown_past(
    closing: Mapping[int, Level],
    changes: Mapping[tuple[int, int], Level],
    starts: Sequence[int],
    min_cell: int,
    *,
    is_whole: bool,
) -> tuple[dict[int, Sums], dict[tuple[int, int], Sums]]:
    """The counts of the past that may be shown, and their changes: those between what is shown of two instants.

    Args:
        closing: the cells at the end of the last step, by phase number.
        changes: what changed of them in each step, by the step's start and the phase number.
        starts: of the steps, in order.
        min_cell: the workspace's.
        is_whole: as for `shown`.
    """
    phases = {*closing, *(phase for _, phase in changes)}
    shown_closing: dict[int, Sums] = {}
    shown_changes: dict[tuple[int, int], Sums] = {}
    for phase in phases:
        level = closing.get(phase, NO_LEVEL)
        after = shown_closing[phase] = shown(level, min_cell, is_whole=is_whole)
        for start in reversed(starts):
            change = changes.get((start, phase))
            if change is not None:
                level = level.minus(change)
                before = shown(level, min_cell, is_whole=is_whole)
                if before != after:
                    shown_changes[start, phase] = after.minus(before)
                after = before
    return shown_closing, shown_changes


def is_hidden(sums: Sums, min_cell: int | None) -> bool:
    """Whether a phase has numbers that stand for fewer customers than `min_cell`, as far as is shown."""
    return min_cell is not None and 0 in (sums.active, sums.lapsed, sums.left)
