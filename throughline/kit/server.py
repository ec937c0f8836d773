"""An HTTP server beside the main work of a process, which handles its signals itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator

import uvicorn


class EmbeddedServer(uvicorn.Server):
    """Serves health and metrics beside a process's main work."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the block runs.

        Raises:
            RuntimeError: the port is in use.
        """
        task = asyncio.create_task(_serve(self), name="health server")
        try:
            while not self.started:
                if task.done():
                    raise RuntimeError(f"cannot listen on {self.config.host}:{self.config.port}; choose another PORT")
                await asyncio.sleep(0.01)
            yield
        finally:
            self.should_exit = True
            await task


async def _serve(server: uvicorn.Server) -> None:
    # uvicorn exits the process when it cannot bind; the caller decides here.
    with contextlib.suppress(SystemExit):
        await server.serve()
