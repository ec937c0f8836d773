"""Who may send, and how much: a request's write key, its signature, its website, and its key's rate.

`process/connection_limits.py` guards the connections, `body.py` the bodies.
"""

import base64
import hmac
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.ingest.dialects.base import ParsedRequest, Signature
from services.ingest.http.keys import Keys
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey

BURST_SECONDS = 10
"""Number of seconds in which a bucket fills up, unless its burst is set."""


class Rate(NamedTuple):
    """How many events a key may send."""

    per_second: float
    """In the long run."""
    burst: float
    """At once, after a pause."""


Limit = Callable[[SourceKey], Rate | None]
"""Returns the rate of a key; None for no limit."""


def by_source(per_second: int, burst: int, workers: int) -> Limit:
    """Returns the limits of one worker process: an even share of the rate that a key's source sets, else of this.

    `per_second` 0 is no limit; `burst` 0 is what flows in `BURST_SECONDS`.
    """

    def share(per_second: int, burst: int) -> Rate:
        return Rate(per_second / workers, (burst or per_second * BURST_SECONDS) / workers)

    usual = share(per_second, burst) if per_second else None

    def limit(source: SourceKey) -> Rate | None:
        settings = source.settings
        return usual if settings.rate_events is None else share(settings.rate_events, settings.rate_burst or 0)

    return limit


def check_origin(source: SourceKey, origin: bytes | None) -> None:
    """Let a browser send from the websites that its source names, if it names any; other clients send no Origin.

    Raises:
        ServiceError: 403, the website is none of them.
    """
    allowed = source.settings.origins
    if allowed is None or origin is None:
        return
    sender = origin.decode("latin-1").lower()
    scheme, _, host = sender.partition("://")
    for website in allowed:
        below_scheme, star, below = website.partition("://*")
        if sender == website or (star and scheme == below_scheme and host.endswith(below)):
            return
    raise ServiceError(
        403,
        "origin_not_allowed",
        f"the source {source.source_name!r} takes no events from {sender}; its owner lists the websites that may send",
    )


def check_signature(source: SourceKey, signature: Signature) -> None:
    """Let a webhook send that is signed with its source's secret.

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
    """One token bucket for each key that has sent. Of one event loop."""

    def __init__(self, limit: Limit, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._buckets: dict[bytes, tuple[float, float]] = {}
        """Digest -> number of events left, and when that was so."""

    def take(self, source: SourceKey, events: int) -> None:
        """Count the events of one request.

        A request may send if its key owes nothing, and may leave the key owing: otherwise a batch larger than the
        burst could never be sent.

        Raises:
            ServiceError: 429, with a Retry-After of the seconds until the key owes nothing.
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


class Access:
    """Decides which requests may write to which source."""

    def __init__(self, keys: Keys, rates: Rates) -> None:
        self._keys = keys
        self._rates = rates

    def authorize(self, request: ParsedRequest, write_key: str, headers: Mapping[bytes, bytes]) -> SourceKey:
        """Returns the source that a request writes to, and counts its events against the key's rate.

        `write_key` is the one that the request itself carries, "" for none.

        Raises:
            ServiceError: 401 no such key, or a wrong signature; 403 a website that may not send; 404 the source is
                disabled; 429 too many events; 503 the keys were never read.
        """
        source = self._keys.source(headers.get(b"authorization"), write_key)
        if request.signature is not None:
            check_signature(source, request.signature)
        check_origin(source, headers.get(b"origin"))
        self._rates.take(source, len(request.events))
        return source
