"""How much one transaction may do, so that nobody waits long for one customer. Pure: the clock is a parameter."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Limits(NamedTuple):
    """What a transaction may spend on recomputing. Staging what follows in order is bounded by its batch."""

    rows_read: int = 20_000
    """Touchpoints, and transitions that are taken back."""
    rows_written: int = 20_000
    """Transitions and checkpoints, removed ones too."""
    seconds: float = 1.0
    checkpoints: int = 8
    """After a change: the number that a journey may pass."""


DEFAULT = Limits()


class Budget:
    """What is left of the limits of one transaction."""

    def __init__(self, limits: Limits = DEFAULT, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline = clock() + limits.seconds
        self.checkpoints = limits.checkpoints
        """See `Limits`."""
        self.rows_to_read = limits.rows_read
        """How many more rows may be read."""
        self.rows_to_write = limits.rows_written
        """How many more rows may be written."""

    def has_room(self, *, read: int = 0, written: int = 0) -> bool:
        """Whether there is time left, and so many rows may be read and written."""
        return read <= self.rows_to_read and written <= self.rows_to_write and self._clock() < self._deadline

    def spend(self, *, read: int = 0, written: int = 0) -> None:
        """Note how many rows were read and written."""
        self.rows_to_read -= read
        self.rows_to_write -= written
