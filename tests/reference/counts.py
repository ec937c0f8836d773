"""Counts by recounting: where each customer was at an instant, and which moves it had made by then."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.reference.walk import LAPSE, RETURN, Move, State

MINUTE_US = 60_000_000
STEPS = ("minute", "hour", "day")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Cell = tuple[int, str, int]
"""(source, channel, phase)"""


class Counts(NamedTuple):
    active: int = 0
    lapsed: int = 0
    churned: int = 0
    entered: int = 0
    left: int = 0
    returned: int = 0


Table = dict[Cell, Counts]
Journeys = Iterable[tuple[State, list[Move]]]


def counts_at(journeys: Journeys, before_us: float = float("inf")) -> Table:
    """What there was to count just before an instant."""
    sums: dict[str, Counter[Cell]] = {name: Counter() for name in Counts._fields}
    for state, moves in journeys:
        if state.first_us >= before_us:
            continue
        made = [move for move in moves if move.at_us < before_us]
        here = made[-1].target if made else 0
        lapsed = bool(made) and made[-1].kind == LAPSE
        sums["lapsed" if lapsed else "active"][(state.source, state.channel, here)] += 1
        if lapsed and made[-1].why == "churned":
            sums["churned"][(state.source, state.channel, here)] += 1
        for move in made:
            if move.kind == LAPSE:
                continue
            sums["entered"][(state.source, state.channel, move.target)] += 1
            if move.kind == RETURN:
                sums["returned"][(state.source, state.channel, move.target)] += 1
            if move.origin:
                sums["left"][(state.source, state.channel, move.origin)] += 1
    cells = {cell for counter in sums.values() for cell in counter}
    return {cell: Counts(**{name: counter[cell] for name, counter in sums.items()}) for cell in cells}


def history(journeys: Journeys, zone: str) -> dict[tuple[str, int], Table]:
    """What changed in each minute, hour and day: (step, start of the bucket) -> what there is more of after it."""
    found: dict[tuple[str, int], Table] = {}
    for journey in journeys:
        state, moves = journey
        for at_us in sorted({state.first_us, *(move.at_us for move in moves)}):
            before, after = counts_at([journey], at_us), counts_at([journey], at_us + 1)
            for step in STEPS:
                table = found.setdefault((step, bucket_start(step, at_us, zone)), {})
                for cell in before | after:
                    parts = zip(*(of.get(cell, Counts()) for of in (table, after, before)), strict=True)
                    table[cell] = Counts(*(old + more - less for old, more, less in parts))
    trimmed = {key: {cell: n for cell, n in table.items() if any(n)} for key, table in found.items()}
    return {key: table for key, table in trimmed.items() if table}


def bucket_start(step: str, at_us: int, zone: str) -> int:
    """The first minute of the wall clock's minute, hour or day that an instant lies in, found by going back."""
    return _start(step, at_us // MINUTE_US, zone) * MINUTE_US


@cache
def _start(step: str, minute: int, zone: str) -> int:
    reading = _reading(step, minute, zone)
    while _reading(step, minute - 1, zone) == reading:
        minute -= 1
    return minute


def _reading(step: str, minute: int, zone: str) -> tuple[object, ...]:
    """What the wall clock shows, as far as the step goes. An hour that comes twice is two hours."""
    local = (EPOCH + timedelta(minutes=minute)).astimezone(ZoneInfo(zone))
    match step:
        case "day":
            return (local.date(),)
        case "hour":
            return (local.date(), local.hour, local.utcoffset())
    return (minute,)
