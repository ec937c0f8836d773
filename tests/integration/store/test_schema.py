"""The migrated schema is that of `tables.py` and keeps the rules of `docs/reference/store.md`, read off the catalog."""

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.journey.diff import COUNTS, Cell
from throughline.journey.lapse import NEVER
from throughline.journey.state import Journey
from throughline.store import counts, identity, journeys
from throughline.store.engine.driver import write_together
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction
from throughline.store.schema import metadata
from throughline.store.schema.operations import recent_events

HASH_PARTITIONS = 8
"""Partitions of each hash-partitioned table on plain PostgreSQL."""

DISTRIBUTED = {
    "touchpoints": "actor",
    "ids": "id",
    "links": "id",
    "rulings": "id",
    "journeys": "customer",
    "checkpoints": "customer",
    "transitions": "customer",
    "conversions": "customer",
    "bases": "actor",
    "recomputations": "customer",
}
ONE_NODE = {
    "phase_counts", "phase_history", "funnel_counts", "flow_counts", "variant_counts", "unmapped", "orphan_refunds",
    "admitted_names", "admissions", "offsets",
}  # fmt: skip
HOT = {
    "phase_counts", "phase_history", "funnel_counts", "flow_counts", "variant_counts", "offsets", "recent_events",
    "rejected_counts",
}  # fmt: skip
"""Updated by every transaction."""

INDEXES = {
    ("touchpoints", "message, actor"),
    ("touchpoints", "actor, occurred_us"),
    ("ids", "workspace, id"),
    ("ids", "root"),
    ("ids", "workspace"),  # and lower(name), which is no column
    ("links", "id, owner, by"),
    ("links", "owner"),
    ("touchpoints", "anonymous_id"),
    ("touchpoints", "actor"),
    ("rulings", "id, owner"),
    ("journeys", "customer, model"),
    ("journeys", "model, phase, entered_us, customer"),
    ("journeys", "model, last_day, customer"),
    ("journeys", "model, orders"),
    ("journeys", "look_us, customer"),
    ("bases", "actor, model"),
    ("recomputations", "customer, model"),
    ("checkpoints", "customer, model, last_us, last_place, last_message, last_actor"),
    ("horizon_slots", "workspace, slot"),
    ("transitions", "customer, model, at_us, place, message_id, actor, kind"),
    ("conversions", "customer, model, order"),
    ("costs", "workspace, dimension, day, value, currency"),
    ("conversions", "model, at_us, customer"),
    ("phase_counts", "model, shard, source, channel, phase"),
    ("phase_history", "model, step, bucket_us, shard, source, channel, phase"),
    ("funnel_counts", "model, unit, phase, day_us, source, channel, way, age, shard"),
    ("flow_counts", "model, reading, day_us, source, channel, kind, from_phase, to_phase, cycle, shard"),
    ("variant_counts", "model, day_us, source, channel, phases, outcome, shard"),
    ("unmapped", "model, shard, source, name"),
    ("orphan_refunds", "model, shard, source"),
    ("admitted_names", "kind, model, source, name"),
    ("admissions", "kind, model, source"),
    ("identity_suspects", "workspace, id"),
    ("offsets", "topic, partition"),
    ("restage_slots", "model, slot"),
    ("shares", "id"),
    ("shares", "digest"),
    ("shares", "workspace, id"),
    ("annotations", "id"),
    ("annotations", "workspace, at_us, id"),
    ("workspaces", "id"),
    ("workspaces", "name"),
    ("sources", "id"),
    ("sources", "workspace, name"),
    ("write_keys", "id"),
    ("write_keys", "digest"),
    ("read_tokens", "id"),
    ("read_tokens", "digest"),
    ("read_tokens", "session_of"),
    ("page_codes", "digest"),
    ("audit_log", "id"),
    ("models", "id"),
    ("models", "workspace, name"),
    ("sources", "app_id"),
    ("recent_events", "source, shard, slot"),
    ("erasures", "id"),
    ("erasures", "workspace, name"),
    ("erasures", "shard, id"),
    ("suppressions", "id"),
    ("suppressions", "digest, until_us"),
    ("data_requests", "id"),
    ("data_requests", "workspace, name, digest"),
    ("data_requests", "digest"),
    ("rejected", "id"),
    ("rejected", "workspace, received_us, id"),
    ("rejected", "workspace, source, received_us, id"),
    ("rejected_counts", "workspace, bucket_us, source, stage, code, name, shard"),
}
"""Every index there is. None holds a column that changes with every event: ask that of a new one first."""

