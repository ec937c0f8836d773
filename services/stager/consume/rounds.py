"""The stager's heart: one loop, one transaction a round; a large round has several, some side by side.

The next round is gathered and prepared while PostgreSQL works on the last one. Once a second a heartbeat moves the
watermark of quiet partitions and looks for maintenance, which has its turn after each round.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import TopicPartition
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from services.stager.consume.gather import LANES, SMALL_ROUND_RECORDS, Round, by_order, by_partition, gather
from services.stager.consume.partition import (
    LONGEST_PAUSE_SECONDS,
    AssignedPartition,
    count_failure,
    first_line,
    kind_of,
    pause_seconds,
)
from services.stager.consume.position import Position
from services.stager.consume.staging import RoundStaging
from services.stager.context import StagerContext
from services.stager.maintain.schedule import Maintenance
from services.stager.stage.offset import StaleOffsetError
from throughline.kit import metrics
from throughline.store.engine.unit_of_work import transaction
from throughline.store.offsets import Offset, OffsetMove, move_offsets

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
"""Time that the transaction under way has to end before it is rolled back."""
HEARTBEAT_SECONDS = 1.0
"""Time between heartbeats."""
ROUND_SECONDS = 1.0
"""Time that a round may take: after a longer one the next is smaller, so that no partition waits for long."""
SMALLEST_ROUND_RECORDS = 50
MAX_GROWTH = 4.0
"""Maximum of how many times as many records as one round the next may have."""
ALONE_SECONDS = 30.0
"""Time after contention in which no two transactions of this process run side by side: they may be on one customer."""
MANY_ALIASES_SECONDS = 5.0
"""Likewise, after a round of many aliases."""

Lanes = Sequence[Sequence[RoundStaging]]
"""The transactions of a round: those of a lane follow each other, the lanes are side by side."""


class RoundLoop:
    """Stages some partitions until stopped."""

    def __init__(self, context: StagerContext, tps: Iterable[TopicPartition]) -> None:
        self.partitions = {tp: AssignedPartition(context, tp) for tp in sorted(tps)}
        self._context = context
        self._topic = next(iter(self.partitions)).topic
        self._is_stopping = False
        self._turn = 0
        """Number of the partition that is read first."""
        self._max_records = min(context.batch_records, SMALL_ROUND_RECORDS)
        self._alone_until = 0.0
        """Until when the transactions of a round are not side by side."""
        self._ready: Lanes = []
        """The round that is written next."""
        self._has_records = False
        """Whether records wait for the next round."""
        self._next_heartbeat = 0.0
        self._failed_beats = 0
        self._heartbeat_trouble = ""
        self._maintenance = Maintenance(context, self._topic, [tp.partition for tp in self.partitions])
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception), wait=pause_seconds, before_sleep=self._note_failure
        )
        self._writing: asyncio.Task[None] | None = None
        self._running = asyncio.create_task(self._run(), name="rounds")

    async def stop(self, *, patience_seconds: float = STOP_SECONDS) -> None:
        """Finish the transaction under way, then end. One that takes longer than `patience_seconds` is rolled back."""
        self._is_stopping = True
        self._running.cancel()
        tasks = [self._running] if self._writing is None else [self._running, self._writing]
        _, late = await asyncio.wait(tasks, timeout=patience_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(
            *tasks, *(partition.stop() for partition in self.partitions.values()), return_exceptions=True
        )

    @property
    def troubles(self) -> dict[int, str]:
        """What keeps which partition from going on, or its share of the maintenance."""
        staging = {tp.partition: partition.trouble for tp, partition in self.partitions.items() if partition.trouble}
        beating = dict.fromkeys((tp.partition for tp in self.partitions), self._heartbeat_trouble)
        return (beating if self._heartbeat_trouble else {}) | self._maintenance.troubles | staging

    async def _run(self) -> None:
        while True:
            await self._retrying(self._run_once)

    async def _run_once(self) -> None:
        """Write the round that is ready, while the next one is gathered and prepared."""
        for partition in self.partitions.values():
            partition.locate()
        ready, self._ready = self._ready, []
        self._has_records = False
        self._writing = asyncio.create_task(self._write(ready), name="round")
        try:
            self._ready = await self._next_round(self._writing)
        finally:
            await asyncio.wait([self._writing])
        self._writing.result()
        for partition in self.partitions.values():
            partition.note_success()

    async def _next_round(self, write: asyncio.Task[None]) -> Lanes:
        self._turn += 1
        # Where the partitions of the round stand. One that is located again meanwhile is not read any more.
        positions: dict[TopicPartition, Position] = {}

        def located() -> list[TopicPartition]:
            positions.update(
                (tp, partition.position)
                for tp, partition in self.partitions.items()
                if partition.position is not None and tp not in positions
            )
            tps = [tp for tp in positions if self.partitions[tp].position is positions[tp]]
            first = self._turn % max(1, len(tps))
            return tps[first:] + tps[:first]

        records = await gather(
            self._context.consumer,
            located,
            max_records=self._max_records,
            ends=lambda: self._rest_ends(write),
            write=write,
            came=self._note_records,
        )
        if not records:
            return []
        size = self._context.batch_records
        if time.monotonic() >= self._alone_until:
            lanes = await self._prepare(by_partition(records, size), positions)
            if len(lanes) == 1 or not any(staging.has_many_aliases for lane in lanes for staging in lane):
                return lanes
            # The next rounds are like this one, and need not be prepared twice.
            self._alone_until = time.monotonic() + MANY_ALIASES_SECONDS
        # The transactions may be on the same customers. An alias costs less where the one before it is in the same.
        return await self._prepare([by_order(records, size)], positions)

    async def _prepare(
        self, lanes: Sequence[Sequence[Round]], positions: Mapping[TopicPartition, Position]
    ) -> list[list[RoundStaging]]:
        prepared = [[RoundStaging(self._context, self.partitions, part, positions) for part in lane] for lane in lanes]
        for lane in prepared:
            for staging in lane:
                await staging.prepare()
        return prepared

    def _note_records(self) -> None:
        self._has_records = True

    def _rest_ends(self, write: asyncio.Task[None]) -> float:
        """Returns until when there is nothing to do unless a record comes."""
        has_failed = write.done() and (write.cancelled() or write.exception() is not None)
        return 0.0 if has_failed or self._maintenance.is_due else self._next_heartbeat

    async def _write(self, ready: Lanes) -> None:
        """Commit a round, and do what else is due."""
        if ready:
            started = time.monotonic()
            await self._stage(ready)
            size = sum(staging.size for lane in ready for staging in lane)
            seconds = time.monotonic() - started
            self._max_records = next_round_records(
                self._max_records, size, seconds, LANES * self._context.batch_records
            )
        if not self._is_stopping and time.monotonic() >= self._next_heartbeat:
            await self._beat()
        if not self._is_stopping:
            await self._maintenance.run_turn(self._is_at_rest)

    def _is_at_rest(self) -> bool:
        """Whether nothing waits for the writing to end."""
        return not self._has_records and not self._is_stopping and time.monotonic() < self._next_heartbeat

    async def _stage(self, lanes: Lanes) -> None:
        """Stage the transactions of a round; raises the first error once all lanes have ended."""
        errors = await asyncio.gather(*map(self._stage_lane, lanes), return_exceptions=True)
        if any(staging.has_contended for lane in lanes for staging in lane):
            self._alone_until = time.monotonic() + ALONE_SECONDS
        for error in errors:
            if error is not None:
                raise error

    async def _stage_lane(self, lane: Sequence[RoundStaging]) -> None:
        for staging in lane:
            await staging.stage(stopping=lambda: self._is_stopping)

    async def _beat(self) -> None:
        """Move the watermark of quiet partitions and look for maintenance, in one transaction. Staging does without."""
        try:
            await self._move_watermarks()
        except Exception as error:
            self._failed_beats += 1
            pause_seconds = min(LONGEST_PAUSE_SECONDS, HEARTBEAT_SECONDS * self._failed_beats)
            self._heartbeat_trouble = f"{kind_of(error)}: {first_line(error)}"
            metrics.STAGER_RETRIES.labels(kind_of(error)).inc()
            log.warning("a heartbeat failed; the next one comes in %.0f s", pause_seconds, exc_info=error)
        else:
            self._failed_beats, pause_seconds, self._heartbeat_trouble = 0, HEARTBEAT_SECONDS, ""
        self._next_heartbeat = time.monotonic() + pause_seconds

    async def _move_watermarks(self) -> None:
        quiet = {
            tp.partition: (partition, partition.position, to)
            for tp, partition in self.partitions.items()
            if partition.position is not None and (to := self._quiet_until(tp, partition.position)) is not None
        }
        moves = [OffsetMove(number, position.stored.next_offset, to) for number, (_, position, to) in quiet.items()]
        async with transaction(self._context.engine) as connection:
            moved = await move_offsets(connection, self._topic, moves) if moves else set()
            await self._maintenance.look(connection)
        for number, (partition, position, to) in quiet.items():
            if number in moved:
                position.stored = to
            else:
                stale = StaleOffsetError(self._topic, [number])
                log.warning("%s", stale)
                metrics.STAGER_RETRIES.labels("stale").inc()
                partition.note_failure(stale)

    def _quiet_until(self, tp: TopicPartition, position: Position) -> Offset | None:
        """Returns the same offset with a later watermark, when everything up to the broker's last answer is staged."""
        answered_ms = self._context.consumer.last_poll_timestamp(tp)
        if answered_ms is None or self._context.consumer.highwater(tp) != position.next_offset:
            return None
        received_watermark_us = answered_ms * 1000
        if received_watermark_us <= position.stored.received_watermark_us:
            return None
        return position.stored._replace(received_watermark_us=received_watermark_us)

    def _note_failure(self, attempt: RetryCallState) -> None:
        error = count_failure("the loop of rounds", attempt)
        self._ready = []
        for partition in self.partitions.values():
            partition.note_failure(error)


def next_round_records(limit: int, staged: int, seconds: float, maximum: int) -> int:
    """Returns the maximum number of records of the next round.

    Args:
        limit: the maximum of the last round.
        staged: its records.
        seconds: the time they took.
        maximum: what a round may have at most.
    """
    if seconds > ROUND_SECONDS:
        return min(maximum, max(SMALLEST_ROUND_RECORDS, int(staged * ROUND_SECONDS / seconds)))
    growth = min(MAX_GROWTH, ROUND_SECONDS / max(seconds, 1e-3))
    return min(maximum, int(limit * growth))
