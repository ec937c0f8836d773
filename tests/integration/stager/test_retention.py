"""Retention on real PostgreSQL: facts before the cutoff go, and every journey, count and history stays as it was."""

import asyncio

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain.retention import ROWS, delete_old_facts, move_retention_cutoffs
from services.stager.maintain.walk import Share
from services.stager.stage.decode import prepare
from tests.reference import replay
from tests.reference.replay import Replayed
from tests.strategies.staging import Case, cases, short_checkpoints
from tests.support.pipeline import LogRecord, Pipeline, open_pipeline
from tests.support.projection import Projection, assert_same
from throughline.journey.durations import DAY_US
from throughline.journey.touchpoint import Touchpoint
from throughline.store import retention
from throughline.store.access.names import AdminError
from throughline.store.engine.unit_of_work import transaction
from throughline.store.id_walk import RETENTION, SlotTakenError
from throughline.wire.codec import encode

START_US = 1_700_000_000_000_000 // DAY_US * DAY_US
law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


async def facts_before(pipeline: Pipeline, retention_cutoff_us: int) -> int:
    connection = await asyncpg.connect(pipeline.url)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM touchpoints JOIN ids ON ids.id = actor WHERE workspace = $1 AND occurred_us < $2 "
            "AND call NOT IN ('unlink', 'relink')",
            pipeline.workspace,
            retention_cutoff_us,
        )
    finally:
        await connection.close()
    return count


def without_members(state: Projection | Replayed) -> Projection:
    """Who belonged to a customer is no longer all to be seen in facts."""
    customers = {name: customer._replace(members=frozenset()) for name, customer in state.customers.items()}
    return Projection(customers, *(getattr(state, name) for name in Projection._fields[1:]))


@law
@given(
    case=cases(),
    at=st.integers(0, 60),
    share=st.floats(0, 1),
    steps=st.integers(1, 2),
    rows=st.sampled_from([3, ROWS]),
)
async def test_deleting_old_facts_changes_no_journey_and_later_events_fold_on(
    database: str, engine: AsyncEngine, case: Case, at: int, share: float, steps: int, rows: int
) -> None:
    pipeline = await open_pipeline(engine, database)
    # One message id is one event here: which of two counts is told by the earlier, and that may be gone.
    log = [event._replace(message_id=f"{event.message_id}-{event.actor}-{event.occurred_us}") for event in case.log]
    times = sorted(event.occurred_us for event in log) or [START_US]
    retention_cutoffs = sorted(times[int(share * n / steps * (len(times) - 1))] for n in range(1, steps + 1))
    # What comes afterwards is not too old, and joins or parts nobody.
    later = [
        event._replace(anonymous_id="" if event.user_id else event.anonymous_id)
        for event in log[at:]
        if event.occurred_us >= retention_cutoffs[-1] and event.call not in ("alias", "unlink", "relink")
    ]
    with short_checkpoints(case):
        pipeline.send(log[:at])
        await pipeline.finish()
        await pipeline.tick(case.clock_us)
        for retention_cutoff_us in retention_cutoffs:
            before = {name: await pipeline.projection(model) for name, model in pipeline.models.items()}
            await pipeline.cut(retention_cutoff_us, rows)
            assert await facts_before(pipeline, retention_cutoff_us) == 0
            for name, model in pipeline.models.items():
                now = await pipeline.projection(model)
                assert without_members(now) == without_members(before[name])
        pipeline.send(later)
        for step in case.steps:
            await pipeline.stage(step.partition, step.count)
        await pipeline.finish()
    for name, model in pipeline.models.items():
        expected = replay(log[:at] + later, name, pipeline.watermark_us)
        projection = await pipeline.projection(model)
        assert_same(without_members(projection), without_members(expected), pipeline.watermark_us)  # type: ignore[arg-type]


def seen(name: str, day: int, who: str, message_id: str) -> Touchpoint:
    return Touchpoint(START_US + day * DAY_US, 0, message_id, who, "track", name, 0, 1, "direct", user_id=who)


