"""One partition's loop: poll, prepare, commit; and what to do when any of these fails.

A lane owns its partition from assignment to revocation. Lanes share the process's consumer and connection pool; while
one waits for PostgreSQL the others decode.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.consume.position import Position, locate, report_lost, report_recreated
from services.stager.maintain.schedule import Chores
from services.stager.stage.changes import Workspace
from services.stager.stage.decode import Batch, prepare, record_digest, reject
from services.stager.stage.models import Workspaces
from services.stager.stage.transaction import ModelsChangedError, Staged, StaleOffsetError, advance, commit
from throughline.kit import metrics
from throughline.kit.clock import now_us
from throughline.store.engine.errors import failure_of
from throughline.store.offsets import Offset
from throughline.wire.codec import Rejected

log = logging.getLogger(__name__)

POLL_MS = 1_000
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0

Records = Sequence["ConsumerRecord[bytes, bytes]"]


class Shared:
    """What all lanes of a process use."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        engine: AsyncEngine,
        *,
        batch_records: int,
        transactions: int,
        workspaces: Workspaces,
        send_rejected: Callable[[Sequence[Rejected]], Awaitable[None]],
    ) -> None:
        self.consumer = consumer
        self.engine = engine
        self.batch_records = batch_records
        self.transactions = asyncio.Semaphore(transactions)
        self.workspaces = workspaces
        self.send_rejected = send_rejected
        self.received_watermark_us = 0
        """Everything received before it is staged, on all partitions, as far as this process knows."""


