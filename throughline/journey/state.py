"""What the fold keeps of a customer and tells of it: the journey's state and its transitions."""

from typing import NamedTuple

from throughline.journey.touchpoint import OrderKey, Touchpoint

ENTER, RETURN, LAPSE = 1, 2, 3
"""Kinds of transition: forward within a cycle; back after a lapse, into a new cycle; fallen silent."""

ABANDONED, CHURNED_NAME = "abandoned", "churned"
"""What a lapse is called: before any purchase of the lifetime that stands, and after one."""


class Journey(NamedTuple):
    """Where one customer stands under one model. Instants are microseconds since the epoch."""

    phase: int
    highest_phase: int
    """Of the lifetime."""
    cycle: int
    """From 1."""
    lapsed_us: int
    """Since when the customer has been silent; 0 while active."""
    entered_us: int
    """When the current phase was entered; the first touchpoint's time while unplaced."""
    active_us: int
    """The customer's last own touchpoint; the first touchpoint's time before there was one."""
    flags: int
    """PAGED, EMPTIED, CHURNED of `memory.py`."""
    source: int
    channel: str
    """Source and channel of the first touchpoint ever."""
    first_us: int
    last_us: int
    last_message: str
    last_actor: str
    memory: str
    """What the guards remember, as text (see `Memory`)."""

    def is_late(self, touchpoint: Touchpoint) -> bool:
        """Whether the touchpoint belongs before something already folded."""
        return touchpoint[:3] <= (self.last_us, self.last_message, self.last_actor)

    @property
    def last_key(self) -> OrderKey:
        """The last touchpoint folded."""
        return (self.last_us, self.last_message, self.last_actor)


class Transition(NamedTuple):
    """One move of a customer, with the touchpoint and the rule that caused it.

    The first four fields are its place in the journey, so transitions sort as they are. A lapse by the clock has no
    touchpoint, and so comes before those of its instant.
    """

    at_us: int
    message_id: str
    actor: str
    kind: int
    """ENTER, RETURN or LAPSE."""
    from_phase: int
    to_phase: int
    cycle: int
    """The one it leads into, or for a lapse the one it ends."""
    name: str
    """The touchpoint's event name."""
    rule: str
    """The model's rule; for a lapse "abandoned" or "churned"."""
