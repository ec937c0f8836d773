"""A record at which the stager itself fails: it goes whole to the rejected topic, and its partition goes on."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.consume import staging
from services.stager.consume.partition import AssignedPartition
from services.stager.consume.position import Position
from services.stager.consume.staging import RoundStaging
from services.stager.context import MAX_ISOLATED_FAULTS, FaultLimit
from services.stager.stage.claims import prepare_batch
from services.stager.stage.transaction import BatchResult, commit
from tests.support.pipeline import LogRecord, Pipeline, open_pipeline
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.metrics import STAGER_REGISTRY
from throughline.store.engine.unit_of_work import reading
from throughline.store.offsets import Offset
from throughline.store.schema.facts import touchpoints
from throughline.wire.codec import Rejected, encode

START_US = 1_700_000_000_000_000
POISON = 3


def _record(pipeline: Pipeline, actor: str, number: int) -> LogRecord:
    touchpoint = Touchpoint(
        occurred_us=START_US + number,
        place=0,
        message_id=f"{actor}-{number}",
        actor=actor,
        call="track",
        name="Product Viewed",
        workspace=pipeline.workspace,
        user_id=actor,
    )
    return LogRecord(number, encode(touchpoint))


async def staged(
    engine: AsyncEngine, database: str, monkeypatch: pytest.MonkeyPatch, faults: FaultLimit, *, poison: set[int]
) -> tuple[int, list[Rejected], AssignedPartition]:
    """Stage five records of one partition and ten of another, at some of which the stager fails.

    Returns:
        the number of touchpoints, what was rejected, and the second partition.
    """
    pipeline = await open_pipeline(engine, database)
    of_bob, of_ada = ([_record(pipeline, actor, n) for n in range(size)] for actor, size in (("bob", 5), ("ada", 10)))

    async def failing(engine: AsyncEngine, parts: Mapping[int, Sequence[Any]], *arguments: Any, **options: Any) -> Any:
        if any(record.offset in poison for record in parts.get(1, ())):
            raise ZeroDivisionError("a fault of the stager's own")
        return await prepare_batch(engine, parts, *arguments, **options)

    monkeypatch.setattr(staging, "prepare_batch", failing)
    rejected: list[Rejected] = []

    async def send_rejected(batch: Sequence[Rejected]) -> None:
        rejected.extend(batch)

    context: Any = SimpleNamespace(
        engine=engine,
        models=pipeline.registry,
        send_rejected=send_rejected,
        faults=faults,
        received_watermark_us=0,
        log_seconds=None,
    )
    tps = [TopicPartition(pipeline.topic, number) for number in range(2)]
    partitions = {tp: AssignedPartition(context, tp) for tp in tps}
    positions = {tp: Position(Offset(0, b"", 0), next_offset=0) for tp in tps}
    for tp, position in positions.items():
        partitions[tp].position = position
    rounds = RoundStaging(context, partitions, {tps[0]: of_bob, tps[1]: of_ada}, positions)
    await rounds.prepare()
    await rounds.stage(stopping=lambda: False)
    async with reading(engine) as connection:
        count = await connection.scalar(select(func.count()).select_from(touchpoints))
    return count or 0, rejected, partitions[tps[1]]


async def test_the_others_are_staged(engine: AsyncEngine, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = STAGER_REGISTRY.get_sample_value("throughline_stager_faults_total") or 0.0
    count, rejected, partition = await staged(engine, database, monkeypatch, FaultLimit(), poison={POISON})
    assert [(record.code, record.stage, record.origin.rpartition("/")[2]) for record in rejected] == [
        ("stager_fault", "stager", str(POISON))
    ]
    assert count == 14
    assert partition.next_offset == 10
    assert STAGER_REGISTRY.get_sample_value("throughline_stager_faults_total") == counted + 1


async def test_a_bad_version_cannot_reject_everything_and_holds_up_one_partition(
    engine: AsyncEngine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = FaultLimit()
    for _ in range(MAX_ISOLATED_FAULTS - 1):
        faults.note()
    count, rejected, partition = await staged(engine, database, monkeypatch, faults, poison={POISON, POISON + 4})
    assert faults.is_reached
    assert [record.origin.rpartition("/")[2] for record in rejected] == [str(POISON)]
    assert (partition.position, partition.trouble) == (None, "internal: a fault of the stager's own")
    # All of the other partition, and of this one what was staged before it was held up.
    assert 5 + POISON <= count < 5 + 9
    # It is located again after a pause.
    partition.locate()
    assert partition._locating is None


async def test_a_record_that_takes_too_long_twice_is_rejected_and_the_others_are_staged(
    engine: AsyncEngine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    async def slow(engine: AsyncEngine, batch: Any, *arguments: Any, **options: Any) -> BatchResult:
        touchpoints = [t for actor in batch.actors.values() for t in actor.touchpoints.values()]
        if any(t.message_id == f"ada-{POISON}" for t in touchpoints):
            attempts.append(len(batch.rows))
            await asyncio.sleep(60)
        return await commit(engine, batch, *arguments, **options)

    monkeypatch.setattr(staging, "commit", slow)
    monkeypatch.setattr(staging, "ROUND_SECONDS", 0.5)
    count, rejected, partition = await staged(engine, database, monkeypatch, FaultLimit(), poison=set())
    assert [(record.code, record.origin.rpartition("/")[2]) for record in rejected] == [("stager_fault", str(POISON))]
    assert count == 14
    assert partition.next_offset == 10
    assert attempts == [15, 15, 10, 10, 5, 5, 3, 3, 2, 2, 1, 1]
