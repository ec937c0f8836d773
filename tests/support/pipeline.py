"""A pipeline staged by hand on real PostgreSQL: its log is a list, and a test decides what is staged when."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain.erase import erase
from services.stager.maintain.lapses import sweep
from services.stager.maintain.recompute_aside import SLICE_ROWS, recompute_aside
from services.stager.maintain.restage import restage
from services.stager.maintain.retention import ROWS, delete_old_facts
from services.stager.maintain.walk import Share
from services.stager.stage.budget import Limits
from services.stager.stage.claims import prepare_batch
from services.stager.stage.decode import record_digest
from services.stager.stage.models import ModelRegistry, ModelsChangedError
from services.stager.stage.offset import StaleOffsetError
from services.stager.stage.transaction import BatchResult, commit
from tests.support.projection import Projection, read_projection
from throughline.journey.touchpoint import Touchpoint
from throughline.store import generations, retention
from throughline.store.access.workspaces import create_workspace
from throughline.store.analytics import ShardMerger
from throughline.store.engine.unit_of_work import transaction
from throughline.store.id_walk import SLOTS
from throughline.store.offsets import Offset, OffsetMove
from throughline.store.schema.operations import models
from throughline.wire.claims import Claim, encode_claim
from throughline.wire.codec import encode, partition_of

PARTITIONS = 3
PATIENT = Limits(seconds=600, checkpoints=1_000_000)
"""Limits that leave nothing aside, however busy the machine is and however often checkpoints are written."""

MAX_CHUNKS = 100 * SLOTS
"""More chunks than the restage of any test has."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class LogRecord:
    """A record of a Kafka partition, as far as staging reads it."""

    offset: int
    value: bytes
    key: bytes | None = None
    timestamp: int = 1_700_000_001_000


