"""When a customer came to its phases: in the latest cycle, and for the first time ever.

A journey carries its milestones as text, so that a fold can go on from it. A lapse ends the cycle; the return from it
begins another one.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from throughline.journey.state import CHURNED_NAME, LAPSE, RETURN, Transition

OPEN, ABANDONED, CHURNED, ENDED = 0, 1, 2, 3
"""Outcomes of a cycle: not over; lapsed without a purchase, or after one; ended by a touchpoint."""
_OPEN_TEXT = str(OPEN)


class Milestones:
    """Read from a text. Instants are microseconds since the epoch, by phase number."""

    __slots__ = ("entered", "outcome", "reached")

    def __init__(self, text: str = "") -> None:
        """Read the text that `dump` wrote; "" has none."""
        entered, reached, outcome = read(text)
        self.entered = dict(entered)
        """When each phase was entered in the latest cycle. Phases that were skipped are absent."""
        self.reached = dict(reached)
        """When the customer first ever stood at the phase or beyond: never later for a lower phase."""
        self.outcome = outcome
        """How the latest cycle ended, or OPEN."""

    @property
    def highest(self) -> int:
        """The highest phase ever; 0 while unplaced."""
        return len(self.reached)

    def dump(self) -> str:
        """Returns the text that is read again; equal milestones give equal texts."""
        return f"{_dump(self.entered)};{_dump(self.reached)};{self.outcome}" if self.reached else ""


def outcome_of(lapse: Transition) -> int:
    """Returns how a lapse ends its cycle."""
    if lapse.message_id:
        return ENDED
    return CHURNED if lapse.rule == CHURNED_NAME else ABANDONED


def after(text: str, transitions: Iterable[Transition], revoked: Transition | None = None) -> str:
    """Returns the milestones' text after transitions that follow it.

    Args:
        text: the milestones before.
        transitions: in order.
        revoked: the lapse that ended the cycle of `text`, when it never was.
    """
    # Without reading the text: within a cycle phases only rise, so that what is new comes last.
    entered = reached = outcome = ""
    highest = 0
    if text:
        entered, reached, outcome = text.split(";")
        highest = int(reached[reached.rfind(",") + 1 :].partition(":")[0])
    if revoked is not None:
        outcome = _OPEN_TEXT
    for transition in transitions:
        if transition[4] == LAPSE:
            outcome = str(outcome_of(transition))
            continue
        at_us, phase = transition[0], transition[6]
        part = f"{phase}:{at_us}"
        entered = f"{entered},{part}" if entered and transition[4] != RETURN else part
        outcome = _OPEN_TEXT
        if highest < phase:
            while (highest := highest + 1) < phase:
                reached = f"{reached},{highest}:{at_us}" if reached else f"{highest}:{at_us}"
            reached = f"{reached},{part}" if reached else part
    return f"{entered};{reached};{outcome}" if reached else ""


def merge(texts: Iterable[str], furthest: str) -> str:
    """Returns what a customer begins with whose ids have milestones of their own: the first instants of them all.

    Args:
        texts: the milestones of all ids.
        furthest: those of the id whose cycle goes on.
    """
    merged = Milestones(furthest)
    for text in texts:
        for phase, at_us in Milestones(text).reached.items():
            merged.reached[phase] = min(at_us, merged.reached.get(phase, at_us))
    # Whoever came to a phase first had come to all below it by then.
    for phase in range(merged.highest - 1, 0, -1):
        merged.reached[phase] = min(merged.reached[phase], merged.reached[phase + 1])
    return merged.dump()


_NONE: tuple[Mapping[int, int], Mapping[int, int], int] = ({}, {}, OPEN)


# A journey's text is read for its funnels, then for its flows.
@lru_cache(256)
def read(text: str) -> tuple[Mapping[int, int], Mapping[int, int], int]:
    """Returns the milestones in a text: `entered`, `reached` and `outcome` as of `Milestones`."""
    if not text:
        return _NONE
    entered, _, rest = text.partition(";")
    reached, _, outcome = rest.partition(";")
    instants = _instants(reached)
    # Of a customer that has skipped no phase and never returned they are the same.
    return instants if entered == reached else _instants(entered), instants, int(outcome or OPEN)


def _instants(text: str) -> dict[int, int]:
    if not text:
        return {}
    parts = text.replace(":", ",").split(",")
    return dict(zip(map(int, parts[::2]), map(int, parts[1::2]), strict=True))


def _dump(instants: dict[int, int]) -> str:
    return ",".join([f"{phase}:{at_us}" for phase, at_us in sorted(instants.items())])
