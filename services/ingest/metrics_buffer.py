"""What one worker has counted since it last told Prometheus.

Plain numbers: a metric that workers share costs more per request than all the rest of a request's bookkeeping.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Sequence
from typing import Any

from services.ingest.event.verdict import Verdict
from services.ingest.process.connection_limits import REFUSED
from throughline.kit.metrics import (
    INGEST_EVENTS,
    INGEST_PRODUCE_RECORDS,
    INGEST_PRODUCE_SECONDS,
    INGEST_REFUSED,
    INGEST_REQUEST_SECONDS,
    INGEST_REQUESTS,
    INGEST_VERDICTS,
    LATENCY_BUCKETS,
    PRODUCE_RECORDS_BUCKETS,
)

FLUSH_SECONDS = 0.25
OUTCOMES = ("ok", "warning", "rejected", "dropped")


class _Observations:
    """What a histogram is to be told."""

    def __init__(self, histogram: Any, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = tuple(bounds)
        self._buckets = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._buckets[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        # A histogram has no public way to take many observations at once.
        for bucket, number in zip(self._histogram._buckets, self._buckets, strict=True):
            if number:
                bucket.inc(number)
        self._histogram._sum.inc(self._sum)
        self._buckets = [0] * len(self._buckets)
        self._sum = 0.0


class MetricsBuffer:
    """Counts of requests, events and record batches. Of one event loop."""

    def __init__(self) -> None:
        self._ok = 0
        self._verdicts: Counts[tuple[str, str]] = Counts()
        self._statuses: Counts[int] = Counts()
        self._reasons: Counts[str] = Counts()
        self._requests = _Observations(INGEST_REQUEST_SECONDS, LATENCY_BUCKETS)
        self._produce_seconds = _Observations(INGEST_PRODUCE_SECONDS, LATENCY_BUCKETS)
        self._produce_records = _Observations(INGEST_PRODUCE_RECORDS, PRODUCE_RECORDS_BUCKETS)
        for outcome in OUTCOMES:
            INGEST_EVENTS.labels(outcome)

    def count_events(self, verdicts: Sequence[Verdict | None]) -> None:
        """Events that were answered with a verdict each; None is ok."""
        self._ok += verdicts.count(None)
        for found in verdicts:
            if found is not None:
                self._verdicts[found.verdict, found.code] += 1

    def count_request(self, status: int, seconds: float) -> None:
        """One answered request."""
        self._statuses[status] += 1
        self._requests.add(seconds)

    def count_failure(self, reason: str) -> None:
        """One request that failed as a whole."""
        self._reasons[reason] += 1

    def count_batch(self, records: int, seconds: float) -> None:
        """One acknowledged record batch."""
        self._produce_seconds.add(seconds)
        self._produce_records.add(records)

    def flush(self) -> None:
        """Hand everything over to the metrics and start again at nothing."""
        INGEST_EVENTS.labels("ok").inc(self._ok)
        self._ok = 0
        for (outcome, reason), number in self._verdicts.items():
            INGEST_EVENTS.labels(outcome).inc(number)
            INGEST_VERDICTS.labels(outcome, reason).inc(number)
        self._verdicts.clear()
        for status, number in self._statuses.items():
            INGEST_REQUESTS.labels(str(status)).inc(number)
        self._statuses.clear()
        for reasons in (self._reasons, REFUSED):
            for reason, number in reasons.items():
                INGEST_REFUSED.labels(reason).inc(number)
            reasons.clear()
        for observations in (self._requests, self._produce_seconds, self._produce_records):
            observations.flush()