async def test_customers_joined_after_the_cut_keep_what_both_had_and_part_as_they_were(
    database: str, engine: AsyncEngine
) -> None:
    pipeline = await open_pipeline(engine, database)
    model = pipeline.models["seven_phase"]
    visitor = seen("Product Added", 0, "a1", "m1")._replace(user_id="", anonymous_id="a1")
    bought = seen("Order Completed", 1, "ada", "m2")._replace(order_id="o1")
    pipeline.send([visitor, bought])
    await pipeline.finish()
    alone = await pipeline.projection(model)
    assert await pipeline.cut(START_US + 5 * DAY_US) == 2
    identify = seen("", 6, "ada", "m3")._replace(call="identify", anonymous_id="a1")
    again = seen("Order Completed", 7, "a1", "m4")._replace(user_id="", anonymous_id="a1", order_id="o2")
    pipeline.send([identify, again])
    await pipeline.finish()
    joined = await pipeline.projection(model)
    assert list(joined.customers) == ["ada"]
    ada = joined.customers["ada"].state
    assert (ada.phase, ada.first_us) == (6, START_US)  # a second order: loyal; first seen as a visitor
    assert sum(counts.active + counts.lapsed for counts in joined.counts.values()) == 1
    parted = Touchpoint(START_US + 8 * DAY_US, 0, "m5", "ada", "unlink", "", user_id="ada", previous_id="a1")
    pipeline.send([parted])
    await pipeline.finish()
    projection = await pipeline.projection(model)
    assert projection.customers["ada"].transitions == alone.customers["ada"].transitions
    assert projection.customers["a1"].transitions[0] == alone.customers["a1"].transitions[0]
    assert projection.customers["a1"].state.phase == 4
    assert sum(counts.active + counts.lapsed for counts in projection.counts.values()) == 2


async def test_a_customer_of_many_facts_is_cut_in_slices_and_stays_whole_between_them(
    database: str, engine: AsyncEngine
) -> None:
    pipeline = await open_pipeline(engine, database)
    log = [seen("Product Viewed" if n % 7 else "Product Added", n, "ada", f"m{n}") for n in range(30)]
    crawled = [seen("Product Viewed", n, "ada", f"b{n}")._replace(bot=True) for n in range(30)]
    pipeline.send(log + crawled)
    await pipeline.finish()
    model = pipeline.models["seven_phase"]
    before = await pipeline.projection(model)
    cutoff_us = START_US + 25 * DAY_US
    async with transaction(engine) as connection:
        await retention.move_retention_cutoff(connection, pipeline.workspace, cutoff_us)
    await pipeline.registry.refresh()
    models = await pipeline.registry.current()
    while await delete_old_facts(engine, models, Share(0, 1), rows=4) != 4:
        pass
    assert await facts_before(pipeline, cutoff_us) == 46
    late = seen("Order Completed", 26, "ada", "late")._replace(order_id="late")
    pipeline.send([late])  # amid the slices
    await pipeline.finish()
    while (deleted := await delete_old_facts(engine, models, Share(0, 1), rows=4)) is not None:
        assert deleted <= 4
    assert await facts_before(pipeline, cutoff_us) == 0
    expected = replay([*log, late], "seven_phase", pipeline.watermark_us)
    projection = await pipeline.projection(model)
    assert projection.customers != before.customers
    assert without_members(projection).customers == without_members(expected).customers


