"""The stager process: settings, clients, lanes, health; until SIGTERM."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Sequence

import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from starlette.applications import Starlette

from services.stager.consume.group import Member, StuckError
from services.stager.consume.partition import Shared
from services.stager.rejected.index import Index
from services.stager.stage.models import Workspaces
from throughline.kit import health, logs
from throughline.kit.kafka import create_group_consumer, create_producer, require_compiled_records, wait_for_topics
from throughline.kit.metrics import REGISTRY
from throughline.kit.server import EmbeddedServer
from throughline.kit.settings import StagerSettings
from throughline.store.engine.health import database_check
from throughline.store.engine.pool import create_engine
from throughline.store.migrate import upgrade
from throughline.wire.codec import Rejected, encode_rejected

log = logging.getLogger("stager")

TRANSACTIONS = 4
"""Transactions under way at once: enough to overlap decoding with PostgreSQL, few enough for its cores."""
FETCH_WAIT_MS = 50
"""How long the broker may hold a fetch: a partition that is not part of the fetch under way waits as long."""
COLLECTOR_THRESHOLDS = (100_000, 20, 20)
"""A batch makes some hundred thousand objects without cycles; reference counts free them when it is staged."""
STOP_SECONDS = 10.0
"""How long a Kafka client may take to say goodbye."""


async def run(settings: StagerSettings) -> None:
    """Stage until SIGTERM or SIGINT, then drain."""
    require_compiled_records()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = create_engine(settings.database_url, pool_size=TRANSACTIONS + 3, application_name="throughline-stager")
    # What is loaded by now stays: the collector need not look at it again while batches come and go.
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    consumer = create_group_consumer(
        settings.kafka,
        settings.consumer_group,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    rejections = Rejections(settings)
    member = Member(
        Shared(
            consumer,
            engine,
            batch_records=settings.batch_records,
            transactions=TRANSACTIONS,
            workspaces=Workspaces(engine),
            send_rejected=rejections.send,
        )
    )

    rejected = create_group_consumer(settings.kafka, f"{settings.consumer_group}-rejected")
    index = Index(rejected, engine, settings.rejected_topic)

    async def lanes() -> str:
        return member.trouble

    checks = {"kafka": lanes, "database": database_check(engine)}
    app = Starlette(routes=health.routes(checks, lambda: REGISTRY))
    server = EmbeddedServer(
        uvicorn.Config(app, host=settings.host, port=settings.port, log_config=None, lifespan="off")
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(rejections.close)
        await stack.enter_async_context(server.running())
        work = asyncio.create_task(_work(settings, consumer, member, index), name="work")
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


async def _work(settings: StagerSettings, consumer: AIOKafkaConsumer, member: Member, index: Index) -> None:
    indexing: asyncio.Task[None] | None = None
    try:
        await upgrade(settings.database_url, wait_seconds=float("inf"))
        await wait_for_topics(
            settings.kafka,
            {settings.touchpoints_topic: settings.partitions, settings.rejected_topic: 1},
            replication_factor=settings.replication_factor,
            min_insync_replicas=settings.min_insync_replicas,
        )
        consumer.subscribe([settings.touchpoints_topic], listener=member)
        await consumer.start()
        indexing = asyncio.create_task(index.run(), name="rejected index")
        await member.watch()
    finally:
        if indexing is not None:
            indexing.cancel()
            await asyncio.wait([indexing], timeout=STOP_SECONDS)
        await member.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consumer.stop(), STOP_SECONDS)


class Rejections:
    """Sends what cannot be staged to the rejected topic; connects when there is something to send."""

    def __init__(self, settings: StagerSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def send(self, rejected: Sequence[Rejected]) -> None:
        """Return when all in-sync replicas have them.

        Raises:
            KafkaError: they may not have arrived; send them again.
        """
        if self._producer is None:
            producer = create_producer(self._settings.kafka)
            await producer.start()
            self._producer = producer
        sent = [
            await self._producer.send(self._settings.rejected_topic, encode_rejected(one), key=one.origin.encode())
            for one in rejected
        ]
        await asyncio.gather(*sent)

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._producer is not None:
            await self._producer.stop()


def main(settings: StagerSettings) -> None:
    """Run to the end."""
    logs.configure(settings.log_level)
    uvicorn_loop = uvicorn.Config(app="", loop="auto", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
        runner.run(run(settings))
