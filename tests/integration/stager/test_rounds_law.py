"""The law of rounds on real PostgreSQL: a log cut into any rounds over several partitions, by two members that take
partitions from each other amid them, is a sorted replay; and exactly what another member has moved is refused."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.consume.partition import AssignedPartition
from services.stager.consume.position import Position
from services.stager.consume.staging import RoundStaging
from services.stager.context import FaultLimit
from tests.reference import replay
from tests.strategies.staging import Case, cases, short_checkpoints
from tests.support.pipeline import PARTITIONS, LogRecord, Pipeline, open_pipeline
from tests.support.projection import assert_same
from throughline.store.engine.unit_of_work import reading
from throughline.store.offsets import Offset, read_offset
from throughline.wire.codec import Rejected

Counts = Mapping[int, int]
"""Partition -> number of records of it in a round."""

counts = st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(1, 9), max_size=PARTITIONS)
rounds = st.lists(st.tuples(counts, counts, st.booleans()), max_size=8)
"""What both members stage at once, and whether the clock moves on before."""


class Member:
    """A stager that believes that all partitions are its own."""

    def __init__(self, pipeline: Pipeline, log: Sequence[Sequence[LogRecord]]) -> None:
        async def send_rejected(rejected: Sequence[Rejected]) -> None:
            raise AssertionError(rejected)

        self._pipeline = pipeline
        self._log = log
        context: Any = SimpleNamespace(
            engine=pipeline.engine,
            models=pipeline.registry,
            send_rejected=send_rejected,
            faults=FaultLimit(),
            log_seconds=None,
        )
        self._context = context
        tps = [TopicPartition(pipeline.topic, number) for number in range(PARTITIONS)]
        self._partitions = {tp: AssignedPartition(context, tp) for tp in tps}

    async def locate(self) -> None:
        """Find out where it stands, of partitions that it does not know of."""
        async with reading(self._pipeline.engine) as connection:
            for tp, partition in self._partitions.items():
                if partition.position is None:
                    stored = await read_offset(connection, tp.topic, tp.partition) or Offset(0, b"", 0)
                    partition.position = Position(stored, stored.next_offset)

    def stands(self) -> dict[int, int | None]:
        """By partition: the next offset, None when it has to be found out."""
        return {tp.partition: partition.next_offset for tp, partition in self._partitions.items()}

    async def stage(self, counts: Counts) -> dict[int, int]:
        """Stage a round. Returns for each of its partitions where its records end."""
        self._context.received_watermark_us = self._pipeline.watermark_us
        positions = {tp: position for tp, of in self._partitions.items() if (position := of.position) is not None}
        records = {
            tp: self._log[tp.partition][position.next_offset :][: counts.get(tp.partition, 0)]
            for tp, position in positions.items()
        }
        records = {tp: of for tp, of in records.items() if of}
        if records:
            staging = RoundStaging(self._context, self._partitions, records, positions)
            await staging.prepare()
            await staging.stage(stopping=lambda: False)
        return {tp.partition: of[-1].offset + 1 for tp, of in records.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases(), steps=rounds)
async def test_any_rounds_of_two_members_are_a_sorted_replay(
    database: str, engine: AsyncEngine, case: Case, steps: list[tuple[Counts, Counts, bool]]
) -> None:
    pipeline = await open_pipeline(engine, database)
    whole = case.log + case.log[: case.repeated]
    pipeline.send(whole)
    log = [list(records) for records in pipeline.waiting]
    ends = [0] * PARTITIONS
    members = [Member(pipeline, log), Member(pipeline, log)]
    with short_checkpoints(case):
        for *of_members, is_later in steps:
            if is_later:
                await pipeline.tick(case.clock_us)
            for member in members:
                await member.locate()
            before = [member.stands() for member in members]
            after = await asyncio.gather(
                *(member.stage(counts) for member, counts in zip(members, of_members, strict=True))
            )
            for partition in range(PARTITIONS):
                _check(partition, ends, before, after, [member.stands() for member in members])
        await members[0].locate()
        for _ in range(2):
            await members[0].stage(dict.fromkeys(range(PARTITIONS), len(whole)))
            await members[0].locate()
        assert list(members[0].stands().values()) == [len(records) for records in log]
        while await pipeline.recompute_aside():
            pass
        await pipeline.tick(pipeline.watermark_us)
    for name, model in pipeline.models.items():
        expected = replay(whole, name, pipeline.watermark_us)
        assert_same(await pipeline.projection(model), expected, pipeline.watermark_us)


def _check(
    partition: int,
    ends: list[int],
    before: Sequence[Mapping[int, int | None]],
    after: Sequence[Mapping[int, int]],
    now: Sequence[Mapping[int, int | None]],
) -> None:
    """Whoever stood where the partition was staged to, and was the only one or the first, has moved it; others not."""
    staging = [number for number in range(len(before)) if partition in after[number]]
    current = [number for number in staging if before[number][partition] == ends[partition]]
    moved = [number for number in staging if now[number][partition] is not None]
    assert len(moved) == min(1, len(current))
    assert set(moved) <= set(current)
    for number in moved:
        assert now[number][partition] == after[number][partition]
        ends[partition] = after[number][partition]
