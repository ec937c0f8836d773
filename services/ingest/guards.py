"""How much one write key may send: a token bucket for each. Of one event loop.

`guards_http.py` guards the connections, `body.py` the bodies.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from throughline.kit.errors import ServiceError
from throughline.store.keys import SourceKey

BURST_SECONDS = 10
"""A bucket holds what flows into it in so long, unless it is said otherwise."""


class Rate(NamedTuple):
    """What a key may send."""

    per_second: float
    """Events, in the long run."""
    burst: float
    """Events at once, after a pause."""


Limit = Callable[[SourceKey], Rate | None]
"""The rate of a key; None: as much as it likes."""


def same_for_all(per_second: int, burst: int, workers: int) -> Limit:
    """One rate for every key, an even share of it for each worker process.

    `per_second` 0 is no limit; `burst` 0 is what `BURST_SECONDS` say.
    """
    if not per_second:
        return lambda _: None
    rate = Rate(per_second / workers, (burst or per_second * BURST_SECONDS) / workers)
    return lambda _: rate


class Rates:
    """The buckets of all keys that have sent."""

    def __init__(self, limit: Limit, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._buckets: dict[bytes, tuple[float, float]] = {}
        """Digest -> events left, and when that was so."""

    def take(self, source: SourceKey, events: int) -> None:
        """Count the events of one request.

        A request is let in as long as its key owes nothing, and may leave it owing: a batch larger than the burst is
        not refused for ever.

        Raises:
            ServiceError: 429, its Retry-After says in how many seconds the key owes nothing any more.
        """
        rate = self._limit(source)
        if rate is None:
            return
        now = self._now()
        left, since = self._buckets.get(source.digest, (rate.burst, now))
        left = min(rate.burst, left + (now - since) * rate.per_second)
        if left <= 0:
            self._buckets[source.digest] = (left, now)
            seconds = math.floor(-left / rate.per_second) + 1
            raise ServiceError(
                429,
                "rate_limited",
                f"more than {rate.per_second:g} events a second; send the same again in {seconds} seconds",
                headers={"Retry-After": str(seconds)},
            )
        self._buckets[source.digest] = (left - events, now)
