"""Composition root: settings -> database -> context and feeds -> app -> server."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

import uvicorn
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.app import create_app
from services.api.live.feeds import Feeds
from services.api.persons.claims import ClaimLog
from services.api.phases.routes import live_counts
from services.api.shared.context import ApiContext
from services.api.shared.database import MAX_WAITING, STATEMENT_SECONDS, Database
from services.api.shared.quotas import RequestRate
from services.api.shared.replica import Replica
from services.api.shared.shares import Shares
from services.api.tokens import Tokens
from throughline.kit import logs
from throughline.kit.kafka import log_seconds
from throughline.kit.loop_lag import measure_loop_lag
from throughline.kit.metrics import API_LOOP_LAG_SECONDS, API_REGISTRY, PORT_REFUSED, measure_pool, set_build_info
from throughline.kit.metrics_port import serving_metrics
from throughline.kit.readiness import measure_readiness
from throughline.kit.server import limit_connections, port_config
from throughline.kit.settings import ApiSettings, load_or_exit
from throughline.store.engine.pool import count_in_use, create_engine
from throughline.store.migrate import MigrateError

log = logging.getLogger(__name__)

POOL_SIZE = 6
ACCESS_POOL_SIZE = 2
"""Connections of the pool for tokens, health and administration."""
DRAIN_SECONDS = 10
THREAD_SECONDS = 0.001
"""Time after which a thread that makes a long answer lets the event loop go on. Python's default is five times that."""


COLLECTOR_THRESHOLDS = (50_000, 20, 20)
"""A statement's rows are ten thousands of objects without cycles; reference counts free them with the answer."""


def main() -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and exit 0; 1 when the database cannot be used."""
    settings = load_or_exit(ApiSettings)
    logs.configure(settings.log_level)
    sys.setswitchinterval(THREAD_SECONDS)
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        sys.exit(runner.run(serve(settings)))


async def serve(settings: ApiSettings) -> int:
    """Run the service until it is told to stop; returns the exit status of the process."""
    set_build_info("api", settings.build_commit)
    questions = _create_pool("api", settings.database_url, POOL_SIZE)
    access = _create_pool("api access", settings.database_url, ACCESS_POOL_SIZE)
    replica: Replica | None = None
    if settings.read_database_url is not None:
        copy = _create_pool("api replica", settings.read_database_url, POOL_SIZE)
        replica = Replica(copy, access, settings.touchpoints_topic, settings.read_lag_seconds)
    shares = Shares(slots=POOL_SIZE, each=settings.workspace_statements, queue=MAX_WAITING)
    database = Database(questions, access, settings.database_url, shares, replica)
    tokens = Tokens(database.read_tokens, database.write_last_uses)
    claims = ClaimLog(settings.kafka_servers(settings.kafka), settings.touchpoints_topic)
    context = ApiContext(
        database,
        settings.touchpoints_topic,
        tokens,
        RequestRate(settings.token_requests),
        claims,
        log_seconds(settings.log_retention_hours),
        ingest_url=settings.ingest_url,
    )
    feeds = Feeds(partial(live_counts, context), each=settings.token_streams)
    app = create_app(context, feeds, has_metrics=settings.metrics_port is None)
    limit_connections(settings, lambda reason: PORT_REFUSED.labels(reason).inc())
    server = Server(
        port_config(app, settings, lifespan="off", timeout_graceful_shutdown=DRAIN_SECONDS),
        feeds.close,
    )
    # The server listens at once: /healthz answers, and /readyz says what the service waits for.
    serving = asyncio.create_task(server.serve())
    preparing = asyncio.create_task(database.prepare())
    lag = asyncio.create_task(measure_loop_lag(API_LOOP_LAG_SECONDS.observe), name="loop lag")
    readiness = asyncio.create_task(measure_readiness("api", {"database": database.check}), name="readiness")
    following = None if replica is None else asyncio.create_task(replica.follow(), name="replica")
    # What is loaded by now stays: a look at all of it takes longer than most answers.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    status = 0
    try:
        async with serving_metrics(settings, lambda: API_REGISTRY):
            await asyncio.wait({serving, preparing}, return_when=asyncio.FIRST_COMPLETED)
            if preparing.done() and (error := preparing.exception()) is not None:
                if not isinstance(error, MigrateError):
                    raise error
                log.error("%s", error)
                status = 1
                server.stop()
            async with tokens.writing_uses():
                await serving
    finally:
        lag.cancel()
        readiness.cancel()
        if following is not None:
            following.cancel()
        preparing.cancel()
        with suppress(asyncio.CancelledError, MigrateError):
            await preparing
        await claims.close()
        await questions.dispose()
        await access.dispose()
        if replica is not None:
            await replica.engine.dispose()
    return status


def _create_pool(name: str, url: str, size: int) -> AsyncEngine:
    pool = create_engine(url, pool_size=size, application_name="throughline api", statement_seconds=STATEMENT_SECONDS)
    measure_pool(name, size, partial(count_in_use, pool))
    return pool


class Server(uvicorn.Server):
    """A server that ends its streams when it stops, and whose process then exits 0 rather than by the signal."""

    def __init__(self, config: uvicorn.Config, close_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._close_streams = close_streams
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Take no more requests and end the streams; requests under way are answered."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._close_streams)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn calls this on SIGTERM and SIGINT. A second SIGINT does not wait for requests under way."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.stop()
