"""How much one write key may send: a token bucket for each. Of one event loop. And who may: websites, signed webhooks.

`connection_limits.py` guards the connections, `body.py` the bodies.
"""

import base64
import hmac
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from services.ingest.dialects.base import Signature
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey

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


def by_source(per_second: int, burst: int, workers: int) -> Limit:
    """The rate its source sets for a key, or else this one; an even share of it for each worker process.

    `per_second` 0 is no limit; `burst` 0 is what `BURST_SECONDS` say.
    """

    def share(per_second: int, burst: int) -> Rate:
        return Rate(per_second / workers, (burst or per_second * BURST_SECONDS) / workers)

    usual = share(per_second, burst) if per_second else None

    def limit(source: SourceKey) -> Rate | None:
        own = source.settings
        return usual if own.rate_events is None else share(own.rate_events, own.rate_burst or 0)

    return limit


def check_origin(source: SourceKey, origin: bytes | None) -> None:
    """Let a browser send from the websites its source names only, where it names any; others send no Origin.

    Raises:
        ServiceError: 403, another website.
    """
    allowed = source.settings.origins
    if allowed is None or origin is None:
        return
    came = origin.decode("latin-1").lower()
    scheme, _, host = came.partition("://")
    for one in allowed:
        below_scheme, star, below = one.partition("://*")
        if came == one or (star and scheme == below_scheme and host.endswith(below)):
            return
    raise ServiceError(
        403,
        "origin_not_allowed",
        f"the source {source.source_name!r} takes no events from {came}; its owner lists the websites that may send",
    )


def check_signature(source: SourceKey, signature: Signature) -> None:
    """Let a webhook in that is signed with its source's secret.

    Raises:
        ServiceError: 401, the source has no secret, or the signature is missing or another.
    """
    secret = source.settings.webhook_secret
    if not secret:
        raise ServiceError(
            401,
            "webhook_secret_not_set",
            f"the source {source.source_name!r} has no secret to check the signature with; set the one the shop shows: "
            f"throughline source set WORKSPACE {source.source_name!r} --webhook-secret -",
        )
    expected = base64.b64encode(hmac.digest(secret.encode(), signature.body, "sha256"))
    if not hmac.compare_digest(expected, signature.sent.strip().encode()):
        why = "the signature is not that of this body with the source's secret" if signature.sent else "not signed"
        raise ServiceError(401, "invalid_signature", why)


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
