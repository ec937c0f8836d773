"""Statements whose many rows come straight from the driver: as records, without an object of SQLAlchemy's per row."""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection


class DriverStatement:
    """A statement compiled once, run on the driver's connection within the transaction that is open there."""

    def __init__(self, statement: Executable) -> None:
        compiled = statement.compile(dialect=dialect())  # type: ignore[attr-defined,no-untyped-call]
        self.sql = str(compiled)
        self._names: list[str] = compiled.positiontup or []
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    async def fetch(self, connection: AsyncConnection, parameters: Mapping[str, Any]) -> list[asyncpg.Record]:
        """The statement's rows.

        Raises:
            asyncpg.PostgresError: see `throughline.store.engine.errors`.
        """
        values = [self._fixed[name] if name in self._fixed else parameters[name] for name in self._names]
        driver = (await connection.get_raw_connection()).driver_connection
        if not driver.is_in_transaction() and not _commits_by_itself(connection):  # type: ignore[union-attr]
            # SQLAlchemy begins a transaction with its own first statement; before it, locks would not be kept.
            await connection.exec_driver_sql("SELECT 1")
        rows: list[asyncpg.Record] = await driver.fetch(self.sql, *values)  # type: ignore[union-attr]
        return rows


def _commits_by_itself(connection: AsyncConnection) -> bool:
    sync = connection.sync_connection
    return sync is not None and sync.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
