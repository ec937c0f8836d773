"""The topic of rejected events: its records, the filters that select them, and the outcomes of replays it holds."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from throughline.kit.stages import RejectionStage
from throughline.wire.codec import Rejected, UndecodableError, decode, decode_rejected, encode_rejected

POLL_MS = 300
OK = "ok"
"""Outcome of a replay whose event was accepted; any other outcome is the code of the reason for rejecting it again."""

OnProgress = Callable[[int, int], None]
"""Called with the number of records read and the number of records to read."""


class RecordId(NamedTuple):
    """Where a record stands in the topic; people write it as PARTITION/OFFSET."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "RecordId":
        """The id that a person wrote.

        Raises:
            ValueError: the text is no PARTITION/OFFSET.
        """
        partition, slash, offset = text.partition("/")
        if not (slash and partition.isdecimal() and offset.isdecimal()):
            raise ValueError(f"{text!r} is no PARTITION/OFFSET such as 0/12")
        return cls(int(partition), int(offset))


class RejectedRecord(NamedTuple):
    """One record of the topic."""

    id: RecordId
    event: Rejected


class Filters(NamedTuple):
    """Selects rejected events; a filter that is None selects all."""

    sources: Collection[int] | None = None
    stage: str | None = None
    code: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def select(self, event: Rejected) -> bool:
        """Whether every filter selects the event. What was rejected again by a replay is never selected: the record
        that was replayed stands for it."""
        return (
            not event.replay_of
            and (self.stage is None or event.stage == self.stage)
            and (self.code is None or event.code == self.code)
            and (self.since_us is None or event.received_us >= self.since_us)
            and (self.until_us is None or event.received_us < self.until_us)
            and (self.sources is None or source_of(event) in self.sources)
        )


def source_of(event: Rejected) -> int:
    """The id of the event's source; 0 when it is unknown. Of a record that stager rejected, its touchpoint names it."""
    if event.source or event.stage != RejectionStage.STAGER:
        return event.source
    try:
        return decode(event.payload).source
    except UndecodableError:
        return 0


async def read_records(
    consumer: AIOKafkaConsumer, since_us: int | None, on_progress: OnProgress
) -> AsyncIterator[RejectedRecord]:
    """All records from `since_us` on (None: from the oldest) to the present end, each partition in its order.

    Raises:
        KafkaError: Kafka cannot be read.
    """
    ends = await consumer.end_offsets(_partitions(consumer))
    starts = await _start_offsets(consumer, ends, since_us)
    unread = {tp for tp, end in ends.items() if end > starts[tp]}
    for tp in ends:
        consumer.seek(tp, starts[tp])
    total = sum(end - starts[tp] for tp, end in ends.items())
    while unread:
        for tp, polled in (await consumer.getmany(*unread, timeout_ms=POLL_MS)).items():
            for record in polled:
                if record.offset >= ends[tp]:
                    break
                try:
                    event = decode_rejected(record.value or b"")
                except UndecodableError:
                    continue  # no rejected event; the stagers count the record and keep it
                yield RejectedRecord(RecordId(tp.partition, record.offset), event)
        positions = {tp: await consumer.position(tp) for tp in unread}
        unread = {tp for tp in unread if positions[tp] < ends[tp]}
        on_progress(total - sum(ends[tp] - positions[tp] for tp in unread), total)


async def read_record(consumer: AIOKafkaConsumer, id_: RecordId) -> RejectedRecord | None:
    """One record; None when the topic does not hold it, or it is no rejected event.

    Raises:
        KafkaError: Kafka cannot be read.
    """
    tp = next((tp for tp in _partitions(consumer) if tp.partition == id_.partition), None)
    if tp is None:
        return None
    begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    if not begin <= id_.offset < end:
        return None
    consumer.seek(tp, id_.offset)
    while True:
        for record in (await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)).get(tp, ()):
            if record.offset != id_.offset:
                return None
            try:
                return RejectedRecord(id_, decode_rejected(record.value or b""))
            except UndecodableError:
                return None


def decode_outcomes(event: Rejected) -> dict[RecordId, str]:
    """The outcomes of replays that a record holds, by the id of what was replayed; empty for other records."""
    if event.stage != RejectionStage.REPLAY:
        return {}
    try:
        outcomes: Mapping[str, object] = json.loads(event.payload)
        return {RecordId.parse(id_): str(outcome) for id_, outcome in outcomes.items()}
    except (ValueError, AttributeError):
        return {}


def encode_outcomes(outcomes: Mapping[RecordId, str], now_us: int) -> bytes:
    """The record that holds the outcomes of replays."""
    payload = json.dumps({str(id_): outcome for id_, outcome in outcomes.items()}).encode()
    return encode_rejected(
        Rejected(0, 0, now_us, RejectionStage.REPLAY, "replayed", "", "sent again by an operator", payload)
    )


def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    partitions = sorted(consumer.assignment())
    if not partitions:
        raise UnknownTopicOrPartitionError
    return partitions


async def _start_offsets(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], since_us: int | None
) -> dict[TopicPartition, int]:
    if since_us is None:
        return dict(await consumer.beginning_offsets(list(ends)))
    # Kafka's time of a record is never before the instant at which its event was received.
    offsets = await consumer.offsets_for_times(dict.fromkeys(ends, max(0, since_us // 1000)))
    return {tp: end if offsets[tp] is None else offsets[tp].offset for tp, end in ends.items()}
