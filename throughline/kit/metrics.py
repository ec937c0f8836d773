"""Every metric of every service, declared once, with what it tells an operator.

Each service answers with its own registry. No label holds a customer, a key or anything else that a client can invent.
Times are in seconds.
"""

from bisect import bisect_left
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

INGEST_REGISTRY = CollectorRegistry(auto_describe=True)
"""The metrics of one worker; /metrics sums those of all through prometheus_client's multi-process collector."""
STAGER_REGISTRY = CollectorRegistry(auto_describe=True)
API_REGISTRY = CollectorRegistry(auto_describe=True)

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PRODUCE_RECORDS_BUCKETS = (1, 10, 50, 100, 500, 1000, 2500, 5000, 10000)
LOOP_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
LAG_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)

# --- of several services ----------------------------------------------------------------------------------------------

READY = Gauge(
    "throughline_ready",
    "Whether a process has what it needs to do its work, by check of its /readyz: 1 or 0.",
    ["service", "check"],
    registry=None,
    multiprocess_mode="livemin",
)
BUILD_INFO = Gauge(
    "throughline_build_info",
    "Always 1: the version of a process, and the commit that its image was built from.",
    ["service", "version", "commit"],
    registry=None,
    multiprocess_mode="livemax",
)
PORT_REFUSED = Counter(
    "throughline_refused_connections_total",
    "Requests and connections that stager and api refused before any work was done, by reason.",
    ["reason"],
    registry=None,
)
POOL_IN_USE = Gauge(
    "throughline_database_connections_in_use",
    "Connections to PostgreSQL in use, of stager and api, by pool: with all in use, statements wait.",
    ["pool"],
    registry=None,
)
POOL_SIZE = Gauge(
    "throughline_database_pool_connections",
    "Maximum number of connections of a pool.",
    ["pool"],
    registry=None,
)
KAFKA_CONNECTIONS = Gauge(
    "throughline_kafka_connections",
    "Open connections to brokers, of ingest and stager, by client: 0 means Kafka is away.",
    ["client"],
    registry=None,
    multiprocess_mode="livesum",
)
KAFKA_REQUESTS = Gauge(
    "throughline_kafka_requests_in_flight",
    "Requests to brokers that await an answer, by client: many for long means slow brokers.",
    ["client"],
    registry=None,
    multiprocess_mode="livesum",
)
for _registry in (INGEST_REGISTRY, STAGER_REGISTRY):
    _registry.register(KAFKA_CONNECTIONS)
    _registry.register(KAFKA_REQUESTS)
for _registry in (INGEST_REGISTRY, STAGER_REGISTRY, API_REGISTRY):
    _registry.register(READY)
    _registry.register(BUILD_INFO)
for _registry in (STAGER_REGISTRY, API_REGISTRY):
    for _metric in (PORT_REFUSED, POOL_IN_USE, POOL_SIZE):
        _registry.register(_metric)
    ProcessCollector(registry=_registry)
    PlatformCollector(registry=_registry)

# --- stager -----------------------------------------------------------------------------------------------------------

STAGER_RECORDS = Counter(
    "throughline_stager_records_total",
    "Records taken from Kafka and committed, by outcome: staged, duplicate, conflict (a duplicate that differs from "
    "the first), rejected.",
    ["outcome"],
    registry=STAGER_REGISTRY,
)
for _outcome in ("staged", "duplicate", "conflict", "rejected", "suppressed"):
    STAGER_RECORDS.labels(_outcome)  # from 0 on: an alert sees the first one
