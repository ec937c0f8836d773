"""The law on real PostgreSQL: however a log is ordered, repeated, batched, spread over partitions, cut by crashes and
swept by the clock, the state is a sorted replay's, in the canonical projection of `tests/support/projection.py`."""

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain.lapses import sweep
from services.stager.maintain.restage import restage
from services.stager.stage.decode import prepare, record_digest
from services.stager.stage.models import Workspaces
from services.stager.stage.transaction import Staged, StaleOffsetError, commit
from tests.reference import replay
from tests.strategies.touchpoints import clocks, logs, ruled
from tests.support.projection import Projection, assert_same, read_projection
from throughline.journey import checkpoint
from throughline.journey.touchpoint import Touchpoint
from throughline.store import admin, generations
from throughline.store.digest import id_digest
from throughline.store.engine import create_engine
from throughline.store.offsets import Offset
from throughline.store.restaging import SLOTS
from throughline.store.tables import models
from throughline.store.unit_of_work import transaction
from throughline.wire.codec import encode, partition_of

PARTITIONS = 3
MODELS = ("seven_phase", "five_stage")
numbers = itertools.count(1)


@dataclass(frozen=True)
class Kept:
    """A record as it stands in a log."""

    offset: int
    value: bytes
    key: bytes | None = None
    timestamp: int = 1_700_000_001_000


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@dataclass
class Pipeline:
    """One workspace's log on its way into the database: staged by hand, batch by batch."""

    engine: AsyncEngine
    url: str
    workspace: int
    models: dict[str, int]
    topic: str
    workspaces: Workspaces
    waiting: list[list[Kept]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    ends: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    watermark_us: int = 0

    def send(self, log: Sequence[Touchpoint]) -> None:
        for event in log:
            partition = partition_of(event.actor.encode(), PARTITIONS)
            record = Kept(self.ends[partition], encode(event._replace(workspace=self.workspace)))
            self.ends[partition] += 1
            self.waiting[partition].append(record)

    async def stage(self, partition: int, count: int, *, dies: bool = False) -> Staged | None:
        """Stage the next records of a partition. `dies`: once more, by a member that does not know it is done."""
        records = self.waiting[partition][:count]
        if not records:
            return None
        known = await self.workspaces.of({self.workspace})
        batch = prepare(records, known, topic=self.topic, partition=partition)
        assert not batch.rejected
        to = Offset(records[-1].offset + 1, record_digest(records[-1]), 0)
        stage = partial(
            commit,
            *(self.engine, batch, known),
            topic=self.topic,
            partition=partition,
            expected=records[0].offset,
            to=to,
            received_watermark_us=self.watermark_us,
        )
        staged = await stage()
        if dies:
            with pytest.raises(StaleOffsetError):
                await stage()
        del self.waiting[partition][:count]
        return staged

    async def tick(self, watermark_us: int) -> None:
        """The clock passes: every partition sweeps its customers."""
        self.watermark_us = max(self.watermark_us, watermark_us)
        known = await self.workspaces.of({self.workspace})
        for partition in range(PARTITIONS):
            more = True
            while more:
                _, more = await sweep(
                    self.engine,
                    known,
                    partition=partition,
                    partitions=PARTITIONS,
                    watermark_us=self.watermark_us,
                )

    async def finish(self) -> None:
        for partition in range(PARTITIONS):
            while self.waiting[partition]:
                await self.stage(partition, 7)
        await self.tick(self.watermark_us)

    async def begin(self, model: str) -> int:
        """A new generation, known from now on; gives its id."""
        async with transaction(self.engine) as connection:
            made = await generations.begin_restage(connection, f"w{self.workspace}", model, document=None, now_us=1)
        await self.workspaces.refresh()
        return made

    async def restage(self, partition: int, chunks: int) -> None:
        """Fill what is being built from the stored facts, as far as so many chunks of a partition go."""
        known = await self.workspaces.of({self.workspace})
        share = {"partition": partition, "partitions": PARTITIONS, "watermark_us": self.watermark_us}
        for _ in range(chunks):
            if not await restage(self.engine, known, **share):
                break

    async def restage_all(self) -> None:
        """Fill it whole."""
        for partition in range(PARTITIONS):
            await self.restage(partition, 2 * SLOTS)
        await self.workspaces.refresh()

    async def projection(self, model: int) -> Projection:
        return await read_projection(self.url, model)


async def open_pipeline(engine: AsyncEngine, url: str, *, zone: str = "UTC") -> Pipeline:
    number = next(numbers)
    async with transaction(engine) as connection:
        workspace = await admin.create_workspace(connection, f"new{number}", now_us=1, time_zone=zone)
        name = f"w{workspace}"
        await connection.exec_driver_sql(f"UPDATE workspaces SET name = '{name}' WHERE id = {workspace}")
        await connection.exec_driver_sql(
            f"INSERT INTO models (workspace, name, created_us) VALUES ({workspace}, 'five_stage', 1)"
        )
        rows = await connection.execute(select(models.c.name, models.c.id).where(models.c.workspace == workspace))
        applied = {row.name: row.id for row in rows}
    workspaces = Workspaces(engine)
    return Pipeline(engine, url, workspace, applied, f"touchpoints{number}", workspaces)


@dataclass(frozen=True)
class Do:
    """One thing that happens to the pipeline."""

    partition: int
    count: int
    dies: bool
    clock_us: int | None


@dataclass(frozen=True)
class Case:
    """A log, and how it comes in."""

    log: list[Touchpoint]
    todo: list[Do]
    again: int
    """How many of the log's first events come once more at its end."""
    clock_us: int
    every: int
    """Touchpoints between checkpoints."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    log = draw(logs())
    do = st.builds(Do, st.integers(0, PARTITIONS - 1), st.integers(1, 9), st.booleans(), st.none() | clocks(log))
    every = draw(st.sampled_from([checkpoint.EVERY, 1, 2, 5]))
    return Case(log, draw(st.lists(do, max_size=10)), draw(st.integers(0, 30)), draw(clocks(log)), every)


@contextmanager
def marked(case: Case) -> Iterator[None]:
    """Histories as short as a test's have checkpoints too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", case.every)
        yield


law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@law
@given(case=cases(), zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]))
async def test_any_log_in_any_way_is_a_sorted_replay(database: str, engine: AsyncEngine, case: Case, zone: str) -> None:
    pipeline = await open_pipeline(engine, database, zone=zone)
    whole = case.log + case.log[: case.again]
    pipeline.send(whole)
    with marked(case):
        for do in case.todo:
            if do.clock_us is not None:
                await pipeline.tick(do.clock_us)
            await pipeline.stage(do.partition, do.count, dies=do.dies)
        await pipeline.finish()
    for name, model in pipeline.models.items():
        wanted = replay(whole, name, pipeline.watermark_us, zone)
        assert_same(await pipeline.projection(model), wanted, pipeline.watermark_us)


