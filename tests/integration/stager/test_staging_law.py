"""The law on real PostgreSQL: however a log is ordered, repeated, batched, spread over partitions, cut by crashes and
swept by the clock, the state is a sorted replay's, in the canonical projection of `tests/support/projection.py`."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.transaction import BatchResult
from tests.reference import replay
from tests.strategies.staging import Case, cases, short_checkpoints
from tests.strategies.touchpoints import ruling_of
from tests.support.pipeline import PARTITIONS, open_pipeline
from tests.support.projection import assert_same
from throughline.journey import checkpoint
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest
from throughline.store.id_walk import SLOTS
from throughline.wire.codec import partition_of

MODELS = ("seven_phase", "five_stage")


law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@law
@given(
    case=cases(),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
    merged_rows=st.sampled_from([None, 40, 1_000]),
)
async def test_any_log_in_any_way_is_a_sorted_replay(
    database: str, engine: AsyncEngine, case: Case, zone: str, merged_rows: int | None
) -> None:
    pipeline = await open_pipeline(engine, database, zone=zone)
    whole = case.log + case.log[: case.repeated]
    pipeline.send(whole)
    with short_checkpoints(case):
        for step in case.steps:
            if step.clock_us is not None:
                await pipeline.tick(step.clock_us)
            await pipeline.stage(step.partition, step.count, dies=step.dies)
            if merged_rows is not None and step.clock_us is not None:
                await pipeline.merge_shards(step.clock_us, merged_rows)
        await pipeline.finish()
    if merged_rows is not None:
        await pipeline.merge_shards(case.clock_us, merged_rows)
    for name, model in pipeline.models.items():
        expected = replay(whole, name, pipeline.watermark_us, zone)
        assert_same(await pipeline.projection(model), expected, pipeline.watermark_us)


@law
@given(case=cases(), cut=st.integers(0, 30))
async def test_a_restage_amid_traffic_is_staging_afresh(
    database: str, engine: AsyncEngine, case: Case, cut: int
) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(case.log[:cut])
    with short_checkpoints(case):
        await pipeline.finish()
        pipeline.send(case.log[cut:])
        generation = await pipeline.begin("six_stage")
        for step in case.steps:
            await pipeline.stage(step.partition, step.count)
            await pipeline.restage((step.partition + step.count) % PARTITIONS, step.count)
        await pipeline.restage_all()
        await pipeline.tick(case.clock_us)
        await pipeline.finish()
    assert_same(
        await pipeline.projection(generation),
        replay(case.log, "six_stage", pipeline.watermark_us),
        pipeline.watermark_us,
    )


@pytest.mark.parametrize("walked", ["visitor", "user"])
@pytest.mark.parametrize("ending", ["identify", "unlink"])
async def test_ids_that_join_or_part_amid_a_restage_count_their_unmapped_events_once(
    database: str, engine: AsyncEngine, walked: str, ending: str
) -> None:
    pipeline = await open_pipeline(engine, database)

    def named(kind: str) -> str:
        # The half of the walk that this id falls to.
        half = range(2) if kind == walked else range(2, PARTITIONS)
        names = (f"{kind}{number}" for number in range(1000))
        return next(n for n in names if (id_digest(pipeline.workspace, n)[0] >> 4) % PARTITIONS in half)

    visitor, user = named("visitor"), named("user")
    strange = Touchpoint(1_700_000_000_000_000, 0, "m1", visitor, "track", "Strange", 0, 1, anonymous_id=visitor)
    mapped = strange._replace(message_id="m2", actor=user, anonymous_id="", user_id=user)
    linking = mapped._replace(message_id="m3", anonymous_id=visitor, occurred_us=mapped.occurred_us + 5)
    parted = ruling_of("unlink", user, visitor, mapped.occurred_us + 9, "m4")
    log = [strange, mapped, linking, parted] if ending == "unlink" else [strange, mapped, linking]
    pipeline.send(log[:-1])
    await pipeline.finish()
    generation = await pipeline.begin("six_stage")
    for partition in range(2):
        await pipeline.restage(partition, SLOTS)
    pipeline.send(log[-1:])
    await pipeline.finish()
    await pipeline.restage_all()
    await pipeline.tick(log[-1].occurred_us)
    projection = await pipeline.projection(generation)
    assert_same(projection, replay(log, "six_stage", pipeline.watermark_us), pipeline.watermark_us)
    assert [unmapped.events for unmapped in projection.unmapped.values()] == [3]


async def test_a_refund_in_another_currency_is_counted_as_long_as_its_order_has_another(
    database: str, engine: AsyncEngine
) -> None:
    pipeline = await open_pipeline(engine, database)
    at_us = 1_700_000_000_000_000
    sale = Touchpoint(at_us, 0, "m1", "u1", "track", "Order Completed", 0, 1, user_id="u1")
    sale = sale._replace(order_id="1001", value=100.0, currency="EUR")
    refund = sale._replace(message_id="m2", name="Order Refunded", currency="USD", source=2, occurred_us=at_us + 9)
    refund = refund._replace(actor="a1", user_id="", anonymous_id="a1")
    join = Touchpoint(at_us + 20, 0, "m3", "u1", "identify", "", 0, 1, user_id="u1", anonymous_id="a1")
    edit = sale._replace(message_id="m4", name="Order Updated", currency="USD", occurred_us=at_us + 5)
    log: list[Touchpoint] = []
    for came, orphans, foreign in (
        ([refund, sale], {2: 1}, {}),
        ([join], {}, {2: 1}),
        ([edit], {}, {}),
    ):
        log += came
        pipeline.send(came)
        await pipeline.finish()
        projection = await pipeline.projection(pipeline.models["seven_phase"])
        assert (projection.orphan_refunds, projection.foreign_refunds) == (orphans, foreign)
        if came == [join]:
            generation = await pipeline.begin("six_stage")
            await pipeline.restage_all()
            assert (await pipeline.projection(generation)).foreign_refunds == foreign
    assert_same(projection, replay(log, "seven_phase", pipeline.watermark_us), pipeline.watermark_us)
    assert (await pipeline.projection(generation)).foreign_refunds == {}


async def test_a_differing_second_event_of_one_message_id_is_a_conflict(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    first = Touchpoint(1_700_000_000_000_000, 0, "m1", "c1", "track", "Product Added", 0, 1, "direct", 1)
    pipeline.send([first, first._replace(occurred_us=first.occurred_us + 5), first._replace(name="Order Completed")])
    partition = partition_of(b"c1", PARTITIONS)
    assert await pipeline.stage(partition, 1) == BatchResult(staged=1)
    outcome = await pipeline.stage(partition, 2)
    assert outcome is not None
    assert (outcome.staged, outcome.duplicates, outcome.conflicts) == (0, 1, 1)
    projection = await pipeline.projection(pipeline.models["seven_phase"])
    assert [move[:5] for move in projection.customers["c1"].transitions] == [(first.occurred_us, 0, "m1", "c1", 1)]


@pytest.mark.parametrize("joins", [False, True])
async def test_what_comes_with_a_late_event_is_not_lost_where_the_fold_meets_a_checkpoint(
    database: str, engine: AsyncEngine, joins: bool
) -> None:
    pipeline = await open_pipeline(engine, database)
    start_us = 1_700_000_000_000_000
    seen = Touchpoint(start_us, 0, "m0", "c1", "track", "Product Viewed", 0, 1, "direct", user_id="c1")
    early = [seen._replace(message_id=f"m{n}", occurred_us=start_us + n * 10) for n in range(8)]
    late = seen._replace(message_id="late", occurred_us=start_us + 11)
    bought = seen._replace(message_id="bought", name="Order Completed", occurred_us=start_us + 100)
    if joins:
        late, bought = (event._replace(actor="a1", user_id="", anonymous_id="a1") for event in (late, bought))
    identify = seen._replace(message_id="said", call="identify", name="", anonymous_id="a1", occurred_us=start_us + 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 2)
        pipeline.send(early)
        await pipeline.finish()
        log = [late, bought, identify] if joins else [late, bought]
        pipeline.send(log)
        await pipeline.finish()
    assert_same(
        await pipeline.projection(pipeline.models["seven_phase"]),
        replay(early + log, "seven_phase", pipeline.watermark_us),
        pipeline.watermark_us,
    )
