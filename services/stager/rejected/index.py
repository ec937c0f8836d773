"""The rejected topic, indexed in PostgreSQL: every rejected event is counted, and a sample of each reason kept whole.

Indexing is exactly once as staging is: rows and the next offset are one transaction. Nothing waits for it, and what
keeps it from going on does not make the stager unready.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_fixed

from services.stager.consume.gather import Gathering
from services.stager.consume.position import Position, locate
from services.stager.stage.bisect import halves, store_halving
from services.stager.stage.claims import digests_in
from services.stager.stage.decode import Record
from services.stager.stage.offset import StaleOffsetError, move_offsets, offset_after
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us
from throughline.kit.stages import RejectionStage
from throughline.store import rejected
from throughline.store.access.suppressions import read_numbers, read_suppressed
from throughline.store.admission import OTHER
from throughline.store.engine.unit_of_work import transaction
from throughline.store.generations import lock_versions
from throughline.store.offsets import OffsetMove
from throughline.store.rejected import KEPT_COLUMNS, Reason
from throughline.wire.codec import Rejected, UndecodableError, decode_rejected

log = logging.getLogger(__name__)

MAX_NAME = 200
"""Maximum length of an event's name or message id, in characters."""
SAMPLE = 100
"""Number of events kept whole for a reason (source, stage, code), partition and hour: the newest. All are counted."""
RENEWED = 10
"""Maximum number of a batch's events that take the place of older ones in a whole sample."""
NAMES = 100
"""Maximum number of names of dropped events counted apart for a source and hour; more are counted under `OTHER`.
Partitions that are indexed at the same instant may add as many each."""
KEEP_DAYS = 30
"""Time that events are kept whole."""
BATCH_RECORDS = 500
PIECE_RECORDS = 20
"""Number of records that are unpacked at once: each may be as large as a request's body."""
POLL_SECONDS = 1.0
PRUNE_SECONDS = 600.0
PRUNED_EVENTS = 5_000
"""Maximum number of old events deleted in a transaction."""
PAUSE_SECONDS = 2.0


class RejectedRecord(NamedTuple):
    """A record of the rejected topic."""

    place: str
    """partition/offset."""
    event: Rejected


class RejectedIndexer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Indexes the partitions of the rejected topic that are assigned to this process."""

    def __init__(self, consumer: AIOKafkaConsumer, engine: AsyncEngine, topic: str) -> None:
        self._consumer = consumer
        self._engine = engine
        self._topic = topic
        self._positions: dict[TopicPartition, Position] = {}
        self._has_started = False
        self._next_pruning = 0.0

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget where they stand: another member goes on from the offsets in PostgreSQL."""
        for tp in revoked:
            self._positions.pop(tp, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing to do: each partition is located before it is read."""

    async def run(self) -> None:
        """Index until cancelled."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception), wait=wait_fixed(PAUSE_SECONDS), before_sleep=self._note_failure
        )
        self._consumer.subscribe([self._topic], listener=self)
        try:
            while True:
                await retrying(self._run_once)
        finally:
            await self._consumer.stop()

    def _note_failure(self, attempt: RetryCallState) -> None:
        """Log the first failure of an outage. The partitions are located again before the next attempt."""
        error = attempt.outcome.exception() if attempt.outcome is not None else None
        if attempt.attempt_number == 1:
            log.warning("the index of the rejected topic waits: %s: %s", type(error).__name__, error)
        self._positions.clear()

    async def _run_once(self) -> None:
        if not self._has_started:
            await self._consumer.start()
            self._has_started = True
        for tp in self._consumer.assignment() - self._positions.keys():
            self._positions[tp] = await locate(self._consumer, self._engine, tp)
        gathering = Gathering(self._consumer, BATCH_RECORDS, piece_records=PIECE_RECORDS)
        if not self._positions:
            await asyncio.sleep(POLL_SECONDS)
            return
        await gathering.take(list(self._positions), wait_seconds=POLL_SECONDS)
        for tp, records in gathering.records.items():
            position = self._positions.get(tp)
            if position is None:  # assigned to this process while it polled: read again once it is located
                continue
            try:
                await self._index(tp, position, records)
            except StaleOffsetError as error:
                log.info("%s; reading it again", error)
                self._positions.pop(tp, None)
        await self._prune()

    async def _index(self, tp: TopicPartition, position: Position, records: Sequence[Record]) -> None:
        """Index records in order. One that the database cannot hold is only counted."""

        async def index(chunk: Sequence[Record]) -> None:
            await self._write(tp, position, chunk, sample=SAMPLE)

        async def only_count(chunk: Sequence[Record], _: Exception) -> None:
            await self._write(tp, position, chunk, sample=0)

        await store_halving(records, index, only_count, halves_of=halves)
        try:
            await self._consumer.commit({tp: position.stored.next_offset})
        except KafkaError as error:
            # The truth is in PostgreSQL; these are for lag tools.
            log.debug("group offsets not committed: %s", error)

    async def _write(self, tp: TopicPartition, position: Position, records: Sequence[Record], *, sample: int) -> None:
        """Count records and keep the newest `sample` of each reason, in one transaction with the next offset."""
        to = offset_after(records[-1])
        decoded = [RejectedRecord(f"{tp.partition}/{record.offset}", _decode(tp, record)) for record in records]
        # What notes down a replay rejects nothing.
        to_count = [record for record in decoded if record.event.stage != RejectionStage.REPLAY]
        async with transaction(self._engine) as connection:
            move = OffsetMove(tp.partition, position.stored.next_offset, to)
            await move_offsets(connection, tp.topic, [move])
            reasons = [_reason_of(record.event) for record in to_count]
            with_name = [reason for reason in reasons if reason.name]
            if with_name:
                reasons = counted_by(reasons, await rejected.read_names(connection, with_name))
            stored = await rejected.read_kept(connection, tp.partition, set(reasons))
            newest = newest_of(reasons, stored, sample)
            # Nothing is suppressed between this look and the end of the transaction.
            await lock_versions(connection, sorted({record.event.workspace for record in to_count}))
            with_suppressions = await read_numbers(connection)
            for place, record in enumerate(to_count):
                if newest[place] and await self._names_suppressed(connection, record.event, with_suppressions):
                    newest[place] = False
            rows = [_row_of(record) for record, is_kept in zip(to_count, newest, strict=True) if is_kept]
            added = Counter(reason for reason, is_kept in zip(reasons, newest, strict=True) if is_kept)
            surplus = {reason: more for reason in added if (more := stored.get(reason, 0) + added[reason] - sample) > 0}
            counts = [
                (reason, events, added[reason] - surplus.get(reason, 0)) for reason, events in Counter(reasons).items()
            ]
            await rejected.add_counts(connection, tp.partition, counts)
            if rows:
                await rejected.insert_kept(connection, rows)
            for reason, oldest in surplus.items():
                await rejected.drop_oldest(connection, tp.partition, reason, HOUR_US, oldest)
        position.moved(to)

    async def _names_suppressed(
        self, connection: AsyncConnection, event: Rejected, with_suppressions: Collection[int]
    ) -> bool:
        """Whether a rejected event may name a suppressed id, and is not kept whole then."""
        for workspace in with_suppressions:
            if event.workspace in (0, workspace):
                suppressed = await read_suppressed(connection, digests_in(workspace, event.payload))
                if any(event.received_us <= until_us for until_us in suppressed.values()):
                    return True
        return False

    async def _prune(self) -> None:
        """Delete events that were kept long enough: the member with the first partition does it for all."""
        if time.monotonic() < self._next_pruning or not any(tp.partition == 0 for tp in self._positions):
            return
        before_us = now_us() - KEEP_DAYS * 24 * HOUR_US
        async with transaction(self._engine) as connection:
            deleted = await rejected.drop_old(connection, before_us, PRUNED_EVENTS)
        if deleted < PRUNED_EVENTS:
            self._next_pruning = time.monotonic() + PRUNE_SECONDS


