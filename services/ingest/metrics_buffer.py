"""Counts of one worker between two updates of its Prometheus metrics.

The counts are plain numbers: to update a metric that workers share costs more per request than all other bookkeeping of
the request.
"""

from collections import Counter
from collections.abc import Sequence

from services.ingest.event.verdict import Verdict
from throughline.kit.metrics import (
    INGEST_EVENTS,
    INGEST_PRODUCE_RECORDS,
    INGEST_PRODUCE_SECONDS,
    INGEST_REFUSED,
    INGEST_REQUEST_SECONDS,
    INGEST_REQUESTS,
    INGEST_SOURCE_EVENTS,
    INGEST_VERDICTS,
    HistogramBuffer,
)
from throughline.store.access.keys import SourceKey

FLUSH_SECONDS = 0.25
"""Pause between two updates of the metrics."""
MAX_SOURCES = 500
"""Sources that a worker counts one by one: a metric must not grow with the sources that administrators make."""
OTHERS = ("", "(others)")
STATUSES = ("ok", "warning", "rejected", "dropped")


class MetricsBuffer:
    """Counts of requests, events and record batches. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._sources: dict[int, tuple[str, str]] = {}
        self._ok_events: Counter[int] = Counter()
        self._verdicts: Counter[tuple[int, str, str]] = Counter()
        self._requests: Counter[int] = Counter()
        self._failures: Counter[str] = Counter()
        self._request_seconds = HistogramBuffer(INGEST_REQUEST_SECONDS)
        self._produce_seconds = HistogramBuffer(INGEST_PRODUCE_SECONDS)
        self._produce_records = HistogramBuffer(INGEST_PRODUCE_RECORDS)
        for status in STATUSES:
            INGEST_EVENTS.labels(status)

    def count_events(self, verdicts: Sequence[Verdict | None], source: SourceKey) -> None:
        """Counts the events of one answered request by their verdicts; None stands for ok."""
        if source.source not in self._sources:
            is_room = len(self._sources) < MAX_SOURCES
            self._sources[source.source] = (str(source.workspace), source.source_name) if is_room else OTHERS
        self._ok_events[source.source] += verdicts.count(None)
        for verdict in verdicts:
            if verdict is not None:
                self._verdicts[source.source, verdict.status, verdict.code] += 1

    def count_request(self, status: int, seconds: float) -> None:
        """Counts one answered request by its HTTP status, with the time it took."""
        self._requests[status] += 1
        self._request_seconds.observe(seconds)

    def count_failure(self, code: str) -> None:
        """Counts one request that failed as a whole, or a connection that ended without one, by its code."""
        self._failures[code] += 1

    def count_batch(self, records: int, seconds: float) -> None:
        """Counts one acknowledged record batch, with the time Kafka took."""
        self._produce_seconds.observe(seconds)
        self._produce_records.observe(records)

    def flush(self) -> None:
        """Adds all counts to the metrics and starts again at zero."""
        for source, count in self._ok_events.items():
            INGEST_EVENTS.labels("ok").inc(count)
            INGEST_SOURCE_EVENTS.labels(*self._sources[source], "ok").inc(count)
        self._ok_events.clear()
        for (source, status, code), count in self._verdicts.items():
            INGEST_EVENTS.labels(status).inc(count)
            INGEST_SOURCE_EVENTS.labels(*self._sources[source], status).inc(count)
            INGEST_VERDICTS.labels(status, code).inc(count)
        self._verdicts.clear()
        for http_status, count in self._requests.items():
            INGEST_REQUESTS.labels(str(http_status)).inc(count)
        self._requests.clear()
        for code, count in self._failures.items():
            INGEST_REFUSED.labels(code).inc(count)
        self._failures.clear()
        for histogram in (self._request_seconds, self._produce_seconds, self._produce_records):
            histogram.flush()
