"""What a fold makes of a customer's touchpoints: the journey's state and its transitions."""

from typing import NamedTuple

from throughline.journey.touchpoint import OrderKey, Touchpoint

ENTER, RETURN, LAPSE = 1, 2, 3
"""Kinds of transition: forward within a cycle; into a new cycle after a lapse; the lapse."""

ABANDONED, CHURNED_NAME = "abandoned", "churned"
"""The rule of a lapse: without a purchase of the lifetime that stands, and after one."""


class Journey(NamedTuple):
    """The state of one customer under one model. Instants are microseconds since the epoch."""

    phase: int
    highest_phase: int
    """The highest of the lifetime."""
    cycle: int
    """Number of the cycle, from 1."""
    lapsed_us: int
    """Since when the customer has been silent; 0 while active."""
    entered_us: int
    """When the current phase was entered; while unplaced, when the first touchpoint occurred."""
    active_us: int
    """When the last touchpoint that the customer made occurred; before there was one, the first of any kind."""
    flags: int
    """Bits: PAGED, EMPTIED, CHURNED of `memory.py`."""
    source: int
    channel: str
    """Source and channel of the first touchpoint ever."""
    first_us: int
    last_us: int
    last_place: int
    last_message: str
    last_actor: str
    memory: str
    """What the guards need to know, as text (see `Memory`)."""
    milestones: str
    """When the phases were come to, as text (see `Milestones`)."""
    trail: str = ""
    """What the customer did, as text (see `Trail`); "" of generations that keep none."""

    def is_late(self, touchpoint: Touchpoint) -> bool:
        """Whether a touchpoint belongs before one that is folded already."""
        return touchpoint[:4] <= (self.last_us, self.last_place, self.last_message, self.last_actor)

    @property
    def last_key(self) -> OrderKey:
        """The place of the last touchpoint folded."""
        return (self.last_us, self.last_place, self.last_message, self.last_actor)


class Transition(NamedTuple):
    """One move of a customer, with the touchpoint and the rule that caused it.

    The first five fields are its place in the journey, so transitions sort as they are. A lapse of a silence has no
    touchpoint, and so comes before the transitions of the same instant.
    """

    at_us: int
    place: int
    message_id: str
    actor: str
    kind: int
    """ENTER, RETURN or LAPSE."""
    from_phase: int
    to_phase: int
    cycle: int
    """The cycle that the transition leads into; of a lapse the cycle that it ends."""
    name: str
    """The touchpoint's event name."""
    rule: str
    """The model's rule; of a lapse "abandoned" or "churned"."""
    # The following are those of `trail.py`.
    since_us: int = 0
    """When what it ends had begun: the stay in `from_phase`; of a return the cycle before."""
    active_us: int = 0
    """`active_us` of the journey before it."""
    device: str = ""
    """Of the opening of its cycle; "" for none."""
    campaign: str = ""
    """Likewise."""
    kinds: str = ""
    """Kinds of the last own touchpoints before it; of a return the path of the cycle before."""
