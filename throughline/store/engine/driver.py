"""Statements run on the driver itself: rows come as its records, without an object of SQLAlchemy for each."""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection


class DriverStatement:
    """A statement that is compiled once and runs on the driver's connection, within its open transaction."""

    def __init__(self, statement: Executable) -> None:
        compiled = statement.compile(dialect=dialect())  # type: ignore[attr-defined,no-untyped-call]
        self.sql = str(compiled)
        self._names: list[str] = compiled.positiontup or []
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    async def fetch(self, connection: AsyncConnection, parameters: Mapping[str, Any]) -> list[asyncpg.Record]:
        """Returns the statement's rows.

        Raises:
            asyncpg.PostgresError: `throughline.store.engine.errors` says what it means.
        """
        values = [self._fixed[name] if name in self._fixed else parameters[name] for name in self._names]
        driver = (await connection.get_raw_connection()).driver_connection
        if not driver.is_in_transaction() and not _is_autocommit(connection):  # type: ignore[union-attr]
            # SQLAlchemy begins a transaction with its own first statement; without one, locks would not be held.
            await connection.exec_driver_sql("SELECT 1")
        rows: list[asyncpg.Record] = await driver.fetch(self.sql, *values)  # type: ignore[union-attr]
        return rows


def _is_autocommit(connection: AsyncConnection) -> bool:
    sync = connection.sync_connection
    return sync is not None and sync.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
