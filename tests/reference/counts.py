"""Counts by recounting: where each customer was at an instant, and which transitions it had made by then."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.reference.walk import LAPSE, RETURN, NaiveTransition, State

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
Journeys = Iterable[tuple[State, list[NaiveTransition]]]


def counts_at(journeys: Journeys, before_us: float = float("inf")) -> Table:
    """The counts just before an instant."""
    sums: dict[str, Counter[Cell]] = {name: Counter() for name in Counts._fields}
    for state, transitions in journeys:
        if state.first_us >= before_us:
            continue
        earlier = [transition for transition in transitions if transition.at_us < before_us]
        phase = earlier[-1].target if earlier else 0
        lapsed = bool(earlier) and earlier[-1].kind == LAPSE
        sums["lapsed" if lapsed else "active"][(state.source, state.channel, phase)] += 1
        if lapsed and earlier[-1].why == "churned":
            sums["churned"][(state.source, state.channel, phase)] += 1
        for transition in earlier:
            if transition.kind == LAPSE:
                continue
            sums["entered"][(state.source, state.channel, transition.target)] += 1
            if transition.kind == RETURN:
                sums["returned"][(state.source, state.channel, transition.target)] += 1
            if transition.origin:
                sums["left"][(state.source, state.channel, transition.origin)] += 1
    cells = {cell for counter in sums.values() for cell in counter}
    return {cell: Counts(**{name: counter[cell] for name, counter in sums.items()}) for cell in cells}


def history(journeys: Journeys, zone: str) -> dict[tuple[str, int], Table]:
    """(step, start of the bucket) -> the count deltas of that minute, hour or day."""
    deltas: dict[tuple[str, int], Table] = {}
    for journey in journeys:
        state, transitions = journey
        for at_us in sorted({state.first_us, *(transition.at_us for transition in transitions)}):
            before, after = counts_at([journey], at_us), counts_at([journey], at_us + 1)
            for step in STEPS:
                table = deltas.setdefault((step, bucket_start(step, at_us, zone)), {})
                for cell in before | after:
                    parts = zip(*(of.get(cell, Counts()) for of in (table, after, before)), strict=True)
                    table[cell] = Counts(*(old + more - less for old, more, less in parts))
    trimmed = {key: {cell: n for cell, n in table.items() if any(n)} for key, table in deltas.items()}
    return {key: table for key, table in trimmed.items() if table}


def bucket_start(step: str, at_us: int, zone: str) -> int:
    """The start of the local minute, hour or day of an instant, searched backwards minute by minute."""
    return _start(step, at_us // MINUTE_US, zone) * MINUTE_US


@cache
def _start(step: str, minute: int, zone: str) -> int:
    local = _local_step(step, minute, zone)
    while _local_step(step, minute - 1, zone) == local:
        minute -= 1
    return minute


def _local_step(step: str, minute: int, zone: str) -> tuple[object, ...]:
    """The local time as precisely as the step. An hour that occurs twice, as summer time ends, is two hours."""
    local = (EPOCH + timedelta(minutes=minute)).astimezone(ZoneInfo(zone))
    match step:
        case "day":
            return (local.date(),)
        case "hour":
            return (local.date(), local.hour, local.utcoffset())
    return (minute,)
