"""The topic of refused events, read: which records are wanted, and what became of those that were sent again."""

import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from throughline.cli.common.log import Log
from throughline.kit.clock import to_us
from throughline.kit.kafka import create_reader
from throughline.wire.codec import REPLAY, Rejected, UndecodableError, decode, decode_rejected, encode_rejected

POLL_MS = 300
OK = "ok"
"""What became of a record whose event was taken when it was sent again; else it is the code of the reason."""

Id = tuple[int, int]
"""Partition and offset."""
Told = Callable[[int, int], None]
"""How many records have been read, of how many."""

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


class Found(NamedTuple):
    """One record of the topic."""

    partition: int
    offset: int
    one: Rejected

    @property
    def id(self) -> Id:
        return self.partition, self.offset


class Wanted(NamedTuple):
    """Which records: those that every given part says."""

    sources: Collection[int] | None = None
    stage: str | None = None
    code: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def __call__(self, one: Rejected) -> bool:
        """Whether a record is wanted. One that was sent again and refused again is not: the first one stands for it."""
        return (
            not one.replay_of
            and (self.stage is None or one.stage == self.stage)
            and (self.code is None or one.code == self.code)
            and (self.since_us is None or one.received_us >= self.since_us)
            and (self.until_us is None or one.received_us < self.until_us)
            and (self.sources is None or source_of(one) in self.sources)
        )


def show_id(found: Id) -> str:
    return f"{found[0]}/{found[1]}"


def parse_id(text: str) -> Id:
    """`PARTITION/OFFSET`, as lists print it.

    Raises:
        ValueError: it is not that.
    """
    partition, slash, offset = text.partition("/")
    if not (slash and partition.isdecimal() and offset.isdecimal()):
        raise ValueError(f"{text!r} is no PARTITION/OFFSET such as 0/12")
    return int(partition), int(offset)


def parse_instant(text: str, now_us: int) -> int:
    """A span before now such as 90s, 30m, 2h or 7d, or an ISO 8601 time (UTC unless it says otherwise).

    Raises:
        ValueError: it is neither.
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now_us - int(span[1]) * _UNIT_US[span[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a span such as 90s, 30m, 2h or 7d nor an ISO 8601 time") from None
    return to_us(found if found.tzinfo else found.replace(tzinfo=UTC))


def source_of(one: Rejected) -> int:
    """The source of a refused event; 0 when nobody can tell. A record that stager refused says it itself."""
    if one.source or one.stage != "stager":
        return one.source
    try:
        return decode(one.payload).source
    except UndecodableError:
        return 0


def reader(log: Log) -> AIOKafkaConsumer:
    """A consumer of the rejected topic that is in nobody's way."""
    return create_reader(log.kafka, log.rejected)


async def read(consumer: AIOKafkaConsumer, since_us: int | None, told: Told) -> AsyncIterator[Found]:
    """All records from `since_us` on (None: all there are) up to the end as it is now, each partition in its order.

    Raises:
        KafkaError: Kafka cannot be read.
    """
    ends = await consumer.end_offsets(_partitions(consumer))
    starts = await _starts(consumer, ends, since_us)
    left = {tp for tp, end in ends.items() if end > starts[tp]}
    for tp in ends:
        consumer.seek(tp, starts[tp])
    total = sum(end - starts[tp] for tp, end in ends.items())
    while left:
        for tp, polled in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
            for record in polled:
                if record.offset >= ends[tp]:
                    break
                try:
                    one = decode_rejected(record.value or b"")
                except UndecodableError:
                    continue  # nothing of ours; the stagers count and keep it
                yield Found(tp.partition, record.offset, one)
        at = {tp: await consumer.position(tp) for tp in left}
        left = {tp for tp in left if at[tp] < ends[tp]}
        told(total - sum(ends[tp] - at[tp] for tp in left), total)


async def read_one(consumer: AIOKafkaConsumer, which: Id) -> Found | None:
    """One record; None when the topic does not hold it, or it is nothing of ours.

    Raises:
        KafkaError: Kafka cannot be read.
    """
    tp = next((tp for tp in _partitions(consumer) if tp.partition == which[0]), None)
    if tp is None:
        return None
    begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    if not begin <= which[1] < end:
        return None
    consumer.seek(tp, which[1])
    while True:
        for record in (await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)).get(tp, ()):
            try:
                return Found(*which, decode_rejected(record.value or b"")) if record.offset == which[1] else None
            except UndecodableError:
                return None


def outcomes_of(one: Rejected) -> dict[Id, str]:
    """Which records were sent again and what became of them, where a record says so; empty for all others."""
    if one.stage != REPLAY:
        return {}
    try:
        said: Mapping[str, Any] = json.loads(one.payload)
        return {parse_id(where): str(outcome) for where, outcome in said.items()}
    except (ValueError, AttributeError):
        return {}


def encode_outcomes(outcomes: Mapping[Id, str], now_us: int) -> bytes:
    """The record that says so."""
    payload = json.dumps({show_id(where): outcome for where, outcome in outcomes.items()}).encode()
    return encode_rejected(Rejected(0, 0, now_us, REPLAY, "replayed", "", "sent again by an operator", payload))


def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    found = sorted(consumer.assignment())
    if not found:
        raise UnknownTopicOrPartitionError
    return found


async def _starts(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], since_us: int | None
) -> dict[TopicPartition, int]:
    if since_us is None:
        return dict(await consumer.beginning_offsets(list(ends)))
    # A record's own time is never before that of its event.
    at = await consumer.offsets_for_times(dict.fromkeys(ends, max(0, since_us // 1000)))
    return {tp: end if at[tp] is None else at[tp].offset for tp, end in ends.items()}
