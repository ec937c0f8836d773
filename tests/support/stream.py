"""Clients of the api's live stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.stack import Service, Stack

STREAM = "/v1/phases/counts/stream"


class Events:
    """The blocks of an open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = self._split()

    async def _split(self) -> AsyncIterator[dict[str, str]]:
        block: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                block[name or "comment"] = value
            else:
                yield block
                block = {}

    async def next(self) -> dict[str, str]:
        return await asyncio.wait_for(anext(self._blocks), 30)

    async def counts(self) -> httpx.Response:
        """The next counts event's data, as an answer to read JSON from."""
        while True:
            block = await self.next()
            if block.get("event") == "counts":
                return httpx.Response(200, headers={"etag": block["id"]}, text=block["data"])

    async def end(self) -> None:
        async with asyncio.timeout(30):
            async for _ in self._blocks:
                pass


@asynccontextmanager
async def following(stack: Stack, service: Service, seen: str = "", **which: str) -> AsyncIterator[Events]:
    headers = {"Last-Event-ID": seen} if seen else {}
    async with (
        stack.api(service) as client,
        client.stream("GET", STREAM, params=which, headers=headers, timeout=30) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Events(response)