class Lane:
    """Stages one partition until stopped."""

    def __init__(self, shared: Shared, tp: TopicPartition) -> None:
        self.tp = tp
        self.trouble = ""
        self.without_kafka_since: float | None = None
        """Since when, by the monotonic clock, nothing but failures came of Kafka; None: it works, or was not asked."""
        """What keeps the lane from going on; "" when nothing does."""
        self._shared = shared
        self._position: Position | None = None
        self._busy = False
        self._stopping = False
        self._pause = FIRST_PAUSE_SECONDS
        self._chores = Chores(shared, tp)
        self._task = asyncio.create_task(self._run(), name=f"lane {tp.topic}/{tp.partition}")

    @property
    def next_offset(self) -> int | None:
        """The offset after the last one committed; None before the lane has found its place."""
        return None if self._position is None else self._position.expected

    @property
    def received_watermark_us(self) -> int:
        """Everything received before this instant is in the state; 0 when not known."""
        return 0 if self._position is None else self._position.received_watermark_us

    async def stop(self, *, patience_seconds: float = 10.0) -> None:
        """Finish the transaction under way, then end. One that hangs is rolled back after `patience_seconds`."""
        self._stopping = True
        if not self._busy:
            self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=patience_seconds)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._stopping:
            try:
                if self._position is None:
                    self._position = await locate(self._shared.consumer, self._shared.engine, self.tp)
                await self._step(self._position)
                await self._tend()
            except StaleOffsetError as error:
                metrics.STAGER_RETRIES.labels("stale").inc()
                log.warning("%s; reading it again", error)
                self._position = None
            except Exception as error:
                await self._wait_out(error)
            else:
                self.trouble = ""
                self.without_kafka_since = None
                self._pause = FIRST_PAUSE_SECONDS

    async def _wait_out(self, error: Exception) -> None:
        """Say what is wrong and wait before the same place is tried again; the log keeps everything meanwhile."""
        kind = failure_of(error) or ("kafka" if isinstance(error, KafkaError) else "internal")
        metrics.STAGER_RETRIES.labels(kind).inc()
        self._position = None
        if kind == "contention":
            return
        self.trouble = f"{kind}: {_first_line(error)}"
        if kind != "kafka":
            self.without_kafka_since = None
        elif self.without_kafka_since is None:
            self.without_kafka_since = time.monotonic()
        log.warning(
            "%s/%d waits %.2f s and tries again: %s",
            self.tp.topic,
            self.tp.partition,
            self._pause,
            self.trouble,
            exc_info=error if kind == "internal" else None,
        )
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    async def _step(self, position: Position) -> None:
        consumer = self._shared.consumer
        patience_ms = 0 if self._chores.waiting else POLL_MS
        polled = await consumer.getmany(self.tp, timeout_ms=patience_ms, max_records=self._shared.batch_records)
        records: Records = polled.get(self.tp, ())
        if not records:
            await self._idle(position)
            return
        found = records[0].offset
        if found > position.next_offset:
            report_lost(self.tp, position.next_offset, found)
        elif found < position.next_offset:
            report_recreated(self.tp, position.next_offset, found)
        position.next_offset = found
        async with self._shared.transactions:
            if self._stopping:
                return
            self._busy = True
            try:
                await self._stage(position, records)
            finally:
                self._busy = False

    async def _stage(self, position: Position, records: Records) -> None:
        """Stage records in order; halve them around one that the database cannot hold, and reject that one."""
        pending = [records]
        told: set[str] = set()
        while pending:
            chunk = pending.pop()
            started = time.perf_counter()
            workspaces = await self._shared.workspaces.of(set())
            batch = prepare(chunk, workspaces, topic=self.tp.topic, partition=self.tp.partition)
            if any(r.code == "unknown_workspace" for r in batch.rejected):
                await self._shared.workspaces.refresh()
                workspaces = await self._shared.workspaces.of(set())
                batch = prepare(chunk, workspaces, topic=self.tp.topic, partition=self.tp.partition)
            try:
                staged = await self._commit(position, batch, workspaces, chunk[-1], told)
            except ModelsChangedError:
                await self._shared.workspaces.refresh()
                pending.append(chunk)
                continue
            except Exception as error:
                if failure_of(error) != "data":
                    raise
                if len(chunk) > 1:
                    middle = len(chunk) // 2
                    pending += [chunk[middle:], chunk[:middle]]
                    continue
                staged = await self._commit(position, self._refuse(chunk[0], error), workspaces, chunk[0], told)
            self._measure(staged, chunk, time.perf_counter() - started)
            if self._stopping:
                return

    async def _commit(
        self,
        position: Position,
        batch: Batch,
        workspaces: Mapping[int, Workspace],
        last: "ConsumerRecord[bytes, bytes]",
        told: set[str],
    ) -> Staged:
        """Tell the rejected topic first: nothing is dropped in silence. `told` spares a retry from repeating it."""
        untold = [rejected for rejected in batch.rejected if rejected.origin not in told]
        if untold:
            await self._shared.send_rejected(untold)
            told.update(rejected.origin for rejected in untold)
        to = Offset(last.offset + 1, record_digest(last), last.timestamp * 1000)
        staged = await commit(
            self._shared.engine,
            batch,
            workspaces,
            topic=self.tp.topic,
            partition=self.tp.partition,
            expected=position.expected,
            to=to,
            received_watermark_us=self._shared.received_watermark_us,
        )
        position.expected = position.next_offset = to.next_offset
        position.received_watermark_us = to.received_watermark_us
        return staged

    def _refuse(self, record: "ConsumerRecord[bytes, bytes]", error: Exception) -> Batch:
        refused = reject(record, "unstorable", "", _first_line(error), topic=self.tp.topic, partition=self.tp.partition)
        return Batch({}, [], [], [refused], {})

    async def _idle(self, position: Position) -> None:
        """Nothing came: the state holds everything up to the last answer of the broker. Says so in PostgreSQL."""
        consumer = self._shared.consumer
        answered_ms = consumer.last_poll_timestamp(self.tp)
        if answered_ms is None or consumer.highwater(self.tp) != position.next_offset:
            return
        received_watermark_us = answered_ms * 1000
        if received_watermark_us > position.received_watermark_us:
            await advance(
                self._shared.engine,
                topic=self.tp.topic,
                partition=self.tp.partition,
                expected=position.expected,
                received_watermark_us=received_watermark_us,
            )
            position.received_watermark_us = received_watermark_us

    async def _tend(self) -> None:
        """Lapses, restaging, cleaning up: what is due besides the log, a piece at a time."""
        if self._stopping or not self._chores.due:
            return
        async with self._shared.transactions:
            self._busy = True
            try:
                await self._chores.do()
            finally:
                self._busy = False

    def _measure(self, staged: Staged, records: Records, seconds: float) -> None:
        for outcome in ("staged", "duplicates", "conflicts", "rejected"):
            metrics.STAGER_RECORDS.labels(_OUTCOMES[outcome]).inc(getattr(staged, outcome))
        metrics.STAGER_REFOLDED.inc(staged.refolded)
        metrics.STAGER_MOVED_IDS.inc(staged.moved)
        for late_us in staged.late_us:
            metrics.STAGER_LATENESS_SECONDS.observe(late_us / 1e6)
        metrics.STAGER_BATCH_SECONDS.observe(seconds)
        metrics.STAGER_BATCH_RECORDS.observe(len(records))
        metrics.STAGER_VISIBLE_SECONDS.observe(max(0.0, now_us() / 1e6 - records[0].timestamp / 1e3))


_OUTCOMES = {"staged": "staged", "duplicates": "duplicate", "conflicts": "conflict", "rejected": "rejected"}


def _first_line(error: BaseException) -> str:
    origin: Any = getattr(error, "orig", None) or error
    return (str(origin) or type(origin).__name__).splitlines()[0][:500]
