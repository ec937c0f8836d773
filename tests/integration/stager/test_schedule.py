"""Maintenance of one process: one look finds what there is to do, and what fails keeps nothing else from going on."""

from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain import schedule
from services.stager.maintain.lapses import sweep
from services.stager.maintain.schedule import Maintenance
from services.stager.maintain.walk import Share
from services.stager.stage.models import ModelsByWorkspace
from tests.reference import replay
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from tests.support.projection import assert_same
from throughline.journey.durations import DAY_US
from throughline.journey.touchpoint import Touchpoint
from throughline.store import generations
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.offsets import Offset, OffsetMove, move_offsets, read_offset

START_US = 1_700_000_000_000_000
LATER_US = START_US + 400 * DAY_US
LOG = [
    Touchpoint(START_US + number, 0, f"m{number}", f"c{number}", "track", "Product Viewed", 0, 1, user_id=f"c{number}")
    for number in range(30)
]


def maintenance_of(pipeline: Pipeline) -> Maintenance:
    consumer = SimpleNamespace(partitions_for_topic=lambda _: set(range(PARTITIONS)))
    context: Any = SimpleNamespace(
        consumer=consumer,
        engine=pipeline.engine,
        models=pipeline.registry,
        send_claims=pipeline.claim,
        received_watermark_us=0,
    )
    return Maintenance(context, pipeline.topic, list(range(PARTITIONS)))


async def move_watermark(pipeline: Pipeline, to_us: int) -> None:
    """Everything received before `to_us` is staged."""
    async with transaction(pipeline.engine) as connection:
        for partition in range(PARTITIONS):
            stored = await read_offset(connection, pipeline.topic, partition) or Offset(0, b"", 0)
            move = OffsetMove(partition, stored.next_offset, stored._replace(received_watermark_us=to_us))
            assert await move_offsets(connection, pipeline.topic, [move]) == {partition}


async def look(pipeline: Pipeline, maintenance: Maintenance) -> bool:
    """Look; returns whether there is anything to do."""
    async with transaction(pipeline.engine) as connection:
        await maintenance.look(connection)
    return maintenance.is_due


async def work(maintenance: Maintenance) -> None:
    while maintenance.is_due:
        await maintenance.run_turn()


async def applied(pipeline: Pipeline) -> list[int]:
    """The applied watermark of each partition."""
    connection = await asyncpg.connect(pipeline.url)
    try:
        rows = await connection.fetch(
            "SELECT swept_us FROM offsets WHERE topic = $1 ORDER BY partition", pipeline.topic
        )
        return [row[0] for row in rows]
    finally:
        await connection.close()


async def test_a_look_finds_due_lapses_and_nothing_when_there_is_nothing(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(LOG)
    await pipeline.finish()
    maintenance = maintenance_of(pipeline)
    await move_watermark(pipeline, START_US + 100)
    assert await look(pipeline, maintenance)  # tables are pruned first
    await work(maintenance)
    assert await applied(pipeline) == [START_US + 100] * PARTITIONS
    await move_watermark(pipeline, START_US + 200)
    assert not await look(pipeline, maintenance)
    assert await applied(pipeline) == [START_US + 200] * PARTITIONS
    await move_watermark(pipeline, LATER_US)
    assert await look(pipeline, maintenance)
    await work(maintenance)
    assert await applied(pipeline) == [LATER_US] * PARTITIONS
    assert not await look(pipeline, maintenance)
    for name, model in pipeline.models.items():
        assert_same(await pipeline.projection(model), replay(LOG, name, LATER_US), LATER_US)


async def test_a_generation_is_restaged_and_its_end_is_noticed(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(LOG)
    await pipeline.finish()
    maintenance = maintenance_of(pipeline)
    await look(pipeline, maintenance)
    await work(maintenance)
    generation = await pipeline.begin("six_stage")
    assert await look(pipeline, maintenance)
    await work(maintenance)
    async with reading(engine) as connection:
        assert (await generations.read_progress(connection, generation)).is_whole
    assert not await look(pipeline, maintenance)
    models = (await pipeline.registry.current())[pipeline.workspace].models
    assert [active.backfilling for active in models] == [False] * 3


async def test_a_turn_at_rest_goes_on_until_nothing_is_due(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(LOG)
    await pipeline.finish()
    maintenance = maintenance_of(pipeline)
    await look(pipeline, maintenance)
    await work(maintenance)
    generation = await pipeline.begin("six_stage")
    assert await look(pipeline, maintenance)
    await maintenance.run_turn()
    is_due_still = maintenance.is_due
    assert is_due_still
    await maintenance.run_turn(lambda: True)
    assert not maintenance.is_due
    async with reading(engine) as connection:
        assert (await generations.read_progress(connection, generation)).is_whole


async def test_what_fails_pauses_alone_and_says_so(
    database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(LOG)
    await pipeline.finish()
    maintenance = maintenance_of(pipeline)
    is_failing = True

    async def failing(
        engine: AsyncEngine, models: ModelsByWorkspace, share: Share, *, watermark_us: int
    ) -> tuple[int, bool]:
        if is_failing and share.partition == 1:
            raise ZeroDivisionError("a fault of the stager's own")
        return await sweep(engine, models, share, watermark_us=watermark_us)

    monkeypatch.setattr(schedule, "sweep", failing)
    await move_watermark(pipeline, LATER_US)
    assert await look(pipeline, maintenance)
    await work(maintenance)
    assert maintenance.troubles == {1: "maintenance: internal: ZeroDivisionError: a fault of the stager's own"}
    assert await applied(pipeline) == [LATER_US, 0, LATER_US]
    await move_watermark(pipeline, LATER_US + 1)
    assert not await look(pipeline, maintenance)  # it pauses
    assert await applied(pipeline) == [LATER_US + 1, 0, LATER_US + 1]
    is_failing = False
    for share in maintenance._shares:
        share.pauses_until = 0.0
    await work(maintenance)
    assert maintenance.troubles == {}
    assert await applied(pipeline) == [LATER_US + 1] * PARTITIONS
