"""The composition root of one worker: settings, clients, app."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, time
from functools import lru_cache, partial
from typing import Any

from fastapi import FastAPI

from services.ingest.http.access import Access, Rates, by_source
from services.ingest.http.app import IngestApp
from services.ingest.http.control import create_control
from services.ingest.http.cors import error_app
from services.ingest.http.direct import DirectHttpProtocol
from services.ingest.http.keys import Keys
from services.ingest.http.suppressed import SuppressedIds
from services.ingest.metrics_buffer import FLUSH_SECONDS, MetricsBuffer
from services.ingest.process.worker import end_with_parent, worker_metrics
from services.ingest.publish.batcher import Batcher
from services.ingest.publish.producer import ReconnectingProducer
from services.ingest.validate.request import Timing
from throughline.kit import logs
from throughline.kit.clock import now_us, to_us
from throughline.kit.connection_limits import LimitedHttpProtocol
from throughline.kit.health import Check
from throughline.kit.kafka import require_compiled_records
from throughline.kit.kafka_figures import measure_kafka
from throughline.kit.loop_lag import measure_loop_lag
from throughline.kit.metrics import INGEST_KEYS_AGE_SECONDS, INGEST_LOOP_LAG_SECONDS, set_build_info
from throughline.kit.metrics_port import serving_metrics
from throughline.kit.readiness import measure_readiness
from throughline.kit.secret_box import SecretBox
from throughline.kit.server import limit_connections
from throughline.kit.settings import IngestSettings, load_or_exit
from throughline.store.access.keys import SourceKey, read_source_keys
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import consistent_reading

log = logging.getLogger(__name__)

MAX_OPENED_SECRETS = 10_000
LAST_SECONDS = 1.0
"""Maximum time for the queue to empty when the worker stops."""


def create_app() -> IngestApp:
    """Returns the ASGI app of one worker; its lifespan starts and stops its clients. Called inside the running loop."""
    settings = load_or_exit(IngestSettings)
    logs.configure(settings.log_level)
    # While a broker is away aiokafka logs it ten times a second; producer.py logs it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    require_compiled_records()

    engine = create_engine(settings.database_url, pool_size=1)

    # A key is read again every second; what it decrypts to is remembered.
    open_secret = lru_cache(MAX_OPENED_SECRETS)(SecretBox(settings.encryption_keys).open)
    unreadable: set[str] = set()
    suppressed = SuppressedIds()

    async def read_keys() -> Iterable[SourceKey]:
        nonlocal unreadable
        async with consistent_reading(engine) as connection:
            await suppressed.refresh(connection)
            source_keys = await read_source_keys(connection, now_us=now_us(), open_secret=open_secret)
        before, unreadable = unreadable, {key.source_name for key in source_keys if key.settings.webhook_secret is None}
        if unreadable - before:
            log.error(
                "the webhook secrets of %s cannot be decrypted, and their webhooks are answered 503: correct "
                "ENCRYPTION_KEYS",
                ", ".join(sorted(unreadable)),
            )
        return source_keys

    keys = Keys(read_keys, refresh_seconds=settings.keys_refresh_seconds)
    producer = ReconnectingProducer(
        settings.kafka_servers(settings.kafka),
        touchpoints_topic=settings.touchpoints_topic,
        rejected_topic=settings.rejected_topic,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
        min_insync_replicas=settings.min_insync_replicas,
    )
    set_build_info("ingest", settings.build_commit)
    metrics = MetricsBuffer()
    memory = limit_connections(settings, metrics.count_failure)
    LimitedHttpProtocol.error_app = error_app
    batcher = Batcher(
        producer,
        metrics,
        touchpoints_topic=settings.touchpoints_topic,
        rejected_topic=settings.rejected_topic,
        queue_events=settings.queue_events,
        memory=memory,
        ack_seconds=settings.ack_seconds,
    )

    async def count() -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            metrics.flush()
            INGEST_KEYS_AGE_SECONDS.set(keys.age_seconds)

    async def kafka_check() -> str:
        return batcher.problem()

    async def keys_check() -> str:
        return "" if keys.loaded else "write keys were never read: PostgreSQL is away or not migrated"

    checks: dict[str, Check] = {"kafka": kafka_check, "keys": keys_check}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Neither Kafka nor PostgreSQL has to run: /readyz says what is missing, requests are answered 503.
        works: list[Callable[[], Coroutine[Any, Any, None]]] = [keys.run, producer.run, batcher.run, count]
        works.append(partial(measure_readiness, "ingest", checks))
        works.append(partial(measure_kafka, "ingest", lambda: producer.client))
        works.append(partial(measure_loop_lag, INGEST_LOOP_LAG_SECONDS.observe))
        if settings.workers > 1:
            works.append(end_with_parent)
        background = [asyncio.create_task(work()) for work in works]
        gc.collect()
        gc.freeze()
        # A request leaves no cycles behind: to collect them seldom is enough.
        gc.set_threshold(50_000, 20, 50)
        async with serving_metrics(settings, worker_metrics, is_shared=settings.workers > 1):
            yield
        # Every request has its answer by now: what is still queued was answered 503.
        await batcher.drain(LAST_SECONDS)
        for task in background:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*background, return_exceptions=True)
        await producer.stop()
        metrics.flush()
        await engine.dispose()

    registry = worker_metrics if settings.metrics_port is None else None
    control = create_control(keys, checks, registry, lifespan)
    rates = Rates(by_source(settings.rate_limit_events, settings.rate_limit_burst, settings.workers))
    earliest = datetime.combine(settings.earliest_plausible, time(), UTC)
    app = DirectHttpProtocol.event_app = IngestApp(
        control,
        Access(keys, rates, settings.operator_secret),
        batcher,
        metrics,
        suppressed=suppressed,
        body_seconds=settings.body_seconds,
        live=Timing(earliest_us=to_us(earliest)),
        link_limit=settings.max_request_links,
    )
    return app
