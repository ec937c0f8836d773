"""The law with so many names: sums by admitted channels and event names are exact, and `(other)` has all the rest."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.reference import Cell, Counts, replay
from tests.reference.counts import counts_at
from tests.reference.funnel import Cells
from tests.reference.replay import Replayed, Unmapped
from tests.strategies.staging import Case, cases, short_checkpoints
from tests.strategies.touchpoints import ruling_of
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from tests.support.projection import assert_same
from throughline.journey.channels import STANDARD_CHANNELS
from throughline.journey.durations import DAY_US
from throughline.journey.touchpoint import Touchpoint
from throughline.store import admission, generations
from throughline.store.admission import CHANNEL, OTHER, UNMAPPED
from throughline.store.engine.unit_of_work import transaction
from throughline.wire.codec import partition_of

LIMIT = 2
START_US = 1_700_000_000_000_000 // DAY_US * DAY_US
OWN_CHANNELS = ("direct", "spring", "summer", "autumn", "winter")
STRANGE = ("Tea Spilled", "Milk Spilled", "Juice Spilled", OTHER)

law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
Admitted = dict[tuple[int, int], set[str]]
"""(kind, source) -> names."""


def with_many_names(log: list[Touchpoint]) -> list[Touchpoint]:
    """The log with channels and unmapped event names of its own; repeated events keep theirs."""
    named: list[Touchpoint] = []
    for event in log:
        number = int(event.message_id[1:])
        name = STRANGE[number % len(STRANGE)] if event.name == "Coffee Spilled" else event.name
        named.append(event._replace(channel=OWN_CHANNELS[number % len(OWN_CHANNELS)], name=name))
    return named


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_CHANNELS", len(STANDARD_CHANNELS) + LIMIT)
    monkeypatch.setattr(admission, "MAX_UNMAPPED", LIMIT)


async def admitted_to(pipeline: Pipeline, model: int) -> Admitted:
    connection = await asyncpg.connect(pipeline.url)
    try:
        names: Admitted = defaultdict(set)
        for kind, source, name in await connection.fetch(
            "SELECT kind, source, name FROM admitted_names WHERE model = $1", model
        ):
            names[kind, source].add(name)
        sizes = await connection.fetch("SELECT kind, source, names FROM admissions WHERE model = $1", model)
    finally:
        await connection.close()
    assert {scope: len(of) for scope, of in names.items()} == {(row[0], row[1]): row[2] for row in sizes if row[2]}
    assert all(len(of) <= LIMIT and not of & (STANDARD_CHANNELS | {OTHER}) for of in names.values())
    return names


def channels_of(admitted: Admitted) -> frozenset[str]:
    return STANDARD_CHANNELS | admitted.get((CHANNEL, 0), set())


def by_channel(table: Mapping[Cell, Counts], admitted: Admitted) -> dict[Cell, Counts]:
    """The counts, with all channels that are not admitted counted as one."""
    channels = channels_of(admitted)
    sums: dict[Cell, Counts] = {}
    for (source, channel, phase), counts in table.items():
        cell = (source, channel if channel in channels else OTHER, phase)
        sums[cell] = Counts(*(a + b for a, b in zip(sums.get(cell, Counts()), counts, strict=True)))
    return {cell: counts for cell, counts in sums.items() if any(counts)}


def merged(expected: Replayed, admitted: Admitted) -> Replayed:
    """What the reference counted, with all names that are not admitted counted as one."""
    channels = channels_of(admitted)
    history = {bucket: by_channel(table, admitted) for bucket, table in expected.history.items()}
    unmapped: dict[tuple[int, str], Unmapped] = {}
    for (source, name), of in expected.unmapped.items():
        key = (source, name if name in admitted.get((UNMAPPED, source), ()) else OTHER)
        one = unmapped.get(key, Unmapped(0, of.first_us, of.last_us))
        unmapped[key] = Unmapped(one.events + of.events, min(one.first_us, of.first_us), max(one.last_us, of.last_us))
    cells = Cells()
    for (kind, (day_us, channel, *rest)), number in expected.cells.items():
        key = (day_us, channel if channel in channels else OTHER, *rest)
        cells.add(kind, key, cells.get((kind, key), 0) + number)
    return expected._replace(
        cells=cells,
        counts=by_channel(expected.counts, admitted),
        history={bucket: table for bucket, table in history.items() if table},
        unmapped=unmapped,
    )


async def assert_law(pipeline: Pipeline, log: list[Touchpoint], name: str, model: int) -> None:
    expected = merged(replay(log, name, pipeline.watermark_us), await admitted_to(pipeline, model))
    assert_same(await pipeline.projection(model), expected, pipeline.watermark_us)


@law
@given(case=cases())
async def test_late_events_and_joins_are_taken_back_where_they_were_counted(
    database: str, engine: AsyncEngine, few: None, case: Case
) -> None:
    log = with_many_names(case.log)
    pipeline = await open_pipeline(engine, database)
    pipeline.send(log)
    with short_checkpoints(case):
        for step in case.steps:
            if step.clock_us is not None:
                await pipeline.tick(step.clock_us)
            await pipeline.stage(step.partition, step.count)
        await pipeline.finish()
        for name, model in pipeline.models.items():
            await assert_law(pipeline, log, name, model)
        generation = await pipeline.begin("six_stage")
        await pipeline.restage_all()
        await pipeline.tick(pipeline.watermark_us)
    await assert_law(pipeline, log, "six_stage", generation)


async def test_customers_that_join_and_part_after_the_cut_are_taken_back_where_they_were_counted(
    database: str, engine: AsyncEngine, few: None
) -> None:
    pipeline = await open_pipeline(engine, database)
    model = pipeline.models["seven_phase"]
    first = Touchpoint(START_US, 0, "m", "c", "track", "Product Added", 0, 1)
    visitors = [
        first._replace(
            message_id=f"m{n}", actor=f"a{n}", anonymous_id=f"a{n}", channel=f"own{n}", occurred_us=START_US + n
        )
        for n in range(6)
    ]
    users = [
        event._replace(message_id=f"u{n}", actor=f"u{n}", anonymous_id="", user_id=f"u{n}", channel=f"own{5 - n}")
        for n, event in enumerate(visitors)
    ]
    for event in (*visitors, *users):  # one by one: the first two channels are admitted
        pipeline.send([event])
        await pipeline.finish()
    assert await pipeline.cut(START_US + DAY_US) == 12
    linked = [
        event._replace(
            message_id=f"i{n}", call="identify", name="", anonymous_id=f"a{n}", occurred_us=START_US + (n + 2) * DAY_US
        )
        for n, event in enumerate(users)
    ]
    parted = [ruling_of("unlink", f"u{n}", f"a{n}", START_US + (n + 12) * DAY_US, f"r{n}") for n in range(0, 6, 2)]
    for event in (*linked, *parted):
        pipeline.send([event])
        await pipeline.finish()
        customers = (await pipeline.projection(model)).customers.values()
        recounted = counts_at([(customer.state, customer.transitions) for customer in customers])
        admitted = await admitted_to(pipeline, model)
        assert admitted[CHANNEL, 0] == {"own0", "own1"}
        assert (await pipeline.projection(model)).counts == by_channel(recounted, admitted)


async def test_partitions_that_admit_at_once_admit_no_more_than_there_is_room_for(
    database: str, engine: AsyncEngine, few: None
) -> None:
    pipeline = await open_pipeline(engine, database)
    first = Touchpoint(1_700_000_000_000_000, 0, "m", "c", "track", "Strange", 0, 1)
    log = [
        first._replace(
            message_id=f"m{n}", actor=f"c{n}", user_id=f"c{n}", name=f"Strange {n % 9}", channel=f"own{n % 9}"
        )
        for n in range(60)
    ]
    pipeline.send(log)
    await pipeline.registry.current()
    while any(pipeline.waiting):
        await asyncio.gather(*(pipeline.stage(partition, 2) for partition in range(PARTITIONS)))
    assert {partition_of(event.actor.encode(), PARTITIONS) for event in log} == set(range(PARTITIONS))
    for name, model in pipeline.models.items():
        admitted = await admitted_to(pipeline, model)
        assert [len(names) for names in admitted.values()] == [LIMIT, LIMIT]
        await assert_law(pipeline, log, name, model)


async def test_a_retired_generation_leaves_no_names(database: str, engine: AsyncEngine, few: None) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send([Touchpoint(1_700_000_000_000_000, 0, "m1", "c1", "track", "Strange", 0, 1, "own", user_id="c1")])
    await pipeline.finish()
    model = pipeline.models["five_stage"]
    assert len(await admitted_to(pipeline, model)) == 2
    async with transaction(engine) as connection:
        await generations.retire_model(connection, f"w{pipeline.workspace}", "five_stage")
    for _ in range(2):
        async with transaction(engine) as connection:
            await generations.drop_retired(connection, 100)
    assert await admitted_to(pipeline, model) == {}
