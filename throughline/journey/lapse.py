"""When a silence becomes a lapse.

A lapse is due one window after the last touchpoint that the customer made, but always after the last touchpoint of any
kind: what is done to a customer (a proposal sent) may move it into a phase with a shorter window.
"""

from throughline.journey.memory import EMPTIED
from throughline.journey.model import UNPLACED, Model, Phase
from throughline.journey.state import ABANDONED, CHURNED_NAME, LAPSE, Journey, Transition
from throughline.journey.touchpoint import Touchpoint

NEVER = 2**63 - 1
"""Later than every instant; the largest number of a 64-bit column."""
EVER = -(2**63)
"""Earlier than every instant; the smallest number of a 64-bit column."""


def due_in(phase: Phase, last_us: int, active_us: int, emptied: bool) -> int:
    """Returns when a customer that is active in `phase` lapses, unless it does something before."""
    silent_us = active_us + (phase.emptied_window_us if emptied else phase.window_us)
    return silent_us if silent_us > last_us else last_us + 1


def due_us(model: Model, journey: Journey) -> int:
    """Returns when a journey lapses; NEVER when it is unplaced or has lapsed."""
    if journey.lapsed_us or journey.phase == UNPLACED:
        return NEVER
    phase = model.phases[journey.phase - 1]
    return due_in(phase, journey.last_us, journey.active_us, bool(journey.flags & EMPTIED))


def lapse_at(at_us: int, phase: int, cycle: int, churned: bool, cause: Touchpoint | None = None) -> Transition:
    """Returns the transition of a lapse. `cause`: the touchpoint that ended the journey, None for a silence."""
    place, message_id, actor = (0, "", "") if cause is None else cause.order_key[1:]
    name = "" if cause is None else cause.name
    rule = CHURNED_NAME if churned else ABANDONED
    return Transition(at_us, place, message_id, actor, LAPSE, phase, phase, cycle, name, rule)
