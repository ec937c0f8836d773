"""The HTTP ports of all services: uvicorn with the same guards, as a process's main work or beside it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import uvicorn

from throughline.kit.connection_limits import LimitedHttpProtocol
from throughline.kit.memory import Memory
from throughline.kit.settings import ServiceSettings


def port_config(
    app: Any, settings: ServiceSettings, *, http: type[LimitedHttpProtocol] = LimitedHttpProtocol, **options: Any
) -> uvicorn.Config:
    """Returns the configuration of a port that strangers may reach: its connections have limits, see
    `limit_connections`, and no answer is taken for another type than it says."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=http,
        ws="none",
        headers=[("X-Content-Type-Options", "nosniff")],
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        log_level=settings.log_level,
        **options,
    )


def limit_connections(settings: ServiceSettings, on_refused: Callable[[str], None]) -> Memory:
    """Set the limits of this process's connections, before it listens; returns the memory that they share.

    `on_refused` is called with the code of each refused request or connection.
    """
    limits = LimitedHttpProtocol
    limits.head_seconds, limits.body_seconds = settings.head_seconds, settings.body_seconds
    limits.max_connections = settings.max_connections
    limits.memory = Memory(settings.memory_bytes)
    limits.on_refused = on_refused
    return limits.memory


TICK_SECONDS = 1.0
"""Time after which uvicorn renews the date in its answers."""


class EmbeddedServer(uvicorn.Server):
    """Serves health and metrics beside a process's main work."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._is_over = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait until the server is to exit. Uvicorn's own looks ten times a second, even in an idle process."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 10
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), TICK_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield

    @contextlib.asynccontextmanager
    async def running(self, sockets: list[socket.socket] | None = None) -> AsyncIterator[None]:
        """Serve while the block runs, on these sockets or on the port of the configuration.

        Raises:
            RuntimeError: the port is in use.
        """
        task = asyncio.create_task(_serve(self, sockets), name="embedded server")
        try:
            while not self.started:
                if task.done():
                    raise RuntimeError(f"cannot listen on {self.config.host}:{self.config.port}; choose another PORT")
                await asyncio.sleep(0.01)
            yield
        finally:
            self.should_exit = True
            self._is_over.set()
            await task


async def _serve(server: uvicorn.Server, sockets: list[socket.socket] | None) -> None:
    # uvicorn exits the process when it cannot bind; the caller decides here.
    with contextlib.suppress(SystemExit):
        await server.serve(sockets)
