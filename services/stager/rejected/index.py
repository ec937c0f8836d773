"""The rejected topic, indexed in PostgreSQL: every refused event counted, a bounded sample of each reason kept whole.

Exactly once as the touchpoints are: rows and the next offset are one transaction. Nothing waits for it, and what keeps
it from going on does not make the stager unready.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.consume.position import Position, locate
from services.stager.stage.decode import record_digest
from services.stager.stage.transaction import StaleOffsetError
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us
from throughline.store import rejected
from throughline.store.engine.errors import failure_of
from throughline.store.engine.unit_of_work import transaction
from throughline.store.offsets import Offset, move_offset
from throughline.store.rejected import CONSENT, KEPT_COLUMNS, OTHER, Reason
from throughline.wire.codec import REPLAY, Rejected, UndecodableError, decode_rejected

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

log = logging.getLogger(__name__)

MAX_NAME = 200
"""Characters of an event's name or message id."""
SAMPLE = 100
"""Events kept whole of one reason (source, stage, code), partition and hour; all are counted."""
NAMES = 100
"""Names of dropped events counted apart, of one source and hour; more are counted under `OTHER`. Partitions that are
indexed at the same instant may add some each."""
KEEP_DAYS = 30
"""How long they are kept."""
BATCH_RECORDS = 500
POLL_MS = 1_000
PRUNE_SECONDS = 600.0
PRUNED = 5_000
"""Deleted at once."""
PAUSE_SECONDS = 2.0

Records = Sequence["ConsumerRecord[bytes, bytes]"]


class Index(ConsumerRebalanceListener):  # type: ignore[misc]
    """Indexes the partitions of the rejected topic that this process is given."""

    def __init__(self, consumer: AIOKafkaConsumer, engine: AsyncEngine, topic: str) -> None:
        self._consumer = consumer
        self._engine = engine
        self._topic = topic
        self._positions: dict[TopicPartition, Position] = {}
        self._prune_at = 0.0

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Another member goes on from the offsets in PostgreSQL."""
        for tp in revoked:
            self._positions.pop(tp, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Each is located before it is read."""

    async def run(self) -> None:
        """Index until cancelled."""
        started = waiting = False
        self._consumer.subscribe([self._topic], listener=self)
        try:
            while True:
                try:
                    if not started:
                        await self._consumer.start()
                        started = True
                    await self._step()
                except StaleOffsetError as error:
                    log.info("%s; reading it again", error)
                    self._positions.clear()
                except Exception as error:
                    if not waiting:
                        log.warning("the index of the rejected topic waits: %s: %s", type(error).__name__, error)
                    waiting = True
                    self._positions.clear()
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    waiting = False
        finally:
            await self._consumer.stop()

    async def _step(self) -> None:
        for tp in self._consumer.assignment() - self._positions.keys():
            self._positions[tp] = await locate(self._consumer, self._engine, tp)
        polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        for tp, records in polled.items():
            position = self._positions.get(tp)
            if position is None:  # given to this process while it polled: read again once it is located
                continue
            await self._index(tp, position, records)
        if time.monotonic() >= self._prune_at and any(tp.partition == 0 for tp in self._positions):
            async with transaction(self._engine) as connection:
                dropped = await rejected.drop_old(connection, now_us() - KEEP_DAYS * 24 * HOUR_US, PRUNED)
            if dropped < PRUNED:
                self._prune_at = time.monotonic() + PRUNE_SECONDS

    async def _index(self, tp: TopicPartition, position: Position, records: Records) -> None:
        """Index records in order; halve them around one that the database cannot hold, which is only counted."""
        pending = [records]
        while pending:
            chunk = pending.pop()
            try:
                await self._write(tp, position, chunk, SAMPLE)
            except Exception as error:
                if failure_of(error) != "data":
                    raise
                if len(chunk) > 1:
                    middle = len(chunk) // 2
                    pending += [chunk[middle:], chunk[:middle]]
                    continue
                await self._write(tp, position, chunk, 0)
        try:
            await self._consumer.commit({tp: position.expected})
        except KafkaError as error:
            # The truth is in PostgreSQL; these are for lag tools.
            log.debug("group offsets not committed: %s", error)

    async def _write(self, tp: TopicPartition, position: Position, records: Records, sample: int) -> None:
        last = records[-1]
        to = Offset(last.offset + 1, record_digest(last), last.timestamp * 1000)
        # What a replay notes down refuses nothing.
        places = [(one, record) for record in records if (one := _decode(record)).stage != REPLAY]
        decoded = [one for one, _ in places]
        async with transaction(self._engine) as connection:
            if not await move_offset(connection, tp.topic, tp.partition, expected=position.expected, to=to):
                raise StaleOffsetError(f"{tp.topic}/{tp.partition} is no longer at {position.expected}")
            reasons = [_reason(one) for one in decoded]
            named = [reason for reason in reasons if reason.name]
            if named:
                reasons = counted_by(reasons, await rejected.read_names(connection, named))
            found = [*zip(reasons, places, strict=True)]
            kept = Counter(await rejected.read_kept(connection, tp.partition, {reason for reason, _ in found}))
            before = kept.copy()
            rows = []
            for reason, (one, record) in found:
                if reason.stage != CONSENT and kept[reason] < sample:
                    kept[reason] += 1
                    rows.append(_row(one, f"{record.partition}/{record.offset}"))
            events = Counter(reason for reason, _ in found)
            added = [(reason, number, kept[reason] - before[reason]) for reason, number in events.items()]
            await rejected.add_counts(connection, tp.partition, added)
            if rows:
                await rejected.insert_kept(connection, rows)
        position.expected = position.next_offset = to.next_offset


