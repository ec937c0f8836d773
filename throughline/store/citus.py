"""Where a server has Citus: which tables are spread over its nodes, by which column, and which stay whole.

Tables that are partitioned by hash here are distributed there by the same column, all together, so that equal digests
lie on one node. All others stay on the coordinator, known to Citus, so that they commit together with the shards.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import MetaData, Table, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from throughline.store.metadata import metadata

FIRST = "touchpoints"
"""The table with whose shards those of the others lie."""
SHARDS_PER_WORKER = 4
FEWEST_SHARDS = 8
CACHED_CONNECTIONS = 16
"""Connections that each session of the coordinator keeps open to a worker: about a stager's concurrent statements."""

_VERSION = text("SELECT extversion FROM pg_extension WHERE extname = 'citus'")
_WORKERS = text("SELECT count(*) FROM citus_get_active_worker_nodes()")
_LAID_OUT = text("""
    SELECT c.relname FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid
    WHERE c.relnamespace = current_schema()::regnamespace
""")
_STORAGE = text("""
    SELECT DISTINCT p.relname, o.option
    FROM pg_inherits i
    JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p' AND p.relnamespace = current_schema()::regnamespace
    JOIN pg_class l ON l.oid = i.inhrelid, unnest(l.reloptions) AS o(option)
    ORDER BY 1, 2
""")
_PARTITIONED = text("""
    SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace = current_schema()::regnamespace
""")


def distribution_columns() -> dict[str, str]:
    """Returns the column by which each table is spread that is; the first is the one that the others lie with."""
    columns = {}
    for table in metadata.sorted_tables:
        if partitioned_by := table.dialect_options["postgresql"]["partition_by"]:
            column = re.fullmatch(r"HASH \((\w+)\)", partitioned_by)
            assert column is not None, table.name
            columns[table.name] = column[1]
    return {FIRST: columns.pop(FIRST), **columns}


def whole_tables() -> list[str]:
    """Returns the tables that stay on the coordinator."""
    return sorted(metadata.tables.keys() - distribution_columns().keys())


async def tables_to_lay_out(connection: AsyncConnection) -> list[str]:
    """Returns the tables that Citus does not know yet; none where there is no Citus."""
    if await connection.scalar(_VERSION) is None:
        return []
    laid_out = set(await connection.scalars(_LAID_OUT))
    return [name for name in (*distribution_columns(), *whole_tables()) if name not in laid_out]


async def lay_out(connection: AsyncConnection, tables: Sequence[str]) -> str:
    """Spread those of `tables` that are to be, and make the others known to Citus; returns a sentence that says so.

    If one has rows, all stay where they are: moving rows takes long, so an operator decides when.
    """
    spread = [name for name in distribution_columns() if name in tables]
    for name in spread:
        if await connection.scalar(text(f"SELECT EXISTS (SELECT FROM {name})")):
            return f"the server has Citus, but {name} has rows: all tables stay on this node (docs/scaling.md)"
    partitioned = set(await connection.scalars(_PARTITIONED))
    storage: dict[str, list[str]] = {}
    for name, option in await connection.execute(_STORAGE):
        storage.setdefault(name, []).append(option)
    shards = max(FEWEST_SHARDS, SHARDS_PER_WORKER * (await connection.scalar(_WORKERS) or 0))
    for statement in (
        *rebuilding([name for name in spread if name in partitioned], storage),
        *distributing(tables, shards),
    ):
        await connection.exec_driver_sql(statement)
    return f"Citus: {len(spread)} tables are spread over {shards} shards, {len(tables) - len(spread)} stay whole"


def rebuilding(tables: Sequence[str], storage: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields the statements that make partitioned, empty tables anew in one piece: shards take the place of partitions.

    `storage` has the options of each table's partitions, which the new table gets.
    """
    for name in tables:
        whole = metadata.tables[name].to_metadata(MetaData())
        whole.dialect_options["postgresql"]["partition_by"] = None
        yield f"DROP TABLE {name}"
        yield from _creating(whole)
        if options := storage.get(name):
            yield f"ALTER TABLE {name} SET ({', '.join(options)})"


def _creating(table: Table) -> Iterator[str]:
    # The driver's own: another one would double each percent sign.
    driver = dialect()  # type: ignore[no-untyped-call]
    yield str(CreateTable(table).compile(dialect=driver)).strip()
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield str(CreateIndex(index).compile(dialect=driver)).strip()


def distributing(tables: Sequence[str], shards: int) -> Iterator[str]:
    """Yields the statements by which Citus comes to know tables."""
    for name, column in distribution_columns().items():
        if name in tables:
            near = f"shard_count => {shards}" if name == FIRST else f"colocate_with => '{FIRST}'"
            yield f"SELECT create_distributed_table('{name}', '{column}', {near})"
    for name in whole_tables():
        if name in tables:
            yield f"SELECT citus_add_local_table_to_metadata('{name}')"
    yield (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET citus.max_cached_conns_per_worker = "
        f"{CACHED_CONNECTIONS}', current_database()); END $$"
    )
