"""Funnel, flows and variants by looking at each customer's transitions, cycle by cycle."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from tests.reference.counts import bucket_start
from tests.reference.walk import LAPSE, NaiveTransition, State
from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US

WAYS = ("reached", "entered", "next", "lapsed", "ended")
OUTCOMES = ("open", "abandoned", "churned", "ended")

Journeys = Iterable[tuple[State, list[NaiveTransition]]]

MINUTES, HOURS, DAYS = (1, 5, 15), (1, 3, 6, 12), (*range(1, 15), 21, 30, 45, 60, 90, 120, 180, 270, 365)
EDGES_US: list[int] = sorted(
    [0, *(n * MINUTE_US for n in MINUTES), *(n * HOUR_US for n in HOURS), *(n * DAY_US for n in DAYS)]
)


class Cells(dict[tuple[str, Any], int]):
    """(kind of cell, its key) -> number; cells of 0 are absent."""

    def add(self, kind: str, key: Any, number: int) -> None:
        if number:
            self[kind, key] = number


def cells_of(journeys: Journeys, zone: str) -> Cells:
    """All cells of all customers."""
    customers = list(journeys)
    cells = Cells()
    for kind, count in (
        ("cycle", cycle_cells), ("customer", customer_cells), ("move", move_cells), ("path", path_cells),
        ("variant", variant_cells),
    ):  # fmt: skip
        for key, number in count(customers, zone).items():
            cells.add(kind, key, number)
    return cells


def bin_of(age_us: int) -> int:
    return sum(edge <= age_us for edge in EDGES_US) - 1


def cycles(transitions: Iterable[NaiveTransition]) -> list[list[NaiveTransition]]:
    """The transitions of each cycle, its lapse last."""
    return [list(group) for _, group in groupby(transitions, key=lambda transition: transition.cycle)]


def cycle_cells(journeys: Journeys, zone: str) -> Counter[tuple[int, str, int, int, str, int, int]]:
    """(day, channel, source, phase come to, way on, phase it leads to, bin of age) -> number of cycles."""
    cells: Counter[tuple[int, str, int, int, str, int, int]] = Counter()
    for state, transitions in journeys:
        for cycle in cycles(transitions):
            entries = [transition for transition in cycle if transition.kind != LAPSE]
            for number, entry in enumerate(entries):
                start = (bucket_start("day", entry.at_us, zone), state.channel, state.source, entry.target)
                cells[(*start, "entry", 0, 0)] += 1
                later = entries[number + 1 :]
                for phase in range(entry.target + 1, 10):
                    beyond = [step.at_us for step in later if step.target >= phase]
                    if beyond:
                        cells[(*start, "reached", phase, bin_of(min(beyond) - entry.at_us))] += 1
                for step in later:
                    cells[(*start, "entered", step.target, bin_of(step.at_us - entry.at_us))] += 1
                if later:
                    cells[(*start, "next", later[0].target, bin_of(later[0].at_us - entry.at_us))] += 1
                if cycle[-1].kind == LAPSE:
                    way = "ended" if cycle[-1].message_id else "lapsed"
                    cells[(*start, way, cycle[-1].target, bin_of(cycle[-1].at_us - entry.at_us))] += 1
    return cells


def customer_cells(journeys: Journeys, zone: str) -> Counter[tuple[int, str, int, int, str, int, int]]:
    """Like `cycle_cells`, of customers: when each first ever stood at a phase or beyond."""
    cells: Counter[tuple[int, str, int, int, str, int, int]] = Counter()
    for state, transitions in journeys:
        entries = [transition for transition in transitions if transition.kind != LAPSE]
        first = {
            phase: min(step.at_us for step in entries if step.target >= phase)
            for phase in range(1, max((step.target for step in entries), default=0) + 1)
        }
        for phase, at_us in first.items():
            start = (bucket_start("day", at_us, zone), state.channel, state.source, phase)
            cells[(*start, "entry", 0, 0)] += 1
            for later in range(phase + 1, len(first) + 1):
                cells[(*start, "reached", later, bin_of(first[later] - at_us))] += 1
            if transitions[-1].kind == LAPSE:
                cells[(*start, "lapsed", len(first), 0)] += 1
    return cells


def move_cells(journeys: Journeys, zone: str) -> Counter[tuple[int, str, int, int, int, int, int]]:
    """(day, channel, source, kind, from, to, class of the cycle) -> number of moves."""
    return Counter(
        _flow(bucket_start("day", step.at_us, zone), state, step)
        for state, transitions in journeys
        for step in transitions
    )


def path_cells(journeys: Journeys, zone: str) -> Counter[tuple[int, str, int, int, int, int, int]]:
    """Like `move_cells`, by the day on which the cycle began."""
    return Counter(
        _flow(bucket_start("day", cycle[0].at_us, zone), state, step)
        for state, transitions in journeys
        for cycle in cycles(transitions)
        for step in cycle
    )


def _flow(day: int, state: State, step: NaiveTransition) -> tuple[int, str, int, int, int, int, int]:
    return day, state.channel, state.source, step.kind, step.origin, step.target, min(step.cycle, 4)


def variant_cells(journeys: Journeys, zone: str) -> Counter[tuple[int, str, int, frozenset[int], str]]:
    """(first day of the cycle, channel, source, phases entered, outcome) -> number of cycles."""
    cells: Counter[tuple[int, str, int, frozenset[int], str]] = Counter()
    for state, transitions in journeys:
        for cycle in cycles(transitions):
            entries = [transition for transition in cycle if transition.kind != LAPSE]
            last = cycle[-1]
            outcome = "open" if last.kind != LAPSE else "ended" if last.message_id else last.why
            day = bucket_start("day", entries[0].at_us, zone)
            cells[(day, state.channel, state.source, frozenset(step.target for step in entries), outcome)] += 1
    return cells
