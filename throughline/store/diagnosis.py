"""What a person asks a database first: its version, its clock, its size, how full it is of sessions."""

from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.schema.operations import offsets


class ServerState(NamedTuple):
    """A PostgreSQL server, and the database of this session."""

    version: str
    version_number: int
    """Such as 180001."""
    clock_us: int
    database_bytes: int
    sessions: int
    max_sessions: int


class PartitionState(NamedTuple):
    """How far a partition is staged."""

    partition: int
    next_offset: int
    watermark_us: int


_SERVER = text("""
    SELECT current_setting('server_version'), current_setting('server_version_num')::int,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_database_size(current_database()),
           (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
           current_setting('max_connections')::int
""")


async def read_server(connection: AsyncConnection) -> ServerState:
    """Returns the state of the server."""
    return ServerState(*(await connection.execute(_SERVER)).one())


async def read_partitions(connection: AsyncConnection, topic: str) -> list[PartitionState]:
    """Returns how far each partition of a topic is staged, those that never were left out."""
    columns = (offsets.c.partition, offsets.c.next_offset, offsets.c.through_us)
    rows = await connection.execute(select(*columns).where(offsets.c.topic == topic).order_by(offsets.c.partition))
    return [PartitionState(*row) for row in rows]
