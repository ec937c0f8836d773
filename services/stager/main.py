"""The stager process, put together: settings, clients, the consumer group, the index of rejected events, health."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
from functools import partial

import uvicorn
from aiokafka import AIOKafkaConsumer
from starlette.applications import Starlette

from services.stager.consume.group import GroupMember, StuckError
from services.stager.context import StagerContext
from services.stager.maintain.schedule import SIDE_BY_SIDE
from services.stager.publisher import Publisher
from services.stager.rejected.index import RejectedIndexer
from services.stager.stage.models import ModelRegistry
from throughline.kit import health, logs
from throughline.kit.kafka import create_group_consumer, log_seconds, require_compiled_records, wait_for_topics
from throughline.kit.kafka_figures import measure_kafka
from throughline.kit.loop_lag import measure_loop_lag
from throughline.kit.metrics import PORT_REFUSED, STAGER_LOOP_LAG_SECONDS, STAGER_REGISTRY, measure_pool, set_build_info
from throughline.kit.metrics_port import serving_metrics
from throughline.kit.readiness import measure_readiness
from throughline.kit.server import EmbeddedServer, limit_connections, port_config
from throughline.kit.settings import StagerSettings
from throughline.store.engine.health import database_check
from throughline.store.engine.pool import count_in_use, create_engine
from throughline.store.migrate import wait_until_migrated

log = logging.getLogger("stager")

CONNECTIONS = SIDE_BY_SIDE + 3
"""Those of a round or of slices of maintenance, and of what goes on beside them: locating, the index, health."""
FETCH_WAIT_MS = 500
"""Maximum time that the broker holds a fetch when nothing comes. A partition that is not part of it waits as long: one
just located, or one whose records were not taken from the client in time."""
REJECTED_FETCH_WAIT_MS = 2_000
"""Likewise, for the rejected topic, of which little comes."""
PARTITION_FETCH_BYTES = 4 * 1024 * 1024
COLLECTOR_THRESHOLDS = (100_000, 20, 20)
"""A batch makes some hundred thousand objects without cycles; reference counts free them when it is staged."""
STOP_SECONDS = 10.0
"""Maximum time that a Kafka client takes to leave its group."""


def main(settings: StagerSettings) -> None:
    """Run the process until it is stopped."""
    logs.configure(settings.log_level)
    uvicorn_loop = uvicorn.Config(app="", loop="auto", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
        runner.run(run(settings))


async def run(settings: StagerSettings) -> None:
    """Stage until SIGTERM or SIGINT, then finish what is under way."""
    require_compiled_records()
    set_build_info("stager", settings.build_commit)
    stop = _stop_on_signals()
    # What is loaded by now stays: the collector need not look at it again while batches come and go.
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)

    engine = create_engine(
        settings.database_url,
        pool_size=CONNECTIONS,
        application_name="throughline-stager",
    )
    measure_pool("stager", CONNECTIONS, partial(count_in_use, engine))
    servers = settings.kafka_servers(settings.kafka)
    consumer = create_group_consumer(
        servers,
        settings.consumer_group,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )
    publisher = Publisher(servers, touchpoints_topic=settings.touchpoints_topic, rejected_topic=settings.rejected_topic)
    context = StagerContext(
        consumer=consumer,
        engine=engine,
        models=ModelRegistry(engine),
        send_rejected=publisher.send_rejected,
        batch_records=settings.batch_records,
        send_claims=publisher.send_claims,
        log_seconds=log_seconds(settings.log_retention_hours),
    )
    group = GroupMember(context)
    indexer = RejectedIndexer(
        create_group_consumer(servers, f"{settings.consumer_group}-rejected", fetch_max_wait_ms=REJECTED_FETCH_WAIT_MS),
        engine,
        settings.rejected_topic,
    )
    checks = {"kafka": group.check, "database": database_check(engine)}
    server = _health_server(settings, checks)

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(publisher.close)
        await stack.enter_async_context(server.running())
        await stack.enter_async_context(serving_metrics(settings, lambda: STAGER_REGISTRY))
        lag = asyncio.create_task(measure_loop_lag(STAGER_LOOP_LAG_SECONDS.observe), name="loop lag")
        stack.callback(lag.cancel)
        readiness = asyncio.create_task(measure_readiness("stager", checks), name="readiness")
        stack.callback(readiness.cancel)
        figures = asyncio.create_task(measure_kafka("stager", lambda: consumer), name="kafka figures")
        stack.callback(figures.cancel)
        work = asyncio.create_task(_stage(settings, consumer, group, indexer), name="stage")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("stopping: finishing what is under way")
            work.cancel()
        stopped.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await work
        except StuckError as error:
            log.error("%s; ending, to be started again", error)
            # Not by unwinding: tasks of a client that hangs may not end. What was staged is committed.
            os._exit(1)
    log.info("stopped")


async def _stage(
    settings: StagerSettings, consumer: AIOKafkaConsumer, group: GroupMember, indexer: RejectedIndexer
) -> None:
    """Wait for the database and the broker, then stage and index until cancelled.

    Raises:
        StuckError: see `GroupMember.watch`.
    """
    indexing: asyncio.Task[None] | None = None
    try:
        await wait_until_migrated(settings.database_url)
        await wait_for_topics(
            settings.kafka_servers(settings.kafka),
            {settings.touchpoints_topic: settings.partitions, settings.rejected_topic: 1},
            replication_factor=settings.replication_factor,
            min_insync_replicas=settings.min_insync_replicas,
            retention_hours=settings.log_retention_hours,
        )
        consumer.subscribe([settings.touchpoints_topic], listener=group)
        await consumer.start()
        indexing = asyncio.create_task(indexer.run(), name="rejected index")
        await group.watch()
    finally:
        if indexing is not None:
            indexing.cancel()
            await asyncio.wait([indexing], timeout=STOP_SECONDS)
        await group.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consumer.stop(), STOP_SECONDS)


def _stop_on_signals() -> asyncio.Event:
    """Returns an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _health_server(settings: StagerSettings, checks: dict[str, health.Check]) -> EmbeddedServer:
    """Returns the server of /healthz, /readyz and, unless it has a port of its own, /metrics."""
    registry = None if settings.metrics_port else lambda: STAGER_REGISTRY
    app = Starlette(routes=health.routes(checks, registry))
    limit_connections(settings, lambda reason: PORT_REFUSED.labels(reason).inc())
    return EmbeddedServer(port_config(app, settings, lifespan="off"))
