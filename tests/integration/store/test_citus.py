"""`throughline migrate` on a server that has Citus. There is none here: functions of the same names only take notes.

All else is real: tables are made anew without partitions, and stagers stage into them.
"""

from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import execute
from tests.reference import replay
from tests.support.pipeline import open_pipeline
from tests.support.projection import assert_same
from tests.support.shop import START_US, shop_log
from tests.support.stack import Stack
from throughline.store import citus, schema
from throughline.store.engine.unit_of_work import transaction
from throughline.store.migrate import upgrade

STAND_INS = """
    CREATE TABLE pg_dist_partition (logicalrelid regclass, called text);
    CREATE FUNCTION citus_get_active_worker_nodes() RETURNS SETOF int LANGUAGE sql AS 'SELECT generate_series(1, 3)';
    CREATE FUNCTION create_distributed_table(t text, c text, shard_count int = 0, colocate_with text = '')
    RETURNS void LANGUAGE sql AS
    $$INSERT INTO pg_dist_partition VALUES (t::regclass, c || ' ' || shard_count || ' ' || colocate_with)$$;
    CREATE FUNCTION citus_add_local_table_to_metadata(t text) RETURNS void LANGUAGE sql AS
    $$INSERT INTO pg_dist_partition VALUES (t::regclass, 'whole')$$;
"""


@pytest.fixture
async def with_citus(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database whose server seems to have Citus and three workers."""
    monkeypatch.setattr(citus, "_VERSION", text("SELECT '13.2'"))
    await execute(database, STAND_INS)
    return database


async def fetch(url: str, query: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


CALLS = "SELECT logicalrelid::text, called FROM pg_dist_partition"
# What a table is made of: columns, keys and indexes, without the names of partitions.
DEFINITIONS = """
    SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || a.attnotnull::text
        || coalesce(pg_get_expr(d.adbin, d.adrelid), ''), ', ' ORDER BY a.attname)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> 'pg_dist_partition'
    GROUP BY 1 UNION ALL
    SELECT indexname, replace(indexdef, 'ON ONLY ', 'ON ') FROM pg_indexes
    WHERE schemaname = 'public' AND tablename IN (SELECT relname FROM pg_class WHERE NOT relispartition)
"""


async def test_tables_are_laid_out_once_and_stay_the_same(with_citus: str) -> None:
    before = await fetch(with_citus, DEFINITIONS)
    spread, whole = len(citus.distribution_columns()), len(citus.whole_tables())
    assert await upgrade(with_citus) == f"Citus: {spread} tables are spread over 12 shards, {whole} stay whole"
    assert sorted(await fetch(with_citus, DEFINITIONS)) == sorted(before)
    assert not await fetch(with_citus, "SELECT relname, '' FROM pg_class WHERE relkind = 'p'")
    calls = dict(await fetch(with_citus, CALLS))
    assert calls.keys() == schema.metadata.tables.keys()
    assert calls["touchpoints"] == "actor 12 "
    assert calls["journeys"] == "customer 0 touchpoints"
    assert calls["offsets"] == "whole"
    assert await upgrade(with_citus) == ""


async def test_tables_with_rows_stay_and_it_is_said(with_citus: str) -> None:
    await execute(
        with_citus,
        "INSERT INTO ids (workspace, id, name, is_user, members, links, root) VALUES (1, 'a', 'a', true, 1, 0, 'a')",
    )
    assert "ids has rows: all tables stay on this node" in await upgrade(with_citus)
    assert not await fetch(with_citus, CALLS)


async def test_it_can_be_turned_off(with_citus: str) -> None:
    assert await upgrade(with_citus, with_citus=False) == ""
    assert not await fetch(with_citus, CALLS)


async def test_whole_tables_are_staged_into(with_citus: str, engine: AsyncEngine, tmp_path: Path) -> None:
    await upgrade(with_citus)
    pipeline = await open_pipeline(engine, with_citus)
    log = shop_log(Stack("", "", "", "", tmp_path, workspace_id=pipeline.workspace), 400)
    pipeline.send(log)
    pipeline.watermark_us = START_US * 2
    await pipeline.finish()
    model = pipeline.models["seven_phase"]
    assert_same(await pipeline.projection(model), replay(log, "seven_phase", START_US * 2), START_US * 2)


async def test_a_statement_that_breaks_a_rule_is_not_sent(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        with pytest.raises(AssertionError, match="unnest of several arrays beside a spread table"):
            await connection.execute(
                text("SELECT FROM ids JOIN unnest('{1}'::int[], '{2}'::int[]) AS x (a, b) ON true")
            )
