"""Merging the shards of sums: what a walk over a table does, and in how many statements."""

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.pipeline import open_pipeline
from throughline.journey.durations import DAY_US
from throughline.store.analytics import ShardMerger
from throughline.store.engine.unit_of_work import transaction
from throughline.store.schema.analytics import MERGED, TABLES

CELLS = 120
SHARDS = 3
COUNT = 60


async def test_a_walk_passes_each_row_about_once(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    model = next(iter(pipeline.models.values()))
    await _fill(database, model)
    merger = ShardMerger()
    statements, has_more = 0, True
    while has_more:
        async with transaction(engine) as connection:
            has_more = await merger.run(connection, DAY_US * 10_000, COUNT)
        statements += 1
    # One part more for each table, which finds its end.
    assert statements <= CELLS * SHARDS / COUNT + len(TABLES)
    rows = await _shards(database, model)
    assert sum(number for _, number in rows) == CELLS * SHARDS
    # Parts may end within a cell: the next walk meets what is left of it.
    assert len(rows) <= CELLS + CELLS * SHARDS / COUNT
    assert {shard for shard, _ in rows} >= {MERGED}


async def _fill(database: str, model: int) -> None:
    connection = await asyncpg.connect(database)
    try:
        columns = await connection.fetch(
            "SELECT column_name AS name, data_type AS type FROM information_schema.columns"
            " WHERE table_name = 'funnel_counts' ORDER BY ordinal_position"
        )
        filled = {"model": "$1::int", "day_us": "cell * 86400000000::bigint", "shard": "shard", "number": "1"}
        values = [filled.get(column["name"], "''" if column["type"] == "text" else "0") for column in columns]
        await connection.execute(
            f"INSERT INTO funnel_counts SELECT {', '.join(values)}"
            f" FROM generate_series(1, {CELLS}) AS cell, generate_series(0, {SHARDS - 1}) AS shard",
            model,
        )
    finally:
        await connection.close()


async def _shards(database: str, model: int) -> list[tuple[int, int]]:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT shard, number FROM funnel_counts WHERE model = $1", model)
        return [(row["shard"], row["number"]) for row in rows]
    finally:
        await connection.close()