PARTIAL = {
    ("models", "state = 'live'"),
    ("models", "state = 'building'"),
    ("erasures", "state <> 'done'"),
    ("read_tokens", "session_of IS NOT NULL"),
    ("touchpoints", "bot OR test) AND (user_id IS NOT NULL"),
    ("touchpoints", """attribution ~~ '%"referral_code"%'"""),
    ("journeys", "orders > 0"),
}

CHANGES_WITH_EVENTS = {
    "ids": {"is_user", "marked"},
    "journeys": {*Journey._fields, "since"} - {"phase", "entered_us"},
    "phase_counts": set(COUNTS),
    "phase_history": set(COUNTS),
    "funnel_counts": {"number"},
    "flow_counts": {"number"},
    "variant_counts": {"number"},
    "unmapped": {"events", "first_us", "last_us"},
    "orphan_refunds": {"events", "foreign_currency"},
    "admissions": {"names"},
    "identity_suspects": {"reason", "refused", "first_us", "last_us"},
    "offsets": {"next_offset", "digest", "through_us", "swept_us"},
    "recent_events": set(recent_events.c.keys()) - {"source", "shard", "slot"},
    "rejected_counts": {"events", "kept"},
    "restage_slots": {"cursor", "done", "customers", "touchpoints"},
    "horizon_slots": {"cursor", "done", "touchpoints"},
}


@pytest.fixture
async def catalog(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def rows(catalog: asyncpg.Connection, query: str) -> set[Any]:
    records = [tuple(row) for row in await catalog.fetch(query)]
    return {row[0] if len(row) == 1 else row for row in records}


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


async def test_what_grows_is_hash_partitioned_by_one_column_of_one_type(catalog: asyncpg.Connection) -> None:
    partitioned = await rows(
        catalog,
        """
        SELECT relname::text, partstrat::text, partnatts::int, attname::text, format_type(atttypid, atttypmod),
               (SELECT count(*)::int FROM pg_inherits WHERE inhparent = pg_class.oid)
        FROM pg_partitioned_table JOIN pg_class ON pg_class.oid = partrelid
        JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
        """,
    )
    assert partitioned == {(name, "h", 1, column, "bytea", HASH_PARTITIONS) for name, column in DISTRIBUTED.items()}


async def test_every_unique_key_of_a_partitioned_table_holds_its_column(catalog: asyncpg.Connection) -> None:
    indexes = await rows(
        catalog,
        """
        SELECT relname::text, indexrelid::regclass::text, string_agg(attname::text, ' ')
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid AND relkind = 'p'
        JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
        WHERE indisunique GROUP BY 1, 2
        """,
    )
    assert {table for table, _, _ in indexes} == set(DISTRIBUTED)
    for table, index, columns in indexes:
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
    columns = await rows(
        catalog,
        f"""
        SELECT relname::text, attname::text, format_type(atttypid, atttypmod), attidentity::text
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE {OURS} AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
          AND (attidentity <> '' OR pg_get_serial_sequence(relname, attname) IS NOT NULL)
        """,
    )
    rights = {"erasures", "suppressions", "data_requests"}
    access = {"workspaces", "sources", "write_keys", "read_tokens", "shares", "annotations", "audit_log"}
    identified = {*access, "models", "rejected", *rights}
    assert columns == {(table, "id", "bigint", "a") for table in identified}
    assert await rows(
        catalog, "SELECT format_type(seqtypid, NULL) FROM pg_sequence JOIN pg_class ON oid = seqrelid"
    ) == {"bigint"}


async def test_there_are_these_indexes_and_no_other(catalog: asyncpg.Connection) -> None:
    keys = await rows(
        catalog,
        f"""
        SELECT relname::text, (SELECT string_agg(attname, ', ' ORDER BY place)
                         FROM unnest(indkey::int2[]) WITH ORDINALITY AS key(number, place)
                         JOIN pg_attribute ON attrelid = indrelid AND attnum = number)
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        WHERE {OURS} AND NOT relispartition
        """,
    )
    assert keys == INDEXES
    conditions = await rows(
        catalog,
        f"""
        SELECT relname::text, trim(both '()' from replace(pg_get_expr(indpred, indrelid), '::text', ''))
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        WHERE {OURS} AND NOT relispartition AND indpred IS NOT NULL
        """,
    )
    assert conditions == PARTIAL


def test_no_index_holds_what_changes_with_every_event() -> None:
    for table, columns in INDEXES:
        assert not CHANGES_WITH_EVENTS.get(table, set()) & set(columns.split(", "))


async def test_storage_settings_stand_where_rows_are(catalog: asyncpg.Connection) -> None:
    options = {
        name: set(settings)
        for name, settings in await catalog.fetch(f"SELECT relname::text, reloptions FROM pg_class WHERE {OURS}")
        if settings
    }
    leaves = {f"{table}_p{number}" for table in ("journeys", "ids") for number in range(HASH_PARTITIONS)}
    assert {name for name, settings in options.items() if "fillfactor=70" in settings} == leaves
    for table in HOT:
        assert {"fillfactor=50", "autovacuum_vacuum_scale_factor=0"} <= options[table]


async def hot_updates(engine: AsyncEngine, catalog: asyncpg.Connection, table: str) -> tuple[int, int]:
    """How many updates the engine's session made, and how many of them left every index alone."""
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
    (updates,) = await catalog.fetch(
        "SELECT sum(n_tup_upd)::int, sum(n_tup_hot_upd)::int FROM pg_stat_user_tables WHERE relname ~ $1",
        f"^{table}(_p[0-9])?$",
    )
    return tuple(updates)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, pool_size=1)
    yield engine
    await engine.dispose()


