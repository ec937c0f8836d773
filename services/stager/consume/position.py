"""Where the staging of a partition goes on: the offset stored in PostgreSQL, checked against the log as it is now."""

import logging

from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.decode import record_digest
from throughline.kit import metrics
from throughline.store.engine.unit_of_work import reading
from throughline.store.offsets import Offset, read_offset

log = logging.getLogger(__name__)

VERIFY_MS = 5_000
"""Maximum time of reading the last staged record again."""


class Position:
    """Where one partition stands. The two offsets differ only after a loss or in a recreated topic."""

    __slots__ = ("next_offset", "stored")

    def __init__(self, stored: Offset, next_offset: int) -> None:
        self.stored = stored
        """What PostgreSQL holds, which the next compare-and-set expects."""
        self.next_offset = next_offset
        """The offset of the next record to stage."""

    def moved(self, to: Offset) -> None:
        """Note that a transaction has moved the stored offset past records."""
        self.stored = to
        self.next_offset = to.next_offset


async def locate(consumer: AIOKafkaConsumer, engine: AsyncEngine, tp: TopicPartition) -> Position:
    """Seek the consumer to where staging goes on; logs records that were lost and a topic that was recreated.

    Raises:
        SQLAlchemyError: the database is away.
        KafkaError: the broker is away.
    """
    async with reading(engine) as connection:
        stored = await read_offset(connection, tp.topic, tp.partition)
    beginning = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    if stored is None:
        consumer.seek(tp, beginning)
        return Position(Offset(beginning, b"", 0), beginning)
    stored_offset = stored.next_offset
    if stored_offset > end or (
        stored.digest and beginning < stored_offset and await _differs(consumer, tp, stored_offset - 1, stored.digest)
    ):
        report_recreated(tp, stored_offset, beginning)
        next_offset = beginning
    elif stored_offset < beginning:
        report_lost(tp, stored_offset, beginning)
        next_offset = beginning
    else:
        next_offset = stored_offset
    consumer.seek(tp, next_offset)
    return Position(stored, next_offset)


async def _differs(consumer: AIOKafkaConsumer, tp: TopicPartition, at_offset: int, digest: bytes) -> bool:
    """Whether the record at an offset is another one than the record of that digest."""
    consumer.seek(tp, at_offset)
    records = (await consumer.getmany(tp, timeout_ms=VERIFY_MS, max_records=1)).get(tp, [])
    return bool(records) and records[0].offset == at_offset and record_digest(records[0]) != digest


def report_lost(tp: TopicPartition, stored_offset: int, first_offset: int) -> None:
    """Log and count records that left the log before they were staged."""
    lost = first_offset - stored_offset
    metrics.STAGER_LOST_RECORDS.inc(lost)
    log.error(
        "LOST %d records of %s/%d: staged up to %d, but the log now starts at %d (retention shorter than the outage?)",
        lost,
        tp.topic,
        tp.partition,
        stored_offset,
        first_offset,
    )


def report_recreated(tp: TopicPartition, stored_offset: int, first_offset: int) -> None:
    """Log and count a partition that is not the one staged before."""
    metrics.STAGER_RECREATED_TOPICS.inc()
    log.error(
        "RECREATED %s/%d: staged up to %d, but the log there is another one; starting over at %d "
        "(message ids keep what was staged from counting twice)",
        tp.topic,
        tp.partition,
        stored_offset,
        first_offset,
    )
