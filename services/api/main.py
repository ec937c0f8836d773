"""Composition root: settings -> database -> readers and feeds -> app -> server."""

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from types import FrameType

import uvicorn

from services.api.app import create_app
from services.api.live.feeds import Feeds
from services.api.shared.context import Readers
from services.api.shared.database import Database
from throughline.kit import logs
from throughline.kit.settings import ApiSettings, load_or_exit
from throughline.store.engine.pool import create_engine
from throughline.store.migrate import MigrateError

log = logging.getLogger(__name__)

POOL_SIZE = 5
STATEMENT_SECONDS = 8.0
DRAIN_SECONDS = 10


def main() -> None:
    """Serve until SIGTERM or SIGINT, then drain; exits 0, or 1 when the database cannot be used."""
    settings = load_or_exit(ApiSettings)
    logs.configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        sys.exit(runner.run(serve(settings)))


async def serve(settings: ApiSettings) -> int:
    """The service's life; gives the process's exit status."""
    engine = create_engine(
        settings.database_url,
        pool_size=POOL_SIZE,
        application_name="throughline api",
        statement_seconds=STATEMENT_SECONDS,
    )
    database = Database(engine, settings.database_url)
    readers = Readers(database, settings.touchpoints_topic)
    feeds = Feeds(readers.counts)
    app = create_app(readers, feeds, page_token=settings.page_token)
    server = Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level=settings.log_level,
            server_header=False,
            proxy_headers=False,  # the page's token depends on who really connects
            timeout_graceful_shutdown=DRAIN_SECONDS,
        ),
        feeds,
    )
    # Listening starts at once: /healthz answers, /readyz says what is waited for.
    serving = asyncio.create_task(server.serve())
    preparing = asyncio.create_task(database.prepare())
    status = 0
    try:
        await asyncio.wait({serving, preparing}, return_when=asyncio.FIRST_COMPLETED)
        if preparing.done() and (error := preparing.exception()) is not None:
            if not isinstance(error, MigrateError):
                raise error
            log.error("%s", error)
            status = 1
            server.stop()
        await serving
    finally:
        preparing.cancel()
        with suppress(asyncio.CancelledError, MigrateError):
            await preparing
        await engine.dispose()
    return status


class Server(uvicorn.Server):
    """A server whose streams end when it is told to stop, and whose process then exits 0 rather than by the signal."""

    def __init__(self, config: uvicorn.Config, feeds: Feeds) -> None:
        super().__init__(config)
        self._feeds = feeds
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Stop taking requests and end the streams; requests in hand are answered."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._feeds.close)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.stop()