STAGER_BATCH_SECONDS = Histogram(
    "throughline_stager_batch_seconds",
    "One staged batch: decode, transaction and commit.",
    buckets=LATENCY_BUCKETS,
    registry=STAGER_REGISTRY,
)
STAGER_LOOP_LAG_SECONDS = Histogram(
    "throughline_stager_loop_lag_seconds",
    "How much later than due the event loop comes to a task: health checks and heartbeats wait as long.",
    buckets=LOOP_LAG_BUCKETS,
    registry=STAGER_REGISTRY,
)
STAGER_REFUSED_LINKS = Counter(
    "throughline_stager_refused_links_total",
    "Links between ids that were not made, because a customer would have too many ids or an id too many links.",
    registry=STAGER_REGISTRY,
)
STAGER_FAULTS = Counter(
    "throughline_stager_faults_total",
    "Records at which the stager itself failed: each is kept whole in the rejected topic, and the others were staged.",
    registry=STAGER_REGISTRY,
)
STAGER_BATCH_RECORDS = Histogram(
    "throughline_stager_batch_records",
    "Records in one staged batch: near the limit means the stager is behind.",
    buckets=(1, 10, 50, 100, 500, 1000, 2500, 5000, 10000, 50000),
    registry=STAGER_REGISTRY,
)
STAGER_RECOMPUTED = Counter(
    "throughline_stager_refolded_customers_total",
    "Customers recomputed because a touchpoint arrived late or ids were linked or unlinked.",
    registry=STAGER_REGISTRY,
)
STAGER_LEFT_ASIDE = Counter(
    "throughline_stager_left_aside_total",
    "Journeys that a batch had no time for, or that were marked already: they are recomputed aside.",
    registry=STAGER_REGISTRY,
)
STAGER_MARKS = Gauge(
    "throughline_stager_marked_journeys",
    "Journeys that wait to be recomputed aside, of each partition's share of the customers.",
    ["partition"],
    registry=STAGER_REGISTRY,
)
STAGER_MARK_AGE_SECONDS = Gauge(
    "throughline_stager_mark_age_seconds",
    "How long the oldest of the journeys that are recomputed aside has waited, per partition; 0 when there is none.",
    ["partition"],
    registry=STAGER_REGISTRY,
)
STAGER_SLICES = Counter(
    "throughline_stager_slices_total",
    "Transactions that recomputed a slice of a journey aside.",
    registry=STAGER_REGISTRY,
)
STAGER_RECOMPUTED_ASIDE = Counter(
    "throughline_stager_recomputed_aside_touchpoints_total",
    "Touchpoints from which journeys were recomputed aside.",
    registry=STAGER_REGISTRY,
)
STAGER_LATENESS_SECONDS = Histogram(
    "throughline_stager_lateness_seconds",
    "Lateness of late touchpoints: how long each occurred before the last touchpoint of its customer.",
    buckets=(0.1, 1, 10, 60, 600, 3600, 21600, 86400, 604800, 2592000, 31536000),
    registry=STAGER_REGISTRY,
)
STAGER_MOVED_IDS = Counter(
    "throughline_stager_moved_ids_total",
    "Actors that moved from one customer to another by a link, an alias, or an operator's unlink or relink.",
    registry=STAGER_REGISTRY,
)
STAGER_LAPSED = Counter(
    "throughline_stager_lapsed_journeys_total",
    "Journeys that lapsed: their customers were silent for the window of the phase.",
    registry=STAGER_REGISTRY,
)
STAGER_RESTAGED = Counter(
    "throughline_stager_restaged_touchpoints_total",
    "Touchpoints from which generations of models that are being restaged were computed.",
    registry=STAGER_REGISTRY,
)
STAGER_CLEARED = Counter(
    "throughline_stager_cleared_touchpoints_total",
    "Touchpoints deleted because they occurred before their workspace's retention cutoff.",
    registry=STAGER_REGISTRY,
)
STAGER_RETRIES = Counter(
    "throughline_stager_batch_retries_total",
    "Batches tried again, by reason: contention, database, kafka, stale (another member moved the offset).",
    ["reason"],
    registry=STAGER_REGISTRY,
)
STAGER_LAG_SECONDS = Gauge(
    "throughline_stager_lag_seconds",
    "Time lag: age of the oldest received event that is not in the counts yet, per partition; near 0 when caught up.",
    ["partition"],
    registry=STAGER_REGISTRY,
)
STAGER_LAG_RECORDS = Gauge(
    "throughline_stager_lag_records",
    "Offset lag: records in the log that are not staged yet, per partition.",
    ["partition"],
    registry=STAGER_REGISTRY,
)
STAGER_VISIBLE_SECONDS = Histogram(
    "throughline_stager_visible_seconds",
    "From ingest receiving an event to the commit that makes it visible in the counts, for each batch's oldest event.",
    buckets=LAG_BUCKETS,
    registry=STAGER_REGISTRY,
)
STAGER_VISIBLE_RECORDS = Counter(
    "throughline_stager_visible_records_total",
    "Records that became visible in the counts, by whether within 2 s of their receipt by ingest.",
    ["within_2s"],
    registry=STAGER_REGISTRY,
)
for _is_within in ("true", "false"):
    STAGER_VISIBLE_RECORDS.labels(_is_within)
