"""Where a partition's staging goes on: the offset in PostgreSQL, checked against the log that is there now."""

import logging

from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.decode import record_digest
from throughline.kit import metrics
from throughline.store import offsets
from throughline.store.engine.unit_of_work import reading

log = logging.getLogger(__name__)

VERIFY_MS = 5_000


class Position:
    """`expected`: the stored offset the next compare-and-set must find; `next_offset`: what is read from the log next.

    They differ only after a loss or a recreated topic.
    """

    __slots__ = ("expected", "next_offset", "received_watermark_us")

    def __init__(self, expected: int, next_offset: int, received_watermark_us: int) -> None:
        self.expected = expected
        self.next_offset = next_offset
        self.received_watermark_us = received_watermark_us


async def locate(consumer: AIOKafkaConsumer, engine: AsyncEngine, tp: TopicPartition) -> Position:
    """Seek the consumer to where staging goes on, saying loudly what was lost or recreated.

    Raises:
        SQLAlchemyError, KafkaError: the database or the broker is away.
    """
    async with reading(engine) as connection:
        stored = await offsets.read_offset(connection, tp.topic, tp.partition)
    beginning = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    if stored is None:
        consumer.seek(tp, beginning)
        return Position(beginning, beginning, 0)
    expected = stored.next_offset
    if expected > end or (
        stored.digest and beginning < expected and await _differs(consumer, tp, expected - 1, stored.digest)
    ):
        report_recreated(tp, expected, beginning)
        next_offset = beginning
    elif expected < beginning:
        report_lost(tp, expected, beginning)
        next_offset = beginning
    else:
        next_offset = expected
    consumer.seek(tp, next_offset)
    return Position(expected, next_offset, stored.received_watermark_us)


async def _differs(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int, digest: bytes) -> bool:
    """Whether the record at an offset is another than the one staged there."""
    consumer.seek(tp, offset)
    records = (await consumer.getmany(tp, timeout_ms=VERIFY_MS, max_records=1)).get(tp, [])
    return bool(records) and records[0].offset == offset and record_digest(records[0]) != digest


def report_lost(tp: TopicPartition, expected: int, found: int) -> None:
    """Say that records left the log before they were staged."""
    lost = found - expected
    metrics.STAGER_LOST_RECORDS.inc(lost)
    log.error(
        "LOST %d records of %s/%d: staged up to %d, but the log now starts at %d (retention shorter than the outage?)",
        lost,
        tp.topic,
        tp.partition,
        expected,
        found,
    )


def report_recreated(tp: TopicPartition, expected: int, found: int) -> None:
    """Say that the topic is not the one staged before."""
    metrics.STAGER_RECREATED_TOPICS.inc()
    log.error(
        "RECREATED %s/%d: staged up to %d, but the log there is another one; starting over at %d "
        "(message ids keep what was staged from counting twice)",
        tp.topic,
        tp.partition,
        expected,
        found,
    )