@law
@given(case=cases(), cut=st.integers(0, 30))
async def test_a_restage_amid_traffic_is_staging_afresh(
    database: str, engine: AsyncEngine, case: Case, cut: int
) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(case.log[:cut])
    with marked(case):
        await pipeline.finish()
        pipeline.send(case.log[cut:])
        made = await pipeline.begin("six_stage")
        for do in case.todo:
            await pipeline.stage(do.partition, do.count)
            await pipeline.restage((do.partition + do.count) % PARTITIONS, do.count)
        await pipeline.restage_all()
        await pipeline.tick(case.clock_us)
        await pipeline.finish()
    assert_same(
        await pipeline.projection(made),
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
    strange = Touchpoint(1_700_000_000_000_000, "m1", visitor, "track", "Strange", 0, 1, anonymous_id=visitor)
    known = strange._replace(message_id="m2", actor=user, anonymous_id="", user_id=user)
    said = known._replace(message_id="m3", anonymous_id=visitor, occurred_us=known.occurred_us + 5)
    parted = ruled("unlink", user, visitor, known.occurred_us + 9, "m4")
    log = [strange, known, said, parted] if ending == "unlink" else [strange, known, said]
    pipeline.send(log[:-1])
    await pipeline.finish()
    made = await pipeline.begin("six_stage")
    for partition in range(2):
        await pipeline.restage(partition, SLOTS)
    pipeline.send(log[-1:])
    await pipeline.finish()
    await pipeline.restage_all()
    await pipeline.tick(log[-1].occurred_us)
    found = await pipeline.projection(made)
    assert_same(found, replay(log, "six_stage", pipeline.watermark_us), pipeline.watermark_us)
    assert [one.events for one in found.unmapped.values()] == [3]


async def test_a_differing_second_event_of_one_message_id_is_a_conflict(database: str, engine: AsyncEngine) -> None:
    pipeline = await open_pipeline(engine, database)
    first = Touchpoint(1_700_000_000_000_000, "m1", "c1", "track", "Product Added", 0, 1, "direct", 1)
    pipeline.send([first, first._replace(occurred_us=first.occurred_us + 5), first._replace(name="Order Completed")])
    partition = partition_of(b"c1", PARTITIONS)
    assert await pipeline.stage(partition, 1) == Staged(staged=1)
    outcome = await pipeline.stage(partition, 2)
    assert outcome is not None
    assert (outcome.staged, outcome.duplicates, outcome.conflicts) == (0, 1, 1)
    found = await pipeline.projection(pipeline.models["seven_phase"])
    assert [move[:4] for move in found.customers["c1"].moves] == [(first.occurred_us, "m1", "c1", 1)]


@pytest.mark.parametrize("joins", [False, True])
async def test_what_comes_with_a_late_event_is_not_lost_where_the_fold_meets_a_checkpoint(
    database: str, engine: AsyncEngine, joins: bool
) -> None:
    pipeline = await open_pipeline(engine, database)
    start_us = 1_700_000_000_000_000
    seen = Touchpoint(start_us, "m0", "c1", "track", "Product Viewed", 0, 1, "direct", user_id="c1")
    early = [seen._replace(message_id=f"m{n}", occurred_us=start_us + n * 10) for n in range(8)]
    late = seen._replace(message_id="late", occurred_us=start_us + 11)
    bought = seen._replace(message_id="bought", name="Order Completed", occurred_us=start_us + 100)
    if joins:
        late, bought = (one._replace(actor="a1", user_id="", anonymous_id="a1") for one in (late, bought))
    said = seen._replace(message_id="said", call="identify", name="", anonymous_id="a1", occurred_us=start_us + 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 2)
        pipeline.send(early)
        await pipeline.finish()
        log = [late, bought, said] if joins else [late, bought]
        pipeline.send(log)
        await pipeline.finish()
    assert_same(
        await pipeline.projection(pipeline.models["seven_phase"]),
        replay(early + log, "seven_phase", pipeline.watermark_us),
        pipeline.watermark_us,
    )
