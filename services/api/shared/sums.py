"""The counts of one phase as numbers to calculate with. Pure."""

from typing import NamedTuple


class Sums(NamedTuple):
    """Counts of one phase, summed over all shards; fields in the order of the store's columns (`COUNTS`)."""

    active: int = 0
    lapsed: int = 0
    churned: int = 0
    entered: int = 0
    left: int = 0
    returned: int = 0

    @property
    def now(self) -> int:
        """Number of customers in the phase, active and lapsed."""
        return self.active + self.lapsed

    def minus(self, change: "Sums") -> "Sums":
        """The counts before `change` happened."""
        return Sums(*(after - delta for after, delta in zip(self, change, strict=True)))


ZERO = Sums()
