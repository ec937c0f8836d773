"""The connection pool of a process: the settings with which Throughline talks to PostgreSQL."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

CONNECT_SECONDS = 10.0
IDLE_TRANSACTION_SECONDS = 30
CLIENT_GRACE_SECONDS = 5.0  # the server's own timeout comes first, with its own error code


def create_engine(
    database_url: str,
    *,
    pool_size: int = 5,
    application_name: str = "throughline",
    statement_seconds: float | None = 60.0,
) -> AsyncEngine:
    """Returns a pool of at most `pool_size` connections; none is opened before it is needed.

    `database_url` is a URL of libpq, as PostgreSQL's tools take it (`postgresql://` or `postgres://`, several hosts,
    `?sslmode=`, `?sslrootcert=`, `?host=/socket/folder`). A statement that runs longer than `statement_seconds` is
    cancelled; None lets it run on (migrations).

    Raises:
        ValueError: the URL has another scheme.
    """
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise ValueError(
            f"a database url starts with postgresql://, not {database_url.split('://')[0]!r}: "
            "postgresql://user:password@host:port/database"
        )
    server_settings = {
        "application_name": application_name,
        "jit": "off",  # compiling a plan costs more than running these short statements
        "statement_timeout": str(round((statement_seconds or 0) * 1000)),
        # A process that hangs or is cut off in mid-transaction must not hold its customers' locks for ever.
        "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_SECONDS * 1000),
        "tcp_keepalives_idle": "20",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "4",
    }

    async def connect() -> Any:
        return await asyncpg.connect(
            database_url,
            timeout=CONNECT_SECONDS,
            command_timeout=None if statement_seconds is None else statement_seconds + CLIENT_GRACE_SECONDS,
            max_cacheable_statement_size=0,  # prepared once, however long: one statement writes all of a round
            server_settings=server_settings,
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",  # the statements are written for it, whatever the server's default
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # the connection used last has its plans and pages at hand
        # Costs nothing after a commit; after an error or a cancelled task it frees the locks.
        pool_reset_on_return="rollback",
        # No pre-ping, which is three round trips: `_drop_closed` sees a restarted server without any.
        pool_pre_ping=False,
    )
    event.listen(engine.sync_engine, "checkout", _drop_closed)
    return engine


def count_in_use(engine: AsyncEngine) -> int:
    """Returns how many connections of the pool are in use."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


def without_password(database_url: str) -> str:
    """Returns a URL as it may be shown to people: without password and parameters."""
    parts = urlsplit(database_url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user.split(':')[0]}{at}{host}", parts.path, "", ""))


def _drop_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Replace a connection whose server has closed it, as asyncpg has seen, by a fresh one."""
    if connection.driver_connection.is_closed():
        raise exc.DisconnectionError("the server closed this connection")
