"""Who may send, and how much: a request's write key, its signature, its website, and its source's rate.

`throughline/kit/connection_limits.py` guards the connections, `body.py` the bodies.
"""

import base64
import hmac
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.ingest.dialects.base import ParsedRequest, Signature
from services.ingest.http.keys import Keys
from services.ingest.http.origins import foreign_origin
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey

BURST_SECONDS = 10
"""Number of seconds in which a bucket fills up, unless its burst is set."""
EVENT_BYTES = 1024
"""Number of bytes as kept that count as an event: a larger event counts as several."""
LOG_SECONDS = 60.0
"""Minimum time between two lines of the log about one source."""
OPERATOR = b"x-throughline-operator"
"""Header with the operator's secret, in lower case."""


log = logging.getLogger(__name__)


class Rate(NamedTuple):
    """How many events a source may send."""

    per_second: float
    """In the long run."""
    burst: float
    """At once, after a pause."""


Limit = Callable[[SourceKey], Rate | None]
"""Returns the rate of a source; None for no limit."""


def by_source(per_second: int, burst: int, workers: int) -> Limit:
    """Returns the limits of one worker process: an even share of the rate that a source sets, else of this.

    `per_second` 0 is no limit; `burst` 0 is what flows in `BURST_SECONDS`.
    """

    def share(per_second: int, burst: int) -> Rate | None:
        if not per_second:
            return None
        return Rate(per_second / workers, (burst or per_second * BURST_SECONDS) / workers)

    usual = share(per_second, burst)

    def limit(source: SourceKey) -> Rate | None:
        settings = source.settings
        return usual if settings.rate_events is None else share(settings.rate_events, settings.rate_burst or 0)

    return limit


def check_origin(source: SourceKey, headers: Mapping[bytes, bytes]) -> None:
    """Let browsers send from the websites that a source names, if it names any.

    Raises:
        ServiceError: 403, the website is none of them.
    """
    allowed = source.settings.origins
    if allowed is None:
        return
    sender = foreign_origin(allowed, headers)
    if sender:
        raise ServiceError(
            403,
            "origin_not_allowed",
            f"the source {source.source_name!r} takes no events from {sender}; its owner lists the websites that may "
            "send",
        )


def check_signature(source: SourceKey, signature: Signature) -> None:
    """Let a webhook send that is signed with its source's secret.

    Raises:
        ServiceError: 401, the source has no secret, or the signature is missing or another; 503, the secret cannot be
            decrypted.
    """
    secret = source.settings.webhook_secret
    if secret is None:
        # A shop sends again what is answered so, until the operator has mended it.
        raise ServiceError(
            503,
            "webhook_secret_unreadable",
            f"the secret of the source {source.source_name!r} cannot be decrypted; its operator sets ENCRYPTION_KEYS",
            headers={"Retry-After": "60"},
        )
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
    """One token bucket for each source that has sent, whatever key it uses. Of one event loop."""

    def __init__(self, limit: Limit, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._buckets: dict[int, tuple[float, float]] = {}
        """Source -> number of events left, and when that was so."""
        self._logged_from: dict[int, float] = {}
        """Source -> when the log may name it again."""

    def require(self, source: SourceKey) -> None:
        """Check that a source owes nothing.

        Raises:
            ServiceError: 429, with a Retry-After of the seconds until the source owes nothing.
        """
        self.take(source, 0)

    def take(self, source: SourceKey, events: int) -> None:
        """Count the events of one request.

        A request may send if its source owes nothing, and may leave the source owing: otherwise a batch larger than the
        burst could never be sent.

        Raises:
            ServiceError: 429, with a Retry-After of the seconds until the source owes nothing.
        """
        rate = self._limit(source)
        if rate is None:
            return
        left, now = self._left(source, rate)
        if left <= 0:
            seconds = math.floor(-left / rate.per_second) + 1
            self._log(source, now)
            raise ServiceError(
                429,
                "rate_limited",
                f"the source {source.source_name!r} sends more than {rate.per_second:g} events a second; send the same "
                f"again in {seconds} seconds",
                headers={"Retry-After": str(seconds)},
            )
        self._buckets[source.source] = (left - events, now)

    def charge(self, source: SourceKey, events: int, kept_bytes: int) -> None:
        """Count what events of a request that were taken are kept with, beyond `EVENT_BYTES` each."""
        more = kept_bytes / EVENT_BYTES - events
        rate = self._limit(source) if more > 0 else None
        if rate is not None:
            left, now = self._left(source, rate)
            self._buckets[source.source] = (left - more, now)

    def _log(self, source: SourceKey, now: float) -> None:
        if now >= self._logged_from.get(source.source, now):
            self._logged_from[source.source] = now + LOG_SECONDS
            log.warning("source %d (%s) sends more than its limit: 429", source.source, source.source_name)

    def _left(self, source: SourceKey, rate: Rate) -> tuple[float, float]:
        now = self._now()
        left, since = self._buckets.get(source.source, (rate.burst, now))
        return min(rate.burst, left + (now - since) * rate.per_second), now


class Access:
    """Decides which requests may write to which source."""

    def __init__(self, keys: Keys, rates: Rates, operator_secret: str | None = None) -> None:
        self._keys = keys
        self._rates = rates
        self._operator_secret = operator_secret

    def is_operator(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request carries the operator's secret.

        Raises:
            ServiceError: 403, it carries another one, or none is set.
        """
        sent = headers.get(OPERATOR)
        if sent is None:
            return False
        secret = self._operator_secret
        if secret is None or not hmac.compare_digest(sent, secret.encode()):
            raise operator_needed(
                "it is not the operator's secret, OPERATOR_SECRET of ingest", "X-Throughline-Operator"
            )
        return True

    def require_rate(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a request before it is parsed, if its header's key is of a source that owes.

        Raises:
            ServiceError: 429.
        """
        source = self._keys.seen(headers.get(b"authorization"))
        if source is not None:
            self._rates.require(source)

    def authorize(
        self, request: ParsedRequest, write_key: str, headers: Mapping[bytes, bytes], *, is_operator: bool = False
    ) -> SourceKey:
        """Returns the source that a request writes to, and counts its events against the source's rate.

        `write_key` is the one that the request itself carries, "" for none. An operator may send what only a shop
        could sign, as a replay does.

        Raises:
            ServiceError: 401 no such key, or a wrong signature; 403 a website that may not send; 404 the source is
                disabled; 429 too many events; 503 the keys were never read.
        """
        source = self._keys.source(headers.get(b"authorization"), write_key)
        if source.is_app_id and not request.takes_app_id:
            raise ServiceError(
                401, "invalid_write_key", "an app id opens the paths of Snowplow's trackers only; send a write key"
            )
        if request.signature is not None:
            check_signature(source, request.signature)
        elif source.settings.webhook_secret != "" and not is_operator:
            raise ServiceError(
                401,
                "signature_needed",
                f"the source {source.source_name!r} takes signed webhooks only; send other events to another source",
            )
        check_origin(source, headers)
        self._rates.take(source, len(request.events))
        return source

    def charge(self, source: SourceKey, events: int, kept_bytes: int) -> None:
        """See `Rates.charge`."""
        self._rates.charge(source, events, kept_bytes)


def operator_needed(why: str, header: str) -> ServiceError:
    """Returns the error of a header that only an operator may send."""
    return ServiceError(403, "operator_secret_needed", f"the header {header}: {why}", field=header)