async def test_a_new_model_begins_at_the_retention_cutoff(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send([seen("Order Completed", 0, "ada", "m1"), seen("Product Viewed", 9, "ada", "m2")])
    await pipeline.finish()
    await pipeline.cut(START_US + 5 * DAY_US)
    generation = await pipeline.begin("six_stage")
    await pipeline.restage_all()
    projection = await pipeline.projection(generation)
    expected = replay([seen("Product Viewed", 9, "ada", "m2")], "six_stage", pipeline.watermark_us)
    assert without_members(projection).customers == without_members(expected).customers


async def test_a_generation_half_restaged_keeps_what_is_deleted(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    log = [seen("Order Completed", 0, f"c{n}", f"m{n}") for n in range(20)]
    pipeline.send(log)
    await pipeline.finish()
    generation = await pipeline.begin("six_stage")
    await pipeline.restage(0, 3)
    assert await pipeline.cut(START_US + 5 * DAY_US) == 20
    await pipeline.restage_all()
    projection = await pipeline.projection(generation)
    assert_same(
        without_members(projection)._replace(unmapped={}),
        without_members(replay(log, "six_stage", pipeline.watermark_us))._replace(unmapped={}),  # type: ignore[arg-type]
        pipeline.watermark_us,
    )


async def test_an_event_older_than_the_retention_cutoff_is_rejected(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    await pipeline.cut(START_US + 5 * DAY_US)
    models = await pipeline.registry.current()
    records = [
        LogRecord(number, encode(seen("Product Viewed", day, "ada", f"m{day}")._replace(workspace=pipeline.workspace)))
        for number, day in enumerate((4, 5))
    ]
    batch = prepare({0: records}, models, topic=pipeline.topic)
    assert [(record.code, record.field) for record in batch.rejected] == [("before_horizon", "occurred_us")]
    assert len(batch.rows) == 1


async def test_two_partitions_at_one_slot_delete_its_facts_once(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send([seen("Order Completed", 0, f"c{n}", f"m{n}") for n in range(40)])
    await pipeline.finish()
    model = pipeline.models["seven_phase"]
    before = await pipeline.projection(model)
    async with transaction(engine) as connection:
        await retention.move_retention_cutoff(connection, pipeline.workspace, START_US + 5 * DAY_US)
    await pipeline.registry.refresh()
    models = await pipeline.registry.current()
    both = await asyncio.gather(
        *(delete_old_facts(engine, models, Share(0, 1)) for _ in range(2)), return_exceptions=True
    )
    taken = [result for result in both if isinstance(result, SlotTakenError)]
    deleted = sum(result for result in both if isinstance(result, int))
    assert len(taken) + len([result for result in both if isinstance(result, int)]) == 2
    while (more := await delete_old_facts(engine, models, Share(0, 1))) is not None:
        deleted += more
    assert deleted == 40
    assert without_members(await pipeline.projection(model)) == without_members(before)


async def test_the_retention_cutoff_follows_the_clock_day_by_day_and_slots_are_taken_once(
    database: str, engine: AsyncEngine
) -> None:
    pipeline = await open_pipeline(engine, database)
    name = f"w{pipeline.workspace}"

    async def stands() -> tuple[int | None, int]:
        async with transaction(engine) as connection:
            (row,) = await retention.read_retention(connection, name)
        return row.retention_cutoff_us, row.slots_left

    async with transaction(engine) as connection:
        await retention.set_retention(connection, name, 30)
    await move_retention_cutoffs(engine, watermark_us=0)
    assert await stands() == (None, 0)
    now_us = START_US + 40 * DAY_US + 5
    await move_retention_cutoffs(engine, watermark_us=now_us)
    assert await stands() == (START_US + 10 * DAY_US, 16)
    await move_retention_cutoffs(engine, watermark_us=now_us + DAY_US)
    assert await stands() == (START_US + 10 * DAY_US, 16)  # facts before the last cutoff are deleted first
    await pipeline.registry.refresh()
    async with transaction(engine) as connection:
        slots = [slot for slot in await RETENTION.read_open(connection) if slot.workspace == pipeline.workspace]
        await RETENTION.move(connection, slots[0], cursor=b"\0", done=False, touchpoints=0)
        with pytest.raises(SlotTakenError, match=f"slot {slots[0].number} of workspace {pipeline.workspace} was taken"):
            await RETENTION.move(connection, slots[0], cursor=b"\1", done=False, touchpoints=0)
    await pipeline.cut(START_US)  # never back
    assert await stands() == (START_US + 10 * DAY_US, 0)
    await move_retention_cutoffs(engine, watermark_us=now_us + DAY_US)
    assert await stands() == (START_US + 11 * DAY_US, 16)
    with pytest.raises(AdminError, match="between 1 and 36500"):
        async with transaction(engine) as connection:
            await retention.set_retention(connection, name, 0)
