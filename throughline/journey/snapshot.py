"""What is left of an actor's history before the retention cutoff: a snapshot for each id that was a customer then.

A snapshot is an exact prefix of the fold: folding on from it gives what folding everything would have given. Ids that
are linked only after the cutoff bring a snapshot each. Their touchpoints can no longer be put in order together, so
`merge` says what the merged customer begins with.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughline.journey.fold import fold
from throughline.journey.memory import Memory
from throughline.journey.milestones import merge as merge_milestones
from throughline.journey.model import Model
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import follow


class Snapshot(NamedTuple):
    """A journey after its last touchpoint before the retention cutoff, without a lapse after that touchpoint."""

    journey: Journey
    transitions: tuple[Transition, ...]
    """All transitions that led to the journey."""


def extend(
    model: Model, snapshot: Snapshot | None, touchpoints: Sequence[Touchpoint], *, has_trail: bool = False
) -> Snapshot | None:
    """Returns the snapshot at a later retention cutoff; None when nothing is before that either.

    Args:
        snapshot: at the cutoff so far; None when nothing was before that.
        touchpoints: between the two cutoffs, sorted, distinct.
        has_trail: whether the journey has a trail.
    """
    journey = None if snapshot is None else snapshot.journey
    folded = fold(model, journey, touchpoints, 0, follow if has_trail else None)
    if folded.journey is None:
        return None
    return Snapshot(folded.journey, (() if snapshot is None else snapshot.transitions) + tuple(folded.transitions))


def merge(snapshots: Iterable[Snapshot]) -> Snapshot | None:
    """Returns what a customer begins with whose ids have snapshots of their own, in whatever order these are given.

    The customer stands where the snapshot stands that has come furthest: not lapsed before lapsed, then the higher
    phase, then the later touchpoint. The ledgers of an order are added up: its refunds, and its first placing, last
    payment and last cancellation by time.
    Source and channel are those of the snapshot that began first.
    """
    ordered = sorted(set(snapshots), key=lambda snapshot: snapshot.journey.last_key)
    if len(ordered) < 2:
        return ordered[0] if ordered else None
    journeys = [snapshot.journey for snapshot in ordered]
    furthest = max(ordered, key=lambda s: (not s.journey.lapsed_us, s.journey.phase, s.journey.last_key))
    first = min(journeys, key=lambda journey: (journey.first_us, journey.source, journey.channel))
    last_us, last_place, last_message, last_actor = journeys[-1].last_key
    return Snapshot(
        furthest.journey._replace(
            highest_phase=max(journey.highest_phase for journey in journeys),
            first_us=first.first_us,
            source=first.source,
            channel=first.channel,
            last_us=last_us,
            last_place=last_place,
            last_message=last_message,
            last_actor=last_actor,
            memory=_merged_memory(journeys),
            milestones=merge_milestones((journey.milestones for journey in journeys), furthest.journey.milestones),
        ),
        furthest.transitions,
    )


def _merged_memory(journeys: Sequence[Journey]) -> str:
    merged = Memory()
    for journey in journeys:
        merged.merge(Memory.load(journey.memory, journey.flags))
    return merged.dump()


def dump(transitions: Iterable[Transition]) -> str:
    """Returns transitions as text: a JSON array of arrays, in the order of `Transition`."""
    return json.dumps([list(transition) for transition in transitions], ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> tuple[Transition, ...]:
    """Returns the transitions that `dump` wrote."""
    return tuple(Transition(*fields) for fields in json.loads(text))