STAGER_WATERMARK_AGE_SECONDS = Gauge(
    "throughline_stager_watermark_age_seconds",
    "How long ago everything received was staged, per partition: answers are as old as the oldest.",
    ["partition"],
    registry=STAGER_REGISTRY,
)
STAGER_PARTITIONS = Gauge(
    "throughline_stager_topic_partitions",
    "Partitions of the touchpoints topic, all members' together. One without a lag at any member is not staged.",
    registry=STAGER_REGISTRY,
)
STAGER_LOST_RECORDS = Counter(
    "throughline_stager_lost_records_total",
    "Records that left the log before they were staged (retention shorter than the outage). Alert on any.",
    registry=STAGER_REGISTRY,
)
STAGER_RECREATED_TOPICS = Counter(
    "throughline_stager_recreated_partitions_total",
    "Partitions that are not those staged before: their topic was deleted and created again. Alert on any.",
    registry=STAGER_REGISTRY,
)

# --- api --------------------------------------------------------------------------------------------------------------

API_LOOP_LAG_SECONDS = Histogram(
    "throughline_api_loop_lag_seconds",
    "How much later than due the api's event loop comes to a task: every request waits as long.",
    buckets=LOOP_LAG_BUCKETS,
    registry=API_REGISTRY,
)
API_REQUEST_SECONDS = Histogram(
    "throughline_api_request_seconds",
    "From a request to the start of its answer, by route template and status class (a stream: until it starts).",
    ["route", "status"],
    buckets=LATENCY_BUCKETS,
    registry=API_REGISTRY,
)
API_QUERY_SECONDS = Histogram(
    "throughline_api_query_seconds",
    "One query to PostgreSQL, by its name, the wait for a connection included.",
    ["query"],
    buckets=LATENCY_BUCKETS,
    registry=API_REGISTRY,
)
API_QUESTIONS = Counter(
    "throughline_api_questions_total",
    "Questions to PostgreSQL, by which one was asked: primary or replica.",
    ["database"],
    registry=API_REGISTRY,
)
for _database in ("primary", "replica"):
    API_QUESTIONS.labels(_database)
API_REPLICA_LAG_SECONDS = Gauge(
    "throughline_api_replica_lag_seconds",
    "How far the replica is behind, by its watermark; infinite when it does not answer, 0 when there is none.",
    registry=API_REGISTRY,
)
API_WATERMARK_AGE_SECONDS = Gauge(
    "throughline_api_watermark_age_seconds",
    "How old the watermark of the last answer to a workspace was when it was read: the age of its `as_of`. Workspaces "
    "beyond the first 500 are together (others).",
    ["workspace"],
    registry=API_REGISTRY,
)
API_STREAM_SUBSCRIBERS = Gauge(
    "throughline_api_stream_subscribers",
    "Clients that follow a counts stream of this process at present.",
    registry=API_REGISTRY,
)

# --- ingest -----------------------------------------------------------------------------------------------------------

