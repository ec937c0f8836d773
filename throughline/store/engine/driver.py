"""Statements run on the driver itself: rows come as its records, without an object of SQLAlchemy for each."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
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
        driver = await _driver_of(connection)
        rows: list[asyncpg.Record] = await driver.fetch(self.sql, *self.values(parameters))
        return rows

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Returns the values of the statement's parameters, in their order."""
        return [self._fixed[name] if name in self._fixed else parameters[name] for name in self._names]


Write = tuple[DriverStatement, Mapping[str, Any]]
"""A statement that writes, and its parameters."""


async def write_together(connection: AsyncConnection, writes: Sequence[Write]) -> None:
    """Run statements that write a table each, none of which needs the others, as one: one round trip and one plan.

    Raises:
        asyncpg.PostgresError: as `DriverStatement.fetch`.
    """
    if writes:
        values = [value for statement, parameters in writes for value in statement.values(parameters)]
        driver = await _driver_of(connection)
        await driver.fetch(_together(*(statement.sql for statement, _ in writes)), *values)


@lru_cache(maxsize=256)
def _together(*statements: str) -> str:
    parts: list[str] = []
    count = 0
    for number, sql in enumerate(statements):
        before = count

        def renumbered(parameter: re.Match[str], before: int = before) -> str:
            return f"${before + int(parameter[1])}"

        parts.append(f"write_{number} AS ({_PARAMETER.sub(renumbered, sql)})")
        count += max((int(parameter) for parameter in _PARAMETER.findall(sql)), default=0)
    return f"WITH {', '.join(parts)} SELECT 1"


_PARAMETER = re.compile(r"\$(\d+)")


async def _driver_of(connection: AsyncConnection) -> Any:
    """Returns the driver's connection, in a transaction unless it is for reading."""
    sync = connection.sync_connection
    assert sync is not None  # it is in use
    pooled = sync.connection
    driver = pooled.driver_connection
    if not driver.is_in_transaction() and sync.get_execution_options().get("isolation_level") != "AUTOCOMMIT":  # type: ignore[union-attr]
        # SQLAlchemy begins a transaction with its own first statement; without one, locks would not be held.
        try:
            await pooled.dbapi_connection._start_transaction()  # type: ignore[union-attr]
        except Exception as error:
            raise error.__cause__ or error from None
    return driver