CUSTOMER = b"c" * 16
ACTIVE = Journey(1, 1, 1, 0, 10, 10, 0, 1, "web", 10, 10, 0, "m0", "c", "", "")
TIMES = 20


async def test_a_journey_that_goes_on_stays_on_its_page(engine: AsyncEngine, catalog: asyncpg.Connection) -> None:
    for number in range(TIMES + 1):
        at_us = 10 + number
        state = ACTIVE._replace(active_us=at_us, last_us=at_us, last_message=f"m{number}")
        async with transaction(engine) as connection:
            row = (CUSTOMER, 1, "c", number, at_us + 1_000, *state)
            await write_together(connection, journeys.journeys_to_write([row]))
    assert await hot_updates(engine, catalog, "journeys") == (TIMES, TIMES)
    # The time to look did not move along: looking too early is cheap, an index entry with each event is not.
    assert await rows(catalog, "SELECT look_us, last_us FROM journeys") == {(1_010, 10 + TIMES)}


async def test_a_lapse_that_is_nearer_is_looked_for_sooner(engine: AsyncEngine, catalog: asyncpg.Connection) -> None:
    async def write(due_us: int, *, exact: bool = False) -> int:
        async with transaction(engine) as connection:
            row = (CUSTOMER, 1, "c", 0, due_us, *ACTIVE)
            await write_together(connection, journeys.journeys_to_write([row], exact=exact))
        return int(await catalog.fetchval("SELECT look_us FROM journeys"))

    assert await write(1_000) == 1_000
    assert await write(2_000) == 1_000
    assert await write(500) == 500
    assert await write(2_000, exact=True) == 2_000
    assert await write(NEVER) == NEVER
    assert await write(3_000) == 3_000


async def test_locking_an_id_writes_it_only_when_it_turns_out_to_be_a_user_id(
    engine: AsyncEngine, catalog: asyncpg.Connection
) -> None:
    for number in range(TIMES + 1):
        async with transaction(engine) as connection:
            rows = await identity.lock_ids(connection, [(1, CUSTOMER, "c", number == 3)])
            assert (rows[CUSTOMER].root, rows[CUSTOMER].is_user) == (CUSTOMER, number >= 3)
    assert await hot_updates(engine, catalog, "ids") == (1, 1)


async def test_adding_to_a_count_stays_on_its_page(engine: AsyncEngine, catalog: asyncpg.Connection) -> None:
    cell = Cell(1, 1, "web", 1, 0)
    for _ in range(TIMES + 1):
        async with transaction(engine) as connection:
            await write_together(connection, counts.counts_to_add(0, {cell: [1, 0, 0, 1, 0, 0]}, {1: UTC}, 0))
    assert await hot_updates(engine, catalog, "phase_counts") == (TIMES, TIMES)
    assert await hot_updates(engine, catalog, "phase_history") == (3 * TIMES, 3 * TIMES)
    assert await rows(catalog, "SELECT active, lapsed, entered FROM phase_counts") == {(TIMES + 1, 0, TIMES + 1)}