def _decode(record: "ConsumerRecord[bytes, bytes]") -> Rejected:
    try:
        return decode_rejected(record.value or b"")
    except UndecodableError as error:
        where = f"{record.topic}/{record.partition}/{record.offset}"
        received_us = record.timestamp * 1000
        return Rejected(0, 0, received_us, "stager", error.code, error.field, str(error), record.value or b"", where)


def counted_by(reasons: Iterable[Reason], known: Iterable[Reason]) -> list[Reason]:
    """What events are counted by, each for its reason, where `known` are those with a name that there are already.

    Whoever sends ever new names of events that are dropped does not fill the table: `NAMES` are counted apart.
    """
    kept = set(known)
    names = Counter(reason._replace(name="") for reason in kept)
    found = []
    for reason in reasons:
        group = reason._replace(name="")
        if reason.name and reason not in kept:
            if names[group] < NAMES:
                kept.add(reason)
                names[group] += 1
            else:
                reason = reason._replace(name=OTHER)
        found.append(reason)
    return found


def _reason(one: Rejected) -> Reason:
    hour_us = one.received_us // HOUR_US * HOUR_US
    name = _storable(one.name[:MAX_NAME]) if one.stage == CONSENT else ""
    return Reason(one.workspace, hour_us, one.source, one.stage, one.code, name)


def _row(one: Rejected, record: str) -> tuple[object, ...]:
    name, message_id = ("", "") if one.name and one.message_id else _named(one.payload)
    values = {**one._asdict(), "name": one.name or name, "message_id": one.message_id or message_id}
    values["record"] = record
    return tuple(_storable(value) if isinstance(value := values[column], str) else value for column in KEPT_COLUMNS)


def _storable(text: str) -> str:
    # PostgreSQL's text holds no NUL.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _named(payload: bytes) -> tuple[str, str]:
    """The name and message id of an event as most clients write them; "" each when there is none to be found."""
    try:
        event: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    if not isinstance(event, dict):
        return "", ""
    return _text(event, "event", "name"), _text(event, "messageId", "uuid", "id")


def _text(event: dict[str, Any], *names: str) -> str:
    return next((value[:MAX_NAME] for name in names if isinstance(value := event.get(name), str) and value), "")
