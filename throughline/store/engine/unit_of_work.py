"""The only place a transaction begins, commits and rolls back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yields a connection in a READ COMMITTED transaction: committed at the block's end, rolled back when it raises."""
    async with engine.begin() as connection:
        yield connection


@asynccontextmanager
async def part_of(connection: AsyncConnection) -> AsyncIterator[None]:
    """Yields within an open transaction; what fails there leaves the transaction as it was."""
    async with connection.begin_nested():
        yield


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read with: each statement is a snapshot of its own, and costs one round trip.

    What must agree with each other is read in one statement, or with `consistent_reading`. Nothing is written here.
    """
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def consistent_reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read with, all of whose statements see one state of the database."""
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
