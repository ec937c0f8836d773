"""A server beside a process's main work: it renews its date, and ends as soon as it is told."""

import asyncio

import pytest
import uvicorn
from starlette.applications import Starlette

from tests.support.stack import until
from throughline.kit import server
from throughline.kit.server import EmbeddedServer


def config() -> uvicorn.Config:
    return uvicorn.Config(Starlette(), host="127.0.0.1", port=0, log_config=None, lifespan="off")


async def test_it_ends_at_once_however_rarely_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TICK_SECONDS", 3_600.0)
    async with asyncio.timeout(60), EmbeddedServer(config()).running():
        pass


async def test_each_look_renews_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TICK_SECONDS", 0.001)
    embedded = EmbeddedServer(config())

    async def is_renewed() -> bool:
        return bool(embedded.server_state.default_headers)

    async with embedded.running():
        for _ in range(3):
            embedded.server_state.default_headers = []
            await until(is_renewed, what="another look")