INGEST_PREFIX = "throughline_ingest_"
INGEST_EVENTS = Counter(
    INGEST_PREFIX + "events_total",
    "Events answered with a verdict after Kafka acknowledged them, by verdict: ok, warning, rejected, dropped.",
    ["outcome"],
    registry=INGEST_REGISTRY,
)
INGEST_SOURCE_EVENTS = Counter(
    INGEST_PREFIX + "source_events_total",
    "Events answered with a verdict, by source, of workspaces by their number; a worker's sources beyond the first 500 "
    "are together the source (others).",
    ["workspace", "source", "outcome"],
    registry=INGEST_REGISTRY,
)
INGEST_VERDICTS = Counter(
    INGEST_PREFIX + "verdicts_total",
    "Events whose verdict was not ok, by outcome (warning, rejected, dropped) and reason: the code of their verdict.",
    ["outcome", "reason"],
    registry=INGEST_REGISTRY,
)
INGEST_REQUESTS = Counter(
    INGEST_PREFIX + "requests_total",
    "Requests on the event paths, by HTTP status; 503 means clients are being asked to come back.",
    ["status"],
    registry=INGEST_REGISTRY,
)
INGEST_REFUSED = Counter(
    INGEST_PREFIX + "refused_requests_total",
    "Requests and connections that failed as a whole, by reason: the code of their answer.",
    ["reason"],
    registry=INGEST_REGISTRY,
)
INGEST_REQUEST_SECONDS = Histogram(
    INGEST_PREFIX + "request_seconds",
    "One request on an event path, from its headers to its answer, Kafka's acknowledgement included.",
    buckets=LATENCY_BUCKETS,
    registry=INGEST_REGISTRY,
)
INGEST_QUEUE_EVENTS = Gauge(
    INGEST_PREFIX + "queue_events",
    "Events that wait for Kafka's acknowledgement; near QUEUE_EVENTS per worker, requests are answered 503.",
    registry=INGEST_REGISTRY,
    multiprocess_mode="livesum",
)
INGEST_PRODUCE_SECONDS = Histogram(
    INGEST_PREFIX + "produce_seconds",
    "One record batch, from handing it to the Kafka client to the acknowledgement by all in-sync replicas.",
    buckets=LATENCY_BUCKETS,
    registry=INGEST_REGISTRY,
)
INGEST_PRODUCE_RECORDS = Histogram(
    INGEST_PREFIX + "produce_records",
    "Records in one record batch: grows with load, because requests share batches.",
    buckets=PRODUCE_RECORDS_BUCKETS,
    registry=INGEST_REGISTRY,
)
INGEST_PRODUCE_FAILURES = Counter(
    INGEST_PREFIX + "produce_failures_total",
    "Record batches that Kafka refused or did not acknowledge in time; their requests were answered 503.",
    registry=INGEST_REGISTRY,
)
INGEST_LOOP_LAG_SECONDS = Histogram(
    INGEST_PREFIX + "loop_lag_seconds",
    "How much later than due the event loop of a worker comes to a task: every request waits as long.",
    buckets=LOOP_LAG_BUCKETS,
    registry=INGEST_REGISTRY,
)
INGEST_KEYS_AGE_SECONDS = Gauge(
    INGEST_PREFIX + "keys_age_seconds",
    "Seconds since write keys were last read from PostgreSQL; growing means new and revoked keys take no effect.",
    registry=INGEST_REGISTRY,
    multiprocess_mode="livemax",
)


def set_build_info(service: str, commit: str) -> None:
    """Tell which version of a service this process runs."""
    BUILD_INFO.labels(service, version("throughline"), commit).set(1)


def measure_pool(pool: str, size: int, count_in_use: Callable[[], int]) -> None:
    """Tell, whenever asked, how many of a pool's connections are in use."""
    POOL_SIZE.labels(pool).set(size)
    POOL_IN_USE.labels(pool).set_function(count_in_use)


class HistogramBuffer:
    """Observations of a histogram that many processes share, collected to be added at once.

    Each observation of such a histogram takes microseconds, and no public method takes several. test_metrics.py holds
    this class to the installed version of prometheus_client.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._upper_bounds = tuple(histogram._upper_bounds)
        self._counts = [0] * len(self._upper_bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Adds one observation to the buffer."""
        self._counts[bisect_left(self._upper_bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Adds all observations to the histogram and empties the buffer."""
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._histogram._sum.inc(self._sum)
        self._counts = [0] * len(self._upper_bounds)
        self._sum = 0.0
