"""This process as a member of the consumer group: lanes come and go with its partitions."""

import asyncio
import logging
import time
from collections.abc import Iterable

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from services.stager.consume.partition import Lane, Shared
from throughline.kit import metrics
from throughline.kit.clock import now_us

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
STUCK_SECONDS = 90.0
"""A lane that failed with Kafka for so long ends the process: a client may miss that its broker is back, for ever."""


class StuckError(Exception):
    """The process has to be started anew; the message says why. Nothing is lost by it."""


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """Starts a lane for each assigned partition, stops those of revoked ones, and keeps lag tools informed."""

    def __init__(self, shared: Shared) -> None:
        self.joined = False
        self._shared = shared
        self._lanes: dict[TopicPartition, Lane] = {}

    @property
    def trouble(self) -> str:
        """What keeps any lane from going on; "" when nothing does."""
        if not self.joined:
            return "has not joined its consumer group yet"
        return "; ".join(
            f"partition {tp.partition}: {lane.trouble}" for tp, lane in self._lanes.items() if lane.trouble
        )

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what is under way on them: another member is about to go on from the offsets in PostgreSQL."""
        await self._stop(set(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on from the offsets in PostgreSQL."""
        self.joined = True
        partitions = sorted(assigned)
        log.info("assigned partitions: %s", [tp.partition for tp in partitions])
        for tp in partitions:
            if tp not in self._lanes:
                self._lanes[tp] = Lane(self._shared, tp)

    async def watch(self) -> None:
        """Every second: commit the group's offsets to Kafka, for lag tools only, and measure the lag.

        Raises:
            StuckError: a lane has failed with Kafka for `STUCK_SECONDS`.
        """
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._require_kafka()
            await self._commit_group()
            self._measure()

    def _require_kafka(self) -> None:
        for tp, lane in self._lanes.items():
            since = lane.without_kafka_since
            if since is not None and time.monotonic() - since > STUCK_SECONDS:
                raise StuckError(f"partition {tp.partition} has had no answer of Kafka for {STUCK_SECONDS:.0f} s")

    async def close(self) -> None:
        """Drain: finish the transactions under way and commit the group's offsets."""
        await self._stop(set(self._lanes))

    async def _stop(self, partitions: set[TopicPartition]) -> None:
        stopping = {tp: lane for tp, lane in self._lanes.items() if tp in partitions}
        if not stopping:
            return
        await asyncio.gather(*(lane.stop() for lane in stopping.values()))
        await self._commit_group()
        for tp in stopping:
            del self._lanes[tp]
            for gauge in (metrics.STAGER_LAG_SECONDS, metrics.STAGER_LAG_RECORDS):
                gauge.remove(str(tp.partition))
        log.info("gave back partitions: %s", sorted(tp.partition for tp in stopping))

    async def _commit_group(self) -> None:
        positions = {tp: lane.next_offset for tp, lane in self._lanes.items() if lane.next_offset is not None}
        if not positions:
            return
        try:
            await asyncio.wait_for(self._shared.consumer.commit(positions), timeout=5)
        except (KafkaError, TimeoutError) as error:
            # The truth is in PostgreSQL; these are for lag tools, and written again in a second.
            log.debug("group offsets not committed: %s", error)

    def _measure(self) -> None:
        now = now_us()
        for tp, lane in self._lanes.items():
            label = str(tp.partition)
            highwater = self._shared.consumer.highwater(tp)
            if highwater is None or lane.next_offset is None:
                continue
            behind = max(0, highwater - lane.next_offset)
            metrics.STAGER_LAG_RECORDS.labels(label).set(behind)
            metrics.STAGER_LAG_SECONDS.labels(label).set(
                max(0.0, (now - lane.received_watermark_us) / 1e6) if behind else 0.0
            )
