"""A backup taken under traffic and restored: what it lacks is staged again from Kafka, and the state is exact."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.support.copied_server import CopiedServer
from tests.support.shop import expect, send, shop_log, staged_through
from tests.support.stack import Stack, until
from throughline.local import LocalPostgres

EVENTS = 4_000


class Archive:
    """PostgreSQL's log, received by another process into a folder, up to the moment at which it is stopped."""

    def __init__(self, server: CopiedServer, primary: LocalPostgres) -> None:
        self.folder = server.folder.with_name(f"{server.folder.name}-wal")
        self.folder.mkdir()
        self._url = primary.url
        words = [f"--dbname={primary.url}", f"--directory={self.folder}", "--synchronous", "--no-loop"]
        self._receiving = server.program("pg_receivewal", *words)

    async def start(self) -> None:
        await self._receiving.start()

        async def receives() -> bool:
            return any(file.suffix == ".partial" for file in self.folder.iterdir())

        await until(receives, what=lambda: f"the archive:\n{self._receiving.tail(20)}")

    async def stop(self) -> None:
        """Stop once all that is written by now has arrived; the last segment counts as far as it is filled."""
        written = await fetch(self._url, "SELECT pg_current_wal_flush_lsn()::text")

        async def has_arrived() -> bool:
            flushed = f"SELECT bool_or(flush_lsn >= '{written}') FROM pg_stat_replication"
            return bool(await fetch(self._url, f"{flushed} WHERE application_name = 'pg_receivewal'"))

        await until(has_arrived, what=lambda: f"the archive:\n{self._receiving.tail(20)}")
        await self._receiving.stop()
        for file in self.folder.glob("*.partial"):
            file.rename(file.with_suffix(""))


@pytest.fixture
async def copy(postgres: LocalPostgres, stack: Stack) -> AsyncIterator[CopiedServer]:
    server = CopiedServer(postgres, "restored")
    yield server
    await server.stop()


async def fetch(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def facts(url: str) -> int:
    return int(await fetch(url, "SELECT count(*) FROM touchpoints"))


async def test_a_restored_database_goes_on_from_kafka(
    stack: Stack, postgres: LocalPostgres, copy: CopiedServer
) -> None:
    archive = Archive(copy, postgres)
    await archive.start()
    stager = await stack.start("stager", BATCH_RECORDS="100")
    log = shop_log(stack, EVENTS, customers=200)
    third = len(log) // 3

    async def has(events: int) -> bool:
        return await facts(stack.database) >= events

    traffic = asyncio.create_task(send(stack, log[: 2 * third]))
    try:
        await until(lambda: has(1), seconds=90, what="the first facts")
        await copy.copy("--wal-method=none")
        await traffic
        await until(lambda: has(third), seconds=90, what="facts after the base backup")
    finally:
        await archive.stop()
    await send(stack, log[2 * third :])
    await until(lambda: has(EVENTS), seconds=90, what="facts that only the lost server had")
    await stager.child.stop()

    (copy.folder / "recovery.signal").touch()
    await copy.serve(restore_command=f"cp {archive.folder}/%f %p")
    stack.database = copy.url_of(stack.database)

    async def has_recovered() -> bool:
        return not await fetch(stack.database, "SELECT pg_is_in_recovery()")

    await until(has_recovered, seconds=90, what="the end of the archive")
    assert third <= await facts(stack.database) < EVENTS
    await stack.start("stager")
    await staged_through(stack, seconds=120)
    await expect(stack, log)
