"""Records of one partition, staged: prepared, what is rejected sent to the rejected topic, the rest committed."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.stager.consume.position import Position
from services.stager.context import StagerContext
from services.stager.stage.bisect import is_value_at_fault, store_halving
from services.stager.stage.claims import prepare_batch
from services.stager.stage.decode import Batch, Record, reject
from services.stager.stage.models import ModelsByWorkspace, ModelsChangedError
from services.stager.stage.offset import StaleOffsetError, offset_after
from services.stager.stage.transaction import BatchResult, commit
from throughline.kit import metrics
from throughline.kit.clock import now_us
from throughline.store.engine.errors import failure_of

log = logging.getLogger(__name__)

BATCH_SECONDS = 30.0
"""Time after which a transaction is given up: before a statement's own time ends, and long after its budget has."""


class OutOfTimeError(Exception):
    """The transaction took too long and has written nothing."""


class RecordStaging:
    """Stages the records of one read."""

    def __init__(self, context: StagerContext, tp: TopicPartition, position: Position) -> None:
        self._context = context
        self._tp = tp
        self._position = position
        self._sent_origins: set[str] = set()
        """Records sent to the rejected topic already: an attempt that is repeated does not send them again."""

    async def stage(self, records: Sequence[Record], *, stopping: Callable[[], bool]) -> None:
        """Stage records in order, and move the position behind them.

        A record that the database cannot hold is rejected, and so is one at which the stager itself fails; whatever
        part of the others is staged before it.

        Args:
            records: at least one.
            stopping: whether to end after the transaction under way.
        """
        await store_halving(
            records, self._stage_in_time, self._refuse, is_at_fault=self._is_record_at_fault, stopping=stopping
        )

    def _is_record_at_fault(self, error: Exception) -> bool:
        """Whether one of the records is to blame for a failure: PostgreSQL, Kafka and other members are not away."""
        if is_value_at_fault(error):
            return True
        is_known = failure_of(error) is not None or isinstance(error, KafkaError | StaleOffsetError)
        return not is_known and not self._context.faults.is_reached

    async def _stage_in_time(self, records: Sequence[Record]) -> None:
        """Stage records; once more when they run out of time: what does so twice is halved, as at a fault."""
        try:
            await self._stage(records)
        except OutOfTimeError as error:
            log.warning("%d records of %s/%d: %s", len(records), self._tp.topic, self._tp.partition, error)
            await self._stage(records)

    async def _stage(self, records: Sequence[Record]) -> None:
        while True:
            started = time.perf_counter()
            batch, models = await self._prepare(records)
            try:
                await self._commit(batch, models, records, started)
            except ModelsChangedError:
                await self._context.models.refresh()
            else:
                return

    async def _refuse(self, record: Record, error: Exception) -> None:
        started = time.perf_counter()
        code = "unstorable"
        if not is_value_at_fault(error):
            code = "stager_fault"
            self._context.faults.note()
            metrics.STAGER_FAULTS.inc()
            where = f"{self._tp.topic}/{self._tp.partition}/{record.offset}"
            log.error("the stager fails at record %s, which is rejected; the others go on", where, exc_info=error)
        rejected = reject(record, code, "", first_line(error), topic=self._tp.topic, partition=self._tp.partition)
        await self._commit(Batch({}, [], [], [rejected], {}), {}, [record], started)

    async def _prepare(self, records: Sequence[Record]) -> tuple[Batch, ModelsByWorkspace]:
        models = await self._context.models.current()
        batch = await self._prepare_with(records, models)
        if any(rejected.code == "unknown_workspace" for rejected in batch.rejected):
            # It may have been created since the models were read.
            await self._context.models.refresh()
            models = await self._context.models.current()
            batch = await self._prepare_with(records, models)
        return batch, models

    async def _prepare_with(self, records: Sequence[Record], models: ModelsByWorkspace) -> Batch:
        return await prepare_batch(
            self._context.engine, records, models, topic=self._tp.topic, partition=self._tp.partition
        )

    async def _commit(self, batch: Batch, models: ModelsByWorkspace, records: Sequence[Record], started: float) -> None:
        """Send what is rejected, then commit the rest: what cannot be staged is in one topic or the other."""
        to_send = [rejected for rejected in batch.rejected if rejected.origin not in self._sent_origins]
        if to_send:
            await self._context.send_rejected(to_send)
            self._sent_origins.update(rejected.origin for rejected in to_send)
        to = offset_after(records[-1])
        try:
            async with asyncio.timeout(BATCH_SECONDS) as limit:
                result = await commit(
                    self._context.engine,
                    batch,
                    models,
                    topic=self._tp.topic,
                    partition=self._tp.partition,
                    expected=self._position.stored_offset,
                    to=to,
                    watermark_us=self._context.received_watermark_us,
                    log_seconds=self._context.log_seconds,
                )
        except TimeoutError as error:
            if limit.expired():
                raise OutOfTimeError(f"not staged within {BATCH_SECONDS:.0f} s") from error
            raise
        self._position.moved(to)
        _measure(result, records, time.perf_counter() - started)


def _measure(result: BatchResult, records: Sequence[Record], seconds: float) -> None:
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
    metrics.STAGER_BATCH_SECONDS.observe(seconds)
    metrics.STAGER_BATCH_RECORDS.observe(len(records))
    now_ms = now_us() / 1e3
    metrics.STAGER_VISIBLE_SECONDS.observe(max(0.0, now_ms - records[0].timestamp) / 1e3)
    late = sum([record.timestamp < now_ms - 2000 for record in records])
    metrics.STAGER_VISIBLE_RECORDS.labels("false").inc(late)
    metrics.STAGER_VISIBLE_RECORDS.labels("true").inc(len(records) - late)


def first_line(error: BaseException) -> str:
    """Returns the first line of an exception's message: of the driver's own, when SQLAlchemy has wrapped it."""
    origin: object = getattr(error, "orig", None) or error
    return (str(origin) or type(origin).__name__).splitlines()[0][:500]
