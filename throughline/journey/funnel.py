"""Funnel cells: how many of those who came to a phase on a day went on, how far, how soon, and how the others ended.

Two units, both of which add up. A *cycle* counts once: it belongs to the days on which it entered its phases. A
*customer* counts once: it belongs to the day on which it first ever stood at a phase or beyond.

Nothing in a cell depends on the present: who is still on the way is what is left of the entries.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US
from throughline.journey.milestones import Milestones
from throughline.journey.state import LAPSE, RETURN, Journey, Transition

CYCLE, CUSTOMER = 1, 2
"""Units."""

# Ways on from an entry: what `way` of a cell says, together with a phase number below 100.
ENTRY = 0
"""The entry itself, with no phase number."""
REACHED = 0
"""First at that phase or beyond."""
ENTERED = 100
"""That very phase was entered (cycles only)."""
NEXT = 200
"""The next phase entered (cycles only)."""
LAPSED = 300
"""Lapsed in that phase. Of a customer: silent, and that is the highest phase it ever had."""
ENDED = 400
"""Ended in that phase by a touchpoint (cycles only)."""

EDGES_US = (
    0,
    *(minutes * MINUTE_US for minutes in (1, 5, 15)),
    *(hours * HOUR_US for hours in (1, 3, 6, 12)),
    *(days * DAY_US for days in (*range(1, 15), 21, 30, 45, 60, 90, 120, 180, 270, 365)),
)
"""Ages at which bins begin. Fixed, so that any two spans can be compared; the last bin has no end."""


class FunnelCell(NamedTuple):
    """The fields of a funnel count's key. `source` and `channel` are those of the customer's first touchpoint."""

    model: int
    unit: int
    """CYCLE or CUSTOMER."""
    day_us: int
    """The start of the day on which `phase` was come to."""
    source: int
    channel: str
    phase: int
    way: int
    """A way on, plus the number of the phase it leads to or ends in."""
    age: int
    """The bin of the time from the entry to that."""


FunnelDeltas = dict[tuple[int, int, int, int, str, int, int, int], int]
"""What to add to each cell; the key is a `FunnelCell`."""


def contribute(
    deltas: FunnelDeltas,
    model: int,
    owner: Journey,
    start: Journey | None,
    transitions: Iterable[Transition],
    day_of: Callable[[int], int],
    *,
    sign: int = 1,
    revoked: Transition | None = None,
) -> None:
    """Add a journey's transitions to funnel deltas.

    Args:
        deltas: changed in place.
        model: the generation's id.
        owner: the journey whose source and channel say in which cells.
        start: the state before the transitions; None: the journey begins here.
        transitions: of the journey, in order.
        day_of: returns the start of the day that an instant lies in.
        sign: 1 adds, -1 takes back.
        revoked: the lapse of `start` that never was.
    """
    source, channel = owner.source, owner.channel
    milestones = Milestones("" if start is None else start.milestones)
    entered, reached = milestones.entered, milestones.reached
    count = deltas.get

    # Every cell is a plain tuple, equal to the named one, and is counted where it is met: naming and calling cost more
    # than all else here.
    def silence(change: int) -> None:
        way = LAPSED + len(reached)
        for phase, since_us in reached.items():
            cell = (model, CUSTOMER, day_of(since_us), source, channel, phase, way, 0)
            deltas[cell] = count(cell, 0) + change

    def end(lapse: Transition, change: int) -> None:
        way = (ENDED if lapse.message_id else LAPSED) + lapse.to_phase
        for phase, since_us in entered.items():
            age = bisect_right(EDGES_US, lapse.at_us - since_us) - 1
            cell = (model, CYCLE, day_of(since_us), source, channel, phase, way, age)
            deltas[cell] = count(cell, 0) + change
        silence(change)

    if revoked is not None:
        end(revoked, -sign)
    for transition in transitions:
        at_us, _, _, _, kind, from_phase, phase = transition[:7]
        if kind == LAPSE:
            end(transition, sign)
            continue
        if kind == RETURN:
            silence(-sign)
            entered.clear()
        else:
            ways = _ways_on(from_phase, phase)
            for earlier, since_us in entered.items():
                day_us, age = day_of(since_us), bisect_right(EDGES_US, at_us - since_us) - 1
                for way in ways if earlier != from_phase else (*ways, NEXT + phase):
                    cell = (model, CYCLE, day_us, source, channel, earlier, way, age)
                    deltas[cell] = count(cell, 0) + sign
        entered[phase] = at_us
        at_day_us = day_of(at_us)
        cell = (model, CYCLE, at_day_us, source, channel, phase, ENTRY, 0)
        deltas[cell] = count(cell, 0) + sign
        highest = len(reached)
        if phase > highest:
            for passed in range(highest + 1, phase + 1):
                for earlier, since_us in reached.items():
                    age = bisect_right(EDGES_US, at_us - since_us) - 1
                    cell = (model, CUSTOMER, day_of(since_us), source, channel, earlier, REACHED + passed, age)
                    deltas[cell] = count(cell, 0) + sign
                reached[passed] = at_us
                cell = (model, CUSTOMER, at_day_us, source, channel, passed, ENTRY, 0)
                deltas[cell] = count(cell, 0) + sign


@lru_cache(maxsize=1024)
def _ways_on(from_phase: int, phase: int) -> tuple[int, ...]:
    """Returns the ways that lead from every phase entered before to the one that is entered now."""
    return (*range(REACHED + from_phase + 1, REACHED + phase + 1), ENTERED + phase)
