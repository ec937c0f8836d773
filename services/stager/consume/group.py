"""This process as a member of the consumer group: a loop of rounds for the partitions that are assigned to it."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Set

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from services.stager.consume.partition import AssignedPartition
from services.stager.consume.rounds import RoundLoop
from services.stager.context import StagerContext
from throughline.kit import metrics
from throughline.kit.clock import now_us

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
STUCK_SECONDS = 90.0
"""Time without Kafka after which the process ends: a client may never notice that its broker is back."""
COMMIT_SECONDS = 5.0
"""Maximum time of committing the group's offsets."""


_PARTITION_GAUGES = (
    metrics.STAGER_LAG_SECONDS,
    metrics.STAGER_LAG_RECORDS,
    metrics.STAGER_MARKS,
    metrics.STAGER_MARK_AGE_SECONDS,
    metrics.STAGER_WATERMARK_AGE_SECONDS,
)


class StuckError(Exception):
    """The process has to be started anew; the message says why. Nothing is lost by it."""


class GroupMember(ConsumerRebalanceListener):  # type: ignore[misc]
    """Starts a loop for the assigned partitions, stops it when some are revoked, and keeps lag tools informed."""

    def __init__(self, context: StagerContext) -> None:
        self._context = context
        self._has_joined = False
        self._loop: RoundLoop | None = None
        self._committed: dict[TopicPartition, int] = {}

    @property
    def _partitions(self) -> Mapping[TopicPartition, AssignedPartition]:
        return {} if self._loop is None else self._loop.partitions

    @property
    def trouble(self) -> str:
        """What keeps any partition from going on; "" when nothing does."""
        if not self._has_joined:
            return "has not joined its consumer group yet"
        troubles = {} if self._loop is None else self._loop.troubles
        return "; ".join(f"partition {number}: {trouble}" for number, trouble in sorted(troubles.items()))

    async def check(self) -> str:
        """Returns `trouble`, as a health check."""
        return self.trouble

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what is under way: another member is about to go on from the offsets in PostgreSQL."""
        await self._hold(self._partitions.keys() - set(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on from the offsets in PostgreSQL."""
        self._has_joined = True
        partitions = sorted(assigned)
        log.info("assigned partitions: %s", [tp.partition for tp in partitions])
        await self._hold(self._partitions.keys() | set(partitions))

    async def watch(self) -> None:
        """Every second: commit the group's offsets to Kafka, for lag tools only, and measure the lag.

        Raises:
            StuckError: Kafka has failed a partition for `STUCK_SECONDS`.
        """
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._require_kafka()
            await self._commit_offsets()
            self._measure_lag()

    async def close(self) -> None:
        """Finish the transactions under way and commit the group's offsets."""
        await self._hold(set())

    def _require_kafka(self) -> None:
        for tp, partition in self._partitions.items():
            since = partition.without_kafka_since
            if since is not None and time.monotonic() - since > STUCK_SECONDS:
                raise StuckError(f"partition {tp.partition} has had no answer of Kafka for {STUCK_SECONDS:.0f} s")

    async def _hold(self, partitions: Set[TopicPartition]) -> None:
        """Go on with these partitions and no others."""
        held = set(self._partitions)
        if held == partitions:
            return
        if self._loop is not None:
            await self._loop.stop()
            await self._commit_offsets()
            self._loop = None
            self._committed = {}
        for tp in held - partitions:
            for gauge in _PARTITION_GAUGES:
                gauge.remove(str(tp.partition))
        if held - partitions:
            log.info("gave back partitions: %s", sorted(tp.partition for tp in held - partitions))
        if partitions:
            self._loop = RoundLoop(self._context, partitions)

    async def _commit_offsets(self) -> None:
        offsets = {
            tp: partition.next_offset for tp, partition in self._partitions.items() if partition.next_offset is not None
        }
        if not offsets or offsets == self._committed:
            return
        try:
            await asyncio.wait_for(self._context.consumer.commit(offsets), timeout=COMMIT_SECONDS)
            self._committed = offsets
        except (KafkaError, TimeoutError) as error:
            # The truth is in PostgreSQL; these are for lag tools, and committed again in a second.
            log.debug("group offsets not committed: %s", error)

    def _measure_lag(self) -> None:
        now = now_us()
        for topic in {tp.topic for tp in self._partitions}:
            metrics.STAGER_PARTITIONS.set(len(self._context.consumer.partitions_for_topic(topic) or ()))
        for tp, partition in self._partitions.items():
            end_offset = self._context.consumer.highwater(tp)
            if end_offset is None or partition.next_offset is None:
                continue
            records = max(0, end_offset - partition.next_offset)
            seconds = max(0.0, (now - partition.received_watermark_us) / 1e6) if records else 0.0
            metrics.STAGER_LAG_RECORDS.labels(str(tp.partition)).set(records)
            metrics.STAGER_LAG_SECONDS.labels(str(tp.partition)).set(seconds)
            age_seconds = max(0.0, (now - partition.received_watermark_us) / 1e6)
            metrics.STAGER_WATERMARK_AGE_SECONDS.labels(str(tp.partition)).set(age_seconds)
