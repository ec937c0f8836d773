"""The migrated schema is that of `tables.py` and keeps the rules of `docs/store.md`, by what the catalog says."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from throughline.store.engine import create_engine
from throughline.store.tables import HASH_PARTITIONS, metadata
from throughline.store.unit_of_work import transaction

DISTRIBUTED = {"touchpoints": "actor", "journeys": "customer", "transitions": "customer"}
ONE_NODE = {"phase_counts", "offsets"}

INDEXES = {
    ("touchpoints", "actor, message"),
    ("journeys", "customer, model"),
    ("journeys", "model, phase, customer"),
    ("transitions", "customer, model, number"),
    ("phase_counts", "model, shard, source, channel, phase"),
    ("offsets", "topic, partition"),
    ("workspaces", "id"),
    ("workspaces", "name"),
    ("sources", "id"),
    ("sources", "workspace, name"),
    ("write_keys", "id"),
    ("write_keys", "digest"),
    ("read_tokens", "id"),
    ("read_tokens", "digest"),
    ("models", "id"),
    ("models", "workspace, name"),
}
"""Every index there is. None holds a column that changes with every event: ask that of a new one first."""

CHANGES_WITH_EVENTS = {
    "journeys": {"last_us", "last_message", "last_actor", "transitions", "memory", "entered_us", "cycle", "first_us"},
    "phase_counts": {"active", "lapsed", "entered", "left"},
    "offsets": {"next_offset", "digest", "through_us"},
}


@pytest.fixture
async def catalog(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def rows(catalog: asyncpg.Connection, query: str) -> set[Any]:
    found = [tuple(row) for row in await catalog.fetch(query)]
    return {row[0] if len(row) == 1 else row for row in found}


OURS = "relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"


async def test_the_migrated_schema_is_that_of_the_tables(database: str) -> None:
    engine = create_engine(database, pool_size=1)

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_object": lambda _object, name, kind, reflected, _to: (
                    not (reflected and kind == "table" and name.rpartition("_p")[0] in DISTRIBUTED)
                ),
            },
        )
        return list(compare_metadata(context, metadata))

    async with transaction(engine) as connection:
        differences = await connection.run_sync(compare)
    await engine.dispose()
    assert not differences


async def test_the_three_tables_are_hash_partitioned_by_one_column_of_one_type(catalog: asyncpg.Connection) -> None:
    found = await rows(
        catalog,
        """
        SELECT relname::text, partstrat::text, partnatts::int, attname::text, format_type(atttypid, atttypmod),
               (SELECT count(*)::int FROM pg_inherits WHERE inhparent = pg_class.oid)
        FROM pg_partitioned_table JOIN pg_class ON pg_class.oid = partrelid
        JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
        """,
    )
    assert found == {(name, "h", 1, column, "bytea", HASH_PARTITIONS) for name, column in DISTRIBUTED.items()}


async def test_every_unique_key_of_a_partitioned_table_holds_its_column(catalog: asyncpg.Connection) -> None:
    found = await rows(
        catalog,
        """
        SELECT relname::text, indexrelid::regclass::text, string_agg(attname::text, ' ')
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid AND relkind = 'p'
        JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
        WHERE indisunique GROUP BY 1, 2
        """,
    )
    assert {table for table, _, _ in found} == set(DISTRIBUTED)
    for table, index, columns in found:
        assert DISTRIBUTED[table] in columns.split(), f"{index} of {table} does not hold {DISTRIBUTED[table]}"


async def test_counts_and_offsets_stand_whole_on_one_node(catalog: asyncpg.Connection) -> None:
    kinds = await rows(
        catalog, f"SELECT relname::text, relkind::text FROM pg_class WHERE {OURS} AND relkind IN ('r', 'p')"
    )
    assert {(name, "r") for name in ONE_NODE} <= kinds


async def test_nothing_but_statements_writes(catalog: asyncpg.Connection) -> None:
    assert await rows(catalog, "SELECT tgname FROM pg_trigger") == set()
    assert await rows(catalog, "SELECT conname FROM pg_constraint WHERE contype = 'f'") == set()
    assert await rows(catalog, "SELECT rulename FROM pg_rules WHERE schemaname = 'public'") == set()


async def test_identities_are_bigint_and_given_by_the_database(catalog: asyncpg.Connection) -> None:
    found = await rows(
        catalog,
        f"""
        SELECT relname::text, attname::text, format_type(atttypid, atttypmod), attidentity::text
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE {OURS} AND relkind IN ('r', 'p') AND attnum > 0
          AND (attidentity <> '' OR pg_get_serial_sequence(relname, attname) IS NOT NULL)
        """,
    )
    identified = {"workspaces", "sources", "write_keys", "read_tokens", "models"}
    assert found == {(table, "id", "bigint", "a") for table in identified}
    assert await rows(
        catalog, "SELECT format_type(seqtypid, NULL) FROM pg_sequence JOIN pg_class ON oid = seqrelid"
    ) == {"bigint"}


async def test_there_are_these_indexes_and_no_other(catalog: asyncpg.Connection) -> None:
    found = await rows(
        catalog,
        f"""
        SELECT relname::text, (SELECT string_agg(attname, ', ' ORDER BY place)
                         FROM unnest(indkey::int2[]) WITH ORDINALITY AS key(number, place)
                         JOIN pg_attribute ON attrelid = indrelid AND attnum = number)
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        WHERE {OURS} AND NOT relispartition
        """,
    )
    assert found == INDEXES


def test_no_index_holds_what_changes_with_every_event() -> None:
    for table, columns in INDEXES:
        assert not CHANGES_WITH_EVENTS.get(table, set()) & set(columns.split(", "))


async def test_storage_settings_stand_where_rows_are(catalog: asyncpg.Connection) -> None:
    options = {
        name: set(settings)
        for name, settings in await catalog.fetch(f"SELECT relname::text, reloptions FROM pg_class WHERE {OURS}")
        if settings
    }
    leaves = {f"journeys_p{number}" for number in range(HASH_PARTITIONS)}
    assert {name for name, settings in options.items() if "fillfactor=70" in settings} == leaves
    for table in ONE_NODE:
        assert {"fillfactor=50", "autovacuum_vacuum_scale_factor=0"} <= options[table]


async def test_an_update_of_a_journey_and_of_a_count_stays_on_its_page(catalog: asyncpg.Connection) -> None:
    await catalog.execute(
        """
        INSERT INTO journeys SELECT decode(md5('1'), 'hex'), 1, 'a', 1, 1, 1, 0, 1, 'web', 0, 0, 'm', 'a', 0, '' ;
        INSERT INTO phase_counts VALUES (1, 0, 1, 'web', 1, 1, 0, 1, 0);
        """
    )
    for number in range(20):
        await catalog.execute("UPDATE journeys SET last_us = $1, last_message = $1::bigint::text", number)
        await catalog.execute("UPDATE phase_counts SET active = active + 1")
    await catalog.execute("SELECT pg_stat_force_next_flush()")
    found = await catalog.fetch(
        """
        SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables
        WHERE relname ~ '^(journeys_p.|phase_counts)$' GROUP BY relname = 'phase_counts'
        """
    )
    assert [tuple(row) for row in found] == [(20, 20), (20, 20)]
