"""A bare connection to a service, for what no HTTP client would send."""

import asyncio
import contextlib

import httpx

from tests.support.stack import Service

SECONDS = 30.0


class Wire:
    """A bare connection."""

    def __init__(self, service: Service) -> None:
        url = httpx.URL(service.url)
        self._address = (url.host, url.port)

    async def __aenter__(self) -> "Wire":
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def rest(self) -> bytes:
        """All that still comes."""
        async with asyncio.timeout(SECONDS):
            return await self._reader.read()

    async def gone(self) -> None:
        """Go on sending until the service has closed the connection."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                while True:
                    await self.send(b"x")
                    await asyncio.sleep(0.05)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The answer, once the service has closed the connection. Status 0: closed without one."""
        text = await self.rest()
        if not text:
            return 0, {}, b""
        head, _, body = text.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), headers, body