def _decode(tp: TopicPartition, record: Record) -> Rejected:
    try:
        return decode_rejected(record.value or b"")
    except UndecodableError as error:
        return Rejected(
            workspace=0,
            source=0,
            received_us=record.timestamp * 1000,
            stage=RejectionStage.STAGER,
            code=error.code,
            field=error.field,
            message=str(error),
            payload=record.value or b"",
            origin=f"{tp.topic}/{tp.partition}/{record.offset}",
        )


def counted_by(reasons: Iterable[Reason], counted: Iterable[Reason]) -> list[Reason]:
    """Returns the reasons to count events by: under their own names, or under `OTHER`.

    A sender of ever new names does not fill the table: `NAMES` are counted apart for each source, stage, code and hour.

    Args:
        reasons: one for each event.
        counted: the reasons with a name that are in the table already.
    """
    with_count = set(counted)
    names = Counter(reason._replace(name="") for reason in with_count)
    result = []
    for reason in reasons:
        if reason.name and reason not in with_count:
            group = reason._replace(name="")
            if names[group] < NAMES:
                with_count.add(reason)
                names[group] += 1
            else:
                reason = reason._replace(name=OTHER)
        result.append(reason)
    return result


def newest_of(reasons: Sequence[Reason], stored: Mapping[Reason, int], sample: int) -> list[bool]:
    """Returns for each event whether it is kept: the last ones of each reason, as many as its sample has room for, and
    `RENEWED` more in place of older ones.

    Args:
        reasons: those of the events, in their order.
        stored: the number of events that are kept of each.
        sample: the size of a sample.
    """
    left: dict[Reason, int] = {}
    newest = []
    for reason in reversed(reasons):
        if reason not in left:
            most = 0 if reason.stage == RejectionStage.CONSENT else sample
            left[reason] = max(most - stored.get(reason, 0), min(most, RENEWED))
        left[reason] -= 1
        newest.append(left[reason] >= 0)
    return newest[::-1]


def _reason_of(event: Rejected) -> Reason:
    hour_us = event.received_us // HOUR_US * HOUR_US
    name = _storable(event.name[:MAX_NAME]) if event.stage == RejectionStage.CONSENT else ""
    return Reason(event.workspace, hour_us, event.source, event.stage, event.code, name)


def _row_of(record: RejectedRecord) -> tuple[object, ...]:
    event = record.event
    name, message_id = ("", "") if event.name and event.message_id else _read_name(event.payload)
    values = {
        **event._asdict(),
        "name": event.name or name,
        "message_id": event.message_id or message_id,
        "record": record.place,
    }
    return tuple(_storable(value) if isinstance(value := values[column], str) else value for column in KEPT_COLUMNS)


def _storable(text: str) -> str:
    # PostgreSQL's text holds no NUL.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _read_name(payload: bytes) -> tuple[str, str]:
    """Returns the name and message id of an event as most clients write them; "" for what is not there."""
    try:
        event: object = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    if not isinstance(event, dict):
        return "", ""
    return _first_text(event, "event", "name"), _first_text(event, "messageId", "uuid", "id")


def _first_text(event: Mapping[str, object], *names: str) -> str:
    return next((value[:MAX_NAME] for name in names if isinstance(value := event.get(name), str) and value), "")