@dataclass
class Pipeline:
    """One workspace, its log and the database into which it is staged batch by batch."""

    engine: AsyncEngine
    url: str
    workspace: int
    models: dict[str, int]
    """Name of a model -> id of its generation."""
    topic: str
    registry: ModelRegistry
    waiting: list[list[LogRecord]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    ends: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    watermark_us: int = 0
    """Everything received before it is in the state."""
    limits: Limits = PATIENT
    """What a transaction may spend on recomputing."""

    def send(self, log: Sequence[Touchpoint]) -> None:
        """Append touchpoints to the log, each to its actor's partition."""
        for event in log:
            partition = partition_of(event.actor.encode(), PARTITIONS)
            record = LogRecord(self.ends[partition], encode(event._replace(workspace=self.workspace)))
            self.ends[partition] += 1
            self.waiting[partition].append(record)

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Append claims to the log."""
        for claim in claims:
            partition = partition_of(claim.key, PARTITIONS)
            self.waiting[partition].append(LogRecord(self.ends[partition], encode_claim(claim), claim.key))
            self.ends[partition] += 1

    async def erase(self, slices: int) -> bool:
        """Do some slices of erasures, and of what is recomputed aside; returns whether any was due."""
        is_due = False
        for _ in range(slices):
            for partition in range(PARTITIONS):
                await self.registry.refresh()
                is_due |= await erase(
                    self.engine,
                    await self.registry.current(),
                    partition,
                    watermark_us=self.watermark_us,
                    has_caught_up=not any(self.waiting),
                    send=self.claim,
                    now_us=self.watermark_us,
                )
            await self.registry.refresh()
            is_due |= bool(await self.recompute_aside())
        return is_due

    async def erase_all(self) -> None:
        """Carry every erasure out, and stage what that puts on the log."""
        await self.erase(1)
        await self.finish()
        while await self.erase(1):
            pass
        await self.registry.refresh()

    async def stage(self, partition: int, count: int, *, dies: bool = False) -> BatchResult | None:
        """Stage the next `count` records of a partition.

        With `dies` a consumer that does not know that they are committed stages them again, which must fail.
        """
        return await self.stage_round({partition: count}, dies=dies)

    async def stage_round(self, counts: Mapping[int, int], *, dies: bool = False) -> BatchResult | None:
        """Stage the next records of some partitions, so many of each, in one transaction."""
        parts = {number: of for number, count in counts.items() if (of := self.waiting[number][:count])}
        if not parts:
            return None
        try:
            staged = await self._commit(parts, dies=dies)
        except ModelsChangedError:
            await self.registry.refresh()
            staged = await self._commit(parts, dies=dies)
        for number, records in parts.items():
            del self.waiting[number][: len(records)]
        return staged

    async def _commit(self, parts: Mapping[int, Sequence[LogRecord]], *, dies: bool) -> BatchResult:
        models = await self.registry.current()
        batch = await prepare_batch(self.engine, parts, models, topic=self.topic)
        assert not batch.rejected
        stage = partial(
            commit,
            self.engine,
            batch,
            models,
            topic=self.topic,
            moves=[move_of(number, records) for number, records in parts.items()],
            watermark_us=self.watermark_us,
            limits=self.limits,
        )
        staged = await stage()
        if dies:
            with pytest.raises(StaleOffsetError) as refused:
                await stage()
            assert refused.value.partitions == set(parts)
        return staged

    async def tick(self, watermark_us: int) -> None:
        """Move the watermark on: every partition records the lapses due before it."""
        self.watermark_us = max(self.watermark_us, watermark_us)
        await self.registry.refresh()
        models = await self.registry.current()
        for partition in range(PARTITIONS):
            more = True
            while more:
                _, more = await sweep(self.engine, models, Share(partition, PARTITIONS), watermark_us=self.watermark_us)

    async def finish(self) -> None:
        """Stage all that is left of the log, then record the lapses that are due."""
        for partition in range(PARTITIONS):
            while self.waiting[partition]:
                await self.stage(partition, 7)
        await self.tick(self.watermark_us)

    async def begin(self, model: str) -> int:
        """Begin a generation of the model, which is staged into from now on. Returns its id."""
        async with transaction(self.engine) as connection:
            generation = await generations.begin_restage(
                connection, f"w{self.workspace}", model, document=None, now_us=1
            )
        await self.registry.refresh()
        return generation

    async def restage(self, partition: int, chunks: int) -> None:
        """Compute generations that are being built from the stored facts: at most `chunks` chunks of a partition."""
        models = await self.registry.current()
        for _ in range(chunks):
            share = Share(partition, PARTITIONS)
            if not await restage(self.engine, models, share, watermark_us=self.watermark_us, limits=self.limits):
                break

    async def recompute_aside(self, rows: int = SLICE_ROWS) -> int:
        """Recompute a slice of every journey that is marked. Returns the number of slices."""
        models = await self.registry.current()
        slices = 0
        for partition in range(PARTITIONS):
            share = Share(partition, PARTITIONS)
            aside = await recompute_aside(
                self.engine, models, share, watermark_us=self.watermark_us, rows=rows, seconds=60
            )
            slices += aside.slices
        return slices

    async def restage_all(self) -> None:
        """Compute every generation that is being built to its end."""
        for partition in range(PARTITIONS):
            await self.restage(partition, MAX_CHUNKS)
        await self.registry.refresh()

    async def cut(self, retention_cutoff_us: int, rows: int = ROWS) -> int:
        """Move the retention cutoff and delete the facts before it, on all partitions; returns how many.

        A transaction deletes at most `rows`.
        """
        async with transaction(self.engine) as connection:
            await retention.move_retention_cutoff(connection, self.workspace, retention_cutoff_us)
        await self.registry.refresh()
        models = await self.registry.current()
        deleted = 0
        for partition in range(PARTITIONS):
            share = Share(partition, PARTITIONS)
            while (chunk := await delete_old_facts(self.engine, models, share, rows=rows)) is not None:
                assert chunk <= rows
                deleted += chunk
        return deleted

    async def merge_shards(self, before_us: int, count: int) -> None:
        """Merge the shards of all sums of days before an instant, looking at `count` rows at a time."""
        merger = ShardMerger()
        has_more = True
        while has_more:
            async with transaction(self.engine) as connection:
                has_more = await merger.run(connection, before_us, count)

    async def projection(self, model: int) -> Projection:
        """The state of one generation."""
        return await read_projection(self.url, model)


def move_of(partition: int, records: Sequence[LogRecord]) -> OffsetMove:
    """The move of a partition past some records."""
    return OffsetMove(partition, records[0].offset, Offset(records[-1].offset + 1, record_digest(records[-1]), 0))


async def open_pipeline(engine: AsyncEngine, url: str, *, zone: str = "UTC") -> Pipeline:
    """A new workspace with the models seven_phase and five_stage, and a topic of its own, empty."""
    number = next(_numbers)
    async with transaction(engine) as connection:
        workspace = await create_workspace(connection, f"new{number}", now_us=1, time_zone=zone)
        name = f"w{workspace}"
        await connection.exec_driver_sql(f"UPDATE workspaces SET name = '{name}' WHERE id = {workspace}")
        await connection.exec_driver_sql(
            f"INSERT INTO models (workspace, name, created_us) VALUES ({workspace}, 'five_stage', 1)"
        )
        rows = await connection.execute(select(models.c.name, models.c.id).where(models.c.workspace == workspace))
        generations_by_model = {row.name: row.id for row in rows}
    return Pipeline(engine, url, workspace, generations_by_model, f"touchpoints{number}", ModelRegistry(engine))
