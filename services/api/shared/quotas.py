"""What one token may ask of the api, so that it holds up nobody else: requests a second here, streams in `live`, and
statements at once, which all tokens of a workspace share, in `database.py`."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken

BURST_SECONDS = 2


class _Bucket(NamedTuple):
    left: float
    """Number of requests left."""
    at: float
    """When that was so."""


class RequestRate:
    """A bucket of requests for each token. A token's sessions take from its own.

    Args:
        per_second: requests a second of one token in the long run; those of `BURST_SECONDS` at once. 0: no limit.
        clock: tells seconds.
    """

    def __init__(self, per_second: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = per_second * BURST_SECONDS
        self._clock = clock
        self._buckets: dict[int, _Bucket] = {}

    def take(self, token: ReadToken) -> None:
        """Count a request.

        Raises:
            ServiceError: 429 `rate_limited`.
        """
        if not self._per_second:
            return
        now = self._clock()
        left, at = self._buckets.get(token.owner, _Bucket(self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        if left < 1:
            seconds = math.ceil((1 - left) / self._per_second)
            raise ServiceError(
                429,
                "rate_limited",
                f"this token may make {self._per_second} requests a second, {self._burst} at once; try again in "
                f"{seconds} s, ask less often, or follow /v1/phases/counts/stream",
                headers={"Retry-After": str(seconds)},
            )
        self._buckets[token.owner] = _Bucket(left - 1, now)
