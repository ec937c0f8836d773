"""The law of bounded work on real PostgreSQL: with no journey marked, the state is a sorted replay's; with marks, that
of all other customers is; and the sums add up after every transaction."""

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.budget import Limits
from tests.reference import replay
from tests.strategies.staging import Case, cases, short_checkpoints
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from tests.support.projection import assert_same, read_projection

MAX_SLICES = 3_000

law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def limits(rows: int) -> Limits:
    return Limits(rows_read=rows, rows_written=rows, seconds=600)


async def assert_sums_add_up(pipeline: Pipeline) -> None:
    """In each phase of each model `entered = now + left`, and as many customers are counted as have a journey."""
    connection = await asyncpg.connect(pipeline.url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            unequal = await connection.fetch(
                "SELECT model, phase FROM phase_counts WHERE phase > 0 GROUP BY 1, 2 "
                'HAVING sum(entered) <> sum(active) + sum(lapsed) + sum("left")'
            )
            customers = await connection.fetch("SELECT model, count(*) FROM journeys WHERE model > 0 GROUP BY 1")
            counted = await connection.fetch(
                "SELECT model, sum(active + lapsed)::bigint FROM phase_counts "
                "GROUP BY 1 HAVING sum(active + lapsed) <> 0"
            )
    finally:
        await connection.close()
    assert not unequal
    assert {tuple(row) for row in customers} == {tuple(row) for row in counted}


async def assert_unmarked_are_as_their_facts_say(pipeline: Pipeline, staged: list, zone: str) -> None:  # type: ignore[type-arg]
    connection = await asyncpg.connect(pipeline.url)
    try:
        marked = await connection.fetch("SELECT name, model FROM recomputations JOIN ids ON ids.id = customer")
    finally:
        await connection.close()
    for name, model in pipeline.models.items():
        expected = replay(staged, name, pipeline.watermark_us, zone).customers
        actual = (await read_projection(pipeline.url, model)).customers
        aside = {who for who, of in marked if of == model}
        assert {who: c for who, c in actual.items() if who not in aside} == {
            who: c for who, c in expected.items() if who not in aside
        }


async def drain(pipeline: Pipeline, rows: int) -> None:
    """Recompute slice by slice until no journey is marked."""
    for _ in range(MAX_SLICES):
        if not await pipeline.recompute_aside(rows):
            return
        await assert_sums_add_up(pipeline)
    raise AssertionError("the recomputation aside does not end")


@law
@given(
    case=cases(),
    zone=st.sampled_from(["UTC", "Asia/Kolkata"]),
    rows=st.sampled_from([0, 1, 10, 100]),
    slice_rows=st.sampled_from([1, 2, 10, 100]),
)
async def test_any_log_with_any_budget_is_a_sorted_replay(
    database: str, engine: AsyncEngine, case: Case, zone: str, rows: int, slice_rows: int
) -> None:
    pipeline = await open_pipeline(engine, database, zone=zone)
    pipeline.limits = limits(rows)
    whole = case.log + case.log[: case.repeated]
    pipeline.send(whole)
    with short_checkpoints(case):
        for step in case.steps:
            if step.clock_us is not None:
                await pipeline.tick(step.clock_us)
            await pipeline.stage(step.partition, step.count, dies=step.dies)
            await assert_sums_add_up(pipeline)
            if step.count % 2:
                await pipeline.recompute_aside(slice_rows)
                await assert_sums_add_up(pipeline)
        await pipeline.finish()
        await assert_unmarked_are_as_their_facts_say(pipeline, whole, zone)
        await drain(pipeline, slice_rows)
        await pipeline.tick(pipeline.watermark_us)
    for name, model in pipeline.models.items():
        expected = replay(whole, name, pipeline.watermark_us, zone)
        assert_same(await pipeline.projection(model), expected, pipeline.watermark_us)


@law
@given(
    case=cases(),
    cut=st.integers(0, 30),
    rows=st.sampled_from([0, 1, 10]),
    slice_rows=st.sampled_from([1, 10]),
)
async def test_a_restage_with_any_budget_is_staging_afresh(
    database: str, engine: AsyncEngine, case: Case, cut: int, rows: int, slice_rows: int
) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.limits = limits(rows)
    pipeline.send(case.log[:cut])
    with short_checkpoints(case):
        await pipeline.finish()
        pipeline.send(case.log[cut:])
        generation = await pipeline.begin("six_stage")
        for step in case.steps:
            await pipeline.stage(step.partition, step.count)
            await pipeline.restage((step.partition + step.count) % PARTITIONS, step.count)
            if step.count % 2:
                await pipeline.recompute_aside(slice_rows)
                await assert_sums_add_up(pipeline)
        await pipeline.restage_all()
        await pipeline.tick(case.clock_us)
        await pipeline.finish()
        await drain(pipeline, slice_rows)
        await pipeline.tick(pipeline.watermark_us)
    assert_same(
        await pipeline.projection(generation),
        replay(case.log, "six_stage", pipeline.watermark_us),
        pipeline.watermark_us,
    )
