"""What is told of each move, by looking at all touchpoints before it."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

from tests.reference.models import NaiveModel
from throughline.journey.durations import MINUTE_US
from throughline.journey.touchpoint import OrderKey, Touchpoint

RETURN, LAPSE = 2, 3
HALF_HOUR_US = 30 * MINUTE_US
Move = tuple[int, int, str, str, int, int, int, int]
"""Place, kind, phases and cycle of a transition."""


class Told(NamedTuple):
    """What is told of a move."""

    since_us: int
    active_us: int
    device: str
    campaign: str
    kinds: str


class Trail(NamedTuple):
    """What is told of the latest cycle."""

    path: str = ""
    last_kinds: str = ""
    device: str = ""
    campaign: str = ""


def fact(event: Touchpoint, name: str) -> str:
    """A dimension that the attribution of an event names."""
    facts = json.loads(event.attribution or "{}")
    value = facts.get("device", {}).get("type") if name == "device" else facts.get(name)
    return value or ""


def trails(model: NaiveModel, events: Sequence[Touchpoint], moves: Sequence[Move]) -> tuple[list[Told], Trail]:
    """What is told of each of a customer's moves, and of its latest cycle."""
    told: list[Told] = []
    for number, move in enumerate(moves):
        at_us, kind, cycle = move[0], move[4], move[7]
        before = [event for event in events if precedes(event, move)]
        entries = [earlier for earlier in moves[:number] if earlier[4] != LAPSE]
        since_us = entries[-1][0] if entries else events[0].occurred_us
        active = before
        kinds = last_kinds(model, before)
        if kind == RETURN:
            since_us = next(entry[0] for entry in entries if entry[7] == cycle - 1)
            lapse = moves[number - 1]
            active = [event for event in events if precedes(event, lapse) or event.order_key == lapse[:4]]
            kinds = path(model, events, [earlier for earlier in moves if earlier[7] == cycle - 1])
        own = [event.occurred_us for event in active if is_own(model, event)]
        told.append(Told(since_us, own[-1] if own else events[0].occurred_us, *opening(events, moves, cycle), kinds))
        assert own == [] or own[-1] <= at_us
    cycle = moves[-1][7] if moves else 0
    of_cycle = [move for move in moves if move[7] == cycle]
    return told, Trail(path(model, events, of_cycle), last_kinds(model, events), *opening(events, moves, cycle))


def is_own(model: NaiveModel, event: Touchpoint) -> bool:
    """Whether the customer did it, as far as is known."""
    meaning = model.meaning(event)
    return meaning is None or meaning.by_customer


def precedes(event: Touchpoint, move: Move | tuple[int, int, str, str]) -> bool:
    """Whether a touchpoint was there when a move came: that of a silence is before all of its instant."""
    return event.order_key < move[:4]


def last_kinds(model: NaiveModel, events: Iterable[Touchpoint]) -> str:
    """The kinds of the last three own touchpoints."""
    own = [model.meaning(event) for event in events if is_own(model, event)]
    return ",".join("?" if meaning is None else meaning.kind for meaning in own[-3:])


def path(model: NaiveModel, events: Iterable[Touchpoint], of_cycle: Sequence[Move]) -> str:
    """The kinds that a cycle went through, from the touchpoint that began it to the one that ended it."""
    if not of_cycle:
        return ""
    first, last = of_cycle[0], of_cycle[-1]
    within = [event for event in events if event.order_key >= first[:4]]
    if last[4] == LAPSE:
        within = [event for event in within if precedes(event, last) or event.order_key == last[:4]]
    meanings = [model.meaning(event) for event in within if is_own(model, event)]
    return ",".join([kind for kind, _ in groupby(meaning.kind for meaning in meanings if meaning)][:40])


def opening(events: Sequence[Touchpoint], moves: Sequence[Move], cycle: int) -> tuple[str, str]:
    """Device and campaign that the visit which began a cycle names first, up to the touchpoint that began it."""
    first = next((move for move in moves if move[7] == cycle and move[4] != LAPSE), None)
    if first is None:
        return "", ""
    end: OrderKey | None = next((move[:4] for move in reversed(moves) if move[7] == cycle - 1), None)
    since = [event for event in events if event.order_key <= first[:4] and (end is None or event.order_key > end)]
    gaps = zip(reversed(since[:-1]), reversed(since), strict=False)
    visit = [since[-1], *(e for e, _ in takewhile(lambda p: p[1].occurred_us - p[0].occurred_us < HALF_HOUR_US, gaps))]
    device, campaign = (
        next(filter(None, (fact(event, name) for event in reversed(visit))), "") for name in ("device", "campaign")
    )
    return device, campaign
