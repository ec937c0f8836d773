"""One round, staged: prepared, what is rejected sent to the rejected topic, the rest committed."""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.stager.consume.gather import Round
from services.stager.consume.partition import AssignedPartition, first_line, kind_of
from services.stager.consume.position import Position, report_lost, report_recreated
from services.stager.context import StagerContext
from services.stager.stage.bisect import halves_of_parts, is_value_at_fault, store_halving
from services.stager.stage.claims import prepare_batch
from services.stager.stage.decode import Batch, Record, reject
from services.stager.stage.models import ModelsByWorkspace, ModelsChangedError
from services.stager.stage.offset import StaleOffsetError, offset_after
from services.stager.stage.transaction import BatchResult, commit
from throughline.kit import metrics
from throughline.kit.clock import now_us
from throughline.store.engine.errors import failure_of
from throughline.store.offsets import OffsetMove

log = logging.getLogger(__name__)

ROUND_SECONDS = 30.0
"""Time after which a transaction is given up: before a statement's own time ends, and long after its budget has."""

Partitions = Mapping[TopicPartition, AssignedPartition]


class OutOfTimeError(Exception):
    """The transaction took too long and has written nothing."""


class HeldUpError(Exception):
    """The stager itself fails at a record of one partition, and may reject no more for faults of its own."""

    def __init__(self, tp: TopicPartition, fault: Exception) -> None:
        super().__init__(f"{tp.topic}/{tp.partition} waits for a better version: {first_line(fault)}")
        self.tp = tp
        self.fault = fault


class Prepared(NamedTuple):
    """Records with the batch they make under some models."""

    records: Round
    batch: Batch
    models: ModelsByWorkspace


