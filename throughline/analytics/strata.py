"""Does a share differ between two groups that are alike in everything else? Differences within strata, put together.

The difference is Mantel and Haenszel's, its variance Sato's (T. Sato, Biometrics 45, 1989), which holds for many small
strata and for few large ones. The test is Cochran, Mantel and Haenszel's. Many tests at once are judged by Benjamini
and Hochberg's procedure, so that of what is shown one in twenty is chance, not one in twenty of all that was looked at.
"""

from collections.abc import Iterable, Sequence
from math import erfc, sqrt
from typing import NamedTuple

from throughline.analytics.intervals import Z95, Interval

MIN_STRATUM = 5
"""Number of units below which a stratum says too little to be used."""
LEVEL = 0.05
"""Share of false ones among the differences that are shown."""


class Stratum(NamedTuple):
    """Units that are alike, with and without something, and how many of each succeeded."""

    exposed: int
    exposed_successes: int
    others: int
    other_successes: int

    @property
    def size(self) -> int:
        """Number of units."""
        return self.exposed + self.others


class Difference(NamedTuple):
    """What strata say together."""

    interval: Interval | None
    """The share of the exposed less that of the others; None: no stratum has both."""
    p: float | None
    """How likely as large a difference is by chance; None: no stratum can tell."""
    used: int
    """Number of strata of at least `MIN_STRATUM` units."""
    dropped: int
    """Number of the others."""


def difference_in_strata(strata: Iterable[Stratum], min_stratum: int = MIN_STRATUM, z: float = Z95) -> Difference:
    """Returns the difference of shares within strata, over all of them; smaller strata are dropped."""
    used = dropped = 0
    weight = weighted = spread = lean = surplus = variance = 0.0
    for stratum in strata:
        exposed, hits, others, other_hits = stratum
        size = stratum.size
        if size < min_stratum:
            dropped += size > 0
            continue
        used += 1
        weight += exposed * others / size
        weighted += (hits * others - other_hits * exposed) / size
        spread += (hits * (others - other_hits) + other_hits * (exposed - hits)) / (2 * size)
        lean += (exposed**2 * other_hits - others**2 * hits + exposed * others * (others - exposed) / 2) / size**2
        successes = hits + other_hits
        surplus += hits - exposed * successes / size
        variance += exposed * others * successes * (size - successes) / (size * size * (size - 1))
    if not weight:
        return Difference(None, None, used, dropped)
    difference = weighted / weight
    error = sqrt(max(0.0, difference * lean + spread)) / weight
    interval = Interval(difference, max(-1.0, difference - z * error), min(1.0, difference + z * error))
    return Difference(interval, erfc(abs(surplus) / sqrt(2 * variance)) if variance > 0 else None, used, dropped)


def shown(chances: Sequence[float | None], level: float = LEVEL) -> list[bool]:
    """Returns which of several differences are shown, by how likely each is by chance (Benjamini and Hochberg)."""
    in_order = sorted(chance for chance in chances if chance is not None)
    limit = max((p for rank, p in enumerate(in_order, start=1) if p <= level * rank / len(in_order)), default=-1.0)
    return [chance is not None and chance <= limit for chance in chances]
