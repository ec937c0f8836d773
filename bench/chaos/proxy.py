"""A TCP proxy between a service and its database that can cut the line, or let everything on it vanish."""

import asyncio
import contextlib
from typing import Self

from throughline.local.ports import HOST

READ_BYTES = 1 << 16


class Line:
    """A proxy on `port` to `target_port`. Whole, until it is told otherwise."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._end_connections()

    async def cut(self) -> None:
        """End all connections, and each new one at once."""
        self._is_cut = True
        await self._end_connections()

    def swallow(self) -> None:
        """Pass nothing on any more; connections stay open."""
        self._flows.clear()

    async def mend(self) -> None:
        """Pass everything on. What was swallowed on open connections is lost: they end."""
        if not self._flows.is_set():
            await self._end_connections()
        self._is_cut = False
        self._flows.set()

    async def _end_connections(self) -> None:
        connections = [*self._connections]
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._is_cut:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(HOST, self._target_port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, their_writer))
                both.create_task(self._pass_on(their_reader, writer))
        except* (OSError, EOFError):
            pass
        finally:
            their_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until a side ends, which ends the other direction too."""
        while data := await reader.read(READ_BYTES):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
        raise EOFError