class RoundStaging:
    """Stages the records of one round.

    Args:
        context: what the process shares.
        partitions: those of this member.
        records: the round.
        positions: where its partitions stood when it was gathered. A partition that was located again since is left
            out: its records come again.
    """

    def __init__(
        self,
        context: StagerContext,
        partitions: Partitions,
        records: Round,
        positions: Mapping[TopicPartition, Position],
    ) -> None:
        self.has_contended = False
        """Whether another transaction was in the way."""
        self._context = context
        self._partitions = partitions
        self._records = records
        self._positions = positions
        self._prepared: Prepared | None = None
        self._sent_origins: set[str] = set()
        """Records sent to the rejected topic already: an attempt that is repeated does not send them again."""

    @property
    def size(self) -> int:
        """Number of records."""
        return sum(map(len, self._records.values()))

    @property
    def has_many_aliases(self) -> bool:
        """Whether the records lead to customers of other partitions."""
        return self._prepared is not None and self._prepared.batch.has_many_aliases

    async def prepare(self) -> None:
        """Decode the records, so that this is done by the time they are staged. What fails here fails there again."""
        try:
            self._prepared = await self._prepare(self._records)
        except Exception as error:
            log.debug("%d records could not be prepared: %s", self.size, error)

    async def stage(self, *, stopping: Callable[[], bool]) -> None:
        """Stage the records, and move the positions behind them.

        A record that the database cannot hold is rejected, and so is one at which the stager itself fails. When another
        member has moved a partition, the others go on without it. `stopping`: whether to end after the transaction
        under way.
        """
        self._report_gaps()
        while not stopping() and (records := self._left()):
            try:
                await store_halving(
                    records,
                    self._stage_in_time,
                    self._refuse,
                    halves_of=halves_of_parts,
                    is_at_fault=self._is_record_at_fault,
                    stopping=stopping,
                )
            except StaleOffsetError as error:
                log.warning("%s; the others go on", error)
                metrics.STAGER_RETRIES.labels("stale").inc()
                self._leave(error)
            except HeldUpError as error:
                log.error("%s; the others go on", error, exc_info=error.fault)
                metrics.STAGER_RETRIES.labels("internal").inc()
                self._partitions[error.tp].hold_up(error.fault)
            except Exception as error:
                if kind_of(error) != "contention":
                    raise
                metrics.STAGER_RETRIES.labels("contention").inc()
                self.has_contended = True

    def _current(self) -> Round:
        """Returns the records of those partitions that were not located again since they were gathered."""
        return {
            tp: records for tp, records in self._records.items() if self._partitions[tp].position is self._positions[tp]
        }

    def _left(self) -> Round:
        """Returns the records that are not staged yet."""
        left: dict[TopicPartition, Sequence[Record]] = {}
        for tp, records in self._current().items():
            next_offset = self._positions[tp].next_offset
            if records[-1].offset >= next_offset:
                left[tp] = records[bisect_left(records, next_offset, key=lambda record: record.offset) :]
        return left

    def _leave(self, error: StaleOffsetError) -> None:
        for tp in self._records:
            if tp.partition in error.partitions:
                self._partitions[tp].note_failure(error)

    def _report_gaps(self) -> None:
        for tp, records in self._current().items():
            position, first_offset = self._positions[tp], records[0].offset
            if first_offset > position.next_offset:
                report_lost(tp, position.next_offset, first_offset)
            elif first_offset < position.next_offset:
                report_recreated(tp, position.next_offset, first_offset)
            position.next_offset = first_offset

    def _is_record_at_fault(self, error: Exception) -> bool:
        """Whether one of the records is to blame for a failure: PostgreSQL, Kafka and other members are not away."""
        if is_value_at_fault(error):
            return True
        return failure_of(error) is None and not isinstance(error, KafkaError | StaleOffsetError | HeldUpError)

    async def _stage_in_time(self, records: Round) -> None:
        """Stage records; once more when they run out of time: what does so twice is halved, as at a fault.

        Raises:
            HeldUpError: the records of one partition are at fault, and no more may be rejected for that.
        """
        try:
            try:
                await self._stage(records)
            except OutOfTimeError as error:
                log.warning("%d records: %s", sum(map(len, records.values())), error)
                await self._stage(records)
        except Exception as error:
            is_ours = self._is_record_at_fault(error) and not is_value_at_fault(error)
            if is_ours and len(records) == 1 and self._context.faults.is_reached:
                raise HeldUpError(next(iter(records)), error) from error
            raise

    async def _stage(self, records: Round) -> None:
        while True:
            started = time.perf_counter()
            prepared = self._prepared
            if prepared is None or prepared.records != records:
                prepared = await self._prepare(records)
            try:
                await self._commit(prepared, started)
            except ModelsChangedError:
                self._prepared = None
                await self._context.models.refresh()
            else:
                return

    async def _refuse(self, records: Round, error: Exception) -> None:
        started = time.perf_counter()
        ((tp, (record,)),) = records.items()
        code = "unstorable"
        if not is_value_at_fault(error):
            code = "stager_fault"
            self._context.faults.note()
            metrics.STAGER_FAULTS.inc()
            where = f"{tp.topic}/{tp.partition}/{record.offset}"
            log.error("the stager fails at record %s, which is rejected; the others go on", where, exc_info=error)
        rejected = reject(record, code, "", first_line(error), topic=tp.topic, partition=tp.partition)
        await self._commit(Prepared(records, Batch({}, [], [], [rejected], {}), {}), started)

    async def _prepare(self, records: Round) -> Prepared:
        models = await self._context.models.current()
        prepared = await self._prepare_with(records, models)
        if any(rejected.code == "unknown_workspace" for rejected in prepared.batch.rejected):
            # It may have been created since the models were read.
            await self._context.models.refresh()
            prepared = await self._prepare_with(records, await self._context.models.current())
        return prepared

    async def _prepare_with(self, records: Round, models: ModelsByWorkspace) -> Prepared:
        parts = {tp.partition: of for tp, of in records.items()}
        return Prepared(
            records, await prepare_batch(self._context.engine, parts, models, topic=_topic_of(records)), models
        )

    async def _commit(self, prepared: Prepared, started: float) -> None:
        """Send what is rejected, then commit the rest: what cannot be staged is in one topic or the other."""
        to_send = [rejected for rejected in prepared.batch.rejected if rejected.origin not in self._sent_origins]
        if to_send:
            await self._context.send_rejected(to_send)
            self._sent_origins.update(rejected.origin for rejected in to_send)
        ends = {tp: offset_after(records[-1]) for tp, records in prepared.records.items()}
        moves = [OffsetMove(tp.partition, self._positions[tp].stored.next_offset, to) for tp, to in ends.items()]
        try:
            async with asyncio.timeout(ROUND_SECONDS) as limit:
                result = await commit(
                    self._context.engine,
                    prepared.batch,
                    prepared.models,
                    topic=_topic_of(prepared.records),
                    moves=moves,
                    watermark_us=self._context.received_watermark_us,
                    log_seconds=self._context.log_seconds,
                )
        except TimeoutError as error:
            if limit.expired():
                raise OutOfTimeError(f"not staged within {ROUND_SECONDS:.0f} s") from error
            raise
        for tp, to in ends.items():
            self._positions[tp].moved(to)
        _measure(result, prepared.records, time.perf_counter() - started)


def _topic_of(records: Round) -> str:
    topic: str = next(iter(records)).topic
    return topic


def _measure(result: BatchResult, records: Round, seconds: float) -> None:
    for outcome, count in (
        ("staged", result.staged),
        ("duplicate", result.duplicates),
        ("conflict", result.conflicts),
        ("rejected", result.rejected),
        ("suppressed", result.suppressed),
    ):
        metrics.STAGER_RECORDS.labels(outcome).inc(count)
    metrics.STAGER_RECOMPUTED.inc(result.recomputed)
    metrics.STAGER_LEFT_ASIDE.inc(result.left_aside)
    metrics.STAGER_MOVED_IDS.inc(result.moved_ids)
    metrics.STAGER_REFUSED_LINKS.inc(result.refused_links)
    for lateness_us in result.lateness_us:
        metrics.STAGER_LATENESS_SECONDS.observe(lateness_us / 1e6)
    timestamps = [record.timestamp for of in records.values() for record in of]
    metrics.STAGER_BATCH_SECONDS.observe(seconds)
    metrics.STAGER_BATCH_RECORDS.observe(len(timestamps))
    now_ms = now_us() / 1e3
    metrics.STAGER_VISIBLE_SECONDS.observe(max(0.0, now_ms - min(of[0].timestamp for of in records.values())) / 1e3)
    late = sum([timestamp < now_ms - 2000 for timestamp in timestamps])
    metrics.STAGER_VISIBLE_RECORDS.labels("false").inc(late)
    metrics.STAGER_VISIBLE_RECORDS.labels("true").inc(len(timestamps) - late)
