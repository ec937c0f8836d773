"""What one worker has counted since it last told Prometheus: plain integers, because a metric costs more per request
than all the rest of a request's bookkeeping."""

from bisect import bisect_left
from collections import Counter as Counts

from throughline.kit.metrics import INGEST_EVENTS, INGEST_REQUEST_SECONDS, INGEST_REQUESTS, LATENCY_BUCKETS

FLUSH_SECONDS = 0.25
OUTCOMES = ("ok", "warning", "rejected")


class Tally:
    """Counts of requests and events. Of one event loop."""

    def __init__(self) -> None:
        self.ok = 0
        self.warning = 0
        self.rejected = 0
        self._statuses: Counts[int] = Counts()
        self._latencies = [0] * (len(LATENCY_BUCKETS) + 1)
        self._seconds = 0.0
        for outcome in OUTCOMES:
            INGEST_EVENTS.labels(outcome)

    def request(self, status: int, seconds: float) -> None:
        """One answered request."""
        self._statuses[status] += 1
        self._latencies[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def flush(self) -> None:
        """Hand the counts over to the metrics and start again at nothing."""
        for outcome, number in zip(OUTCOMES, (self.ok, self.warning, self.rejected), strict=True):
            if number:
                INGEST_EVENTS.labels(outcome).inc(number)
        self.ok = self.warning = self.rejected = 0
        for status, number in self._statuses.items():
            INGEST_REQUESTS.labels(str(status)).inc(number)
        self._statuses.clear()
        # A histogram has no public way to take many observations at once.
        for bucket, number in zip(INGEST_REQUEST_SECONDS._buckets, self._latencies, strict=True):
            if number:
                bucket.inc(number)
        INGEST_REQUEST_SECONDS._sum.inc(self._seconds)
        self._latencies = [0] * len(self._latencies)
        self._seconds = 0.0
