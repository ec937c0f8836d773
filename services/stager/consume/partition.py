"""The loop of one partition: read a batch, stage it, do a slice of maintenance; and what to do when one of these fails.

A partition consumer runs from the assignment of its partition to the revocation. All share the process's Kafka client
and connection pool; while one waits for PostgreSQL the others decode.
"""

import asyncio
import logging
import time

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from services.stager.consume.position import Position, locate, report_lost, report_recreated
from services.stager.consume.read import read_batch
from services.stager.consume.staging import RecordStaging, first_line
from services.stager.context import StagerContext
from services.stager.maintain.schedule import Maintenance
from services.stager.stage.offset import StaleOffsetError, move_watermark
from throughline.kit import metrics
from throughline.store.engine.errors import failure_of
from throughline.store.engine.unit_of_work import transaction

log = logging.getLogger(__name__)

POLL_MS = 1_000
"""Time that a read waits for the first record."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
STOP_SECONDS = 10.0
"""Time that the transaction under way has to end before it is rolled back."""
BATCH_SECONDS = 1.0
"""Time that a batch may take: after a longer one the next is smaller, so that no other partition waits for long."""
SMALLEST_BATCH_RECORDS = 50
NO_PAUSE = ("contention", "stale")
"""Kinds of failures that another attempt does not have to wait for."""

_wait = wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)


class PartitionConsumer:
    """Stages one partition until stopped."""

    def __init__(self, context: StagerContext, tp: TopicPartition) -> None:
        self.tp = tp
        self.trouble = ""
        """What keeps the partition from going on; "" when nothing does."""
        self.without_kafka_since: float | None = None
        """The instant, by the monotonic clock, since which Kafka has only failed. None: it works, or was not needed."""
        self._context = context
        self._position: Position | None = None
        self._is_busy = False
        self._is_stopping = False
        self._batch_records = context.batch_records
        self._maintenance = Maintenance(context, tp)
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception), wait=_pause_seconds, before_sleep=self._note_failure
        )
        self._task = asyncio.create_task(self._run(), name=f"partition {tp.topic}/{tp.partition}")

    @property
    def next_offset(self) -> int | None:
        """The offset after the last record staged; None until the consumer knows where to go on."""
        return None if self._position is None else self._position.stored_offset

    @property
    def received_watermark_us(self) -> int:
        """Everything received before this instant is in the state; 0 when unknown."""
        return 0 if self._position is None else self._position.received_watermark_us

    async def stop(self, *, patience_seconds: float = STOP_SECONDS) -> None:
        """Finish the transaction under way, then end. One that takes longer than `patience_seconds` is rolled back."""
        self._is_stopping = True
        if not self._is_busy:
            self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=patience_seconds)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._is_stopping:
            await self._retrying(self._run_once)
            self.trouble = ""
            self.without_kafka_since = None

    async def _run_once(self) -> None:
        if self._is_stopping:
            return
        if self._position is None:
            self._position = await locate(self._context.consumer, self._context.engine, self.tp)
        await self._stage_next(self._position)
        await self._run_maintenance()

    # --- failures -----------------------------------------------------------------------------------------------------

    def _note_failure(self, attempt: RetryCallState) -> None:
        """Log and count a failure, before the same place is tried again. Meanwhile the log keeps everything."""
        error = _error_of(attempt)
        kind = _kind_of(error)
        metrics.STAGER_RETRIES.labels(kind).inc()
        self._position = None
        if kind == "stale":
            log.warning("%s; reading it again", error)
        if kind in NO_PAUSE:
            return
        self.trouble = f"{kind}: {first_line(error)}"
        if kind != "kafka":
            self.without_kafka_since = None
        elif self.without_kafka_since is None:
            self.without_kafka_since = time.monotonic()
        log.warning(
            "%s/%d waits %.2f s and tries again: %s",
            self.tp.topic,
            self.tp.partition,
            attempt.upcoming_sleep,
            self.trouble,
            exc_info=error if kind == "internal" else None,
        )

    # --- staging ------------------------------------------------------------------------------------------------------

    async def _stage_next(self, position: Position) -> None:
        """Read the next records, as many as a batch may have, and stage them."""
        timeout_ms = 0 if self._maintenance.has_more else POLL_MS
        records = await read_batch(
            self._context.consumer, self.tp, timeout_ms=timeout_ms, max_records=self._batch_records
        )
        if not records:
            await self._move_watermark(position)
            return
        first_offset = records[0].offset
        if first_offset > position.next_offset:
            report_lost(self.tp, position.next_offset, first_offset)
        elif first_offset < position.next_offset:
            report_recreated(self.tp, position.next_offset, first_offset)
        position.next_offset = first_offset
        async with self._context.transactions:
            if self._is_stopping:
                return
            self._is_busy = True
            started = time.monotonic()
            try:
                await RecordStaging(self._context, self.tp, position).stage(records, stopping=lambda: self._is_stopping)
            finally:
                self._is_busy = False
        self._batch_records = next_batch_records(
            self._batch_records, len(records), time.monotonic() - started, self._context.batch_records
        )

    async def _move_watermark(self, position: Position) -> None:
        """Note in PostgreSQL that the state holds everything up to the broker's last answer, when nothing came."""
        answered_ms = self._context.consumer.last_poll_timestamp(self.tp)
        if answered_ms is None or self._context.consumer.highwater(self.tp) != position.next_offset:
            return
        received_watermark_us = answered_ms * 1000
        if received_watermark_us > position.received_watermark_us:
            async with transaction(self._context.engine) as connection:
                await move_watermark(
                    connection,
                    self.tp.topic,
                    self.tp.partition,
                    expected=position.stored_offset,
                    received_watermark_us=received_watermark_us,
                )
            position.received_watermark_us = received_watermark_us

    async def _run_maintenance(self) -> None:
        if self._is_stopping or not self._maintenance.is_due:
            return
        async with self._context.transactions:
            self._is_busy = True
            try:
                await self._maintenance.run_slice()
            finally:
                self._is_busy = False


def next_batch_records(limit: int, staged: int, seconds: float, maximum: int) -> int:
    """Returns the maximum number of records of the next batch.

    Args:
        limit: the maximum of the last batch.
        staged: its records.
        seconds: the time they took.
        maximum: what a batch may have at most.
    """
    if seconds > BATCH_SECONDS:
        return min(maximum, max(SMALLEST_BATCH_RECORDS, int(staged * BATCH_SECONDS / seconds)))
    return min(maximum, 2 * limit)


def _error_of(attempt: RetryCallState) -> BaseException:
    assert attempt.outcome is not None
    error = attempt.outcome.exception()
    assert error is not None
    return error


def _kind_of(error: BaseException) -> str:
    """Returns what kind of failure an exception is, as `throughline_stager_batch_retries_total` counts them."""
    if isinstance(error, StaleOffsetError):
        return "stale"
    return failure_of(error) or ("kafka" if isinstance(error, KafkaError) else "internal")


def _pause_seconds(attempt: RetryCallState) -> float:
    return 0.0 if _kind_of(_error_of(attempt)) in NO_PAUSE else _wait(attempt)
