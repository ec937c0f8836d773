"""A restage goes through all customers in chunks, each within the limits of a transaction."""

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain.restage import restage
from services.stager.maintain.walk import Share
from services.stager.stage.budget import Limits
from tests.reference import replay
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from tests.support.projection import assert_same
from throughline.journey import checkpoint
from throughline.journey.touchpoint import Touchpoint

START_US = 1_700_000_000_000_000
VIEWED = Touchpoint(START_US, 0, "", "", "track", "Product Viewed", 1, 1, "direct", START_US)


def views(customer: str, number: int) -> list[Touchpoint]:
    return [
        VIEWED._replace(occurred_us=START_US + n, message_id=f"m{n}", actor=customer, user_id=customer)
        for n in range(number)
    ]


async def restage_all(pipeline: Pipeline, limits: Limits) -> list[int]:
    """Restage to the end; returns how many touchpoints each chunk read."""
    models = await pipeline.registry.current()
    chunks = []
    for partition in range(PARTITIONS):
        share = Share(partition, PARTITIONS)
        while done := await restage(pipeline.engine, models, share, watermark_us=0, limits=limits):
            chunks.append(done.touchpoints)
    await pipeline.registry.refresh()
    return chunks


async def marked(pipeline: Pipeline) -> set[str]:
    connection = await asyncpg.connect(pipeline.url)
    try:
        rows = await connection.fetch("SELECT name FROM recomputations JOIN ids ON ids.id = customer")
    finally:
        await connection.close()
    return {row[0] for row in rows}


async def test_customers_that_a_chunk_has_no_room_for_are_in_the_next(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    log = [touchpoint for number in range(40) for touchpoint in views(f"c{number}", 4)]
    pipeline.send(log)
    await pipeline.finish()
    generation = await pipeline.begin("six_stage")
    chunks = await restage_all(pipeline, Limits(rows_read=10, seconds=600))
    assert sum(chunks) == len(log)
    assert max(chunks) <= 10
    assert not await marked(pipeline)
    assert_same(await pipeline.projection(generation), replay(log, "six_stage", 0), 0)


async def test_customers_that_a_chunk_has_no_room_to_write_are_in_the_next(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    log = [touchpoint for number in range(40) for touchpoint in views(f"c{number}", 1)]
    pipeline.send(log)
    await pipeline.finish()
    generation = await pipeline.begin("six_stage")
    await restage_all(pipeline, Limits(rows_written=1, seconds=600))
    assert not await marked(pipeline)
    assert_same(await pipeline.projection(generation), replay(log, "six_stage", 0), 0)


async def test_a_customer_longer_than_any_chunk_is_recomputed_aside(
    database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 2)
    pipeline = await open_pipeline(engine, database)
    log = [*views("long", 40), *views("short", 4)]
    pipeline.send(log)
    await pipeline.finish()
    generation = await pipeline.begin("six_stage")
    assert sum(await restage_all(pipeline, Limits(rows_read=30, seconds=600, checkpoints=8))) == 4
    assert await marked(pipeline) == {"long"}
    while await pipeline.recompute_aside():
        pass
    assert_same(await pipeline.projection(generation), replay(log, "six_stage", 0), 0)
