"""What a lane does besides the log: sweep, restage, clean up. A piece at a time, so that records never wait long."""

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from services.stager.maintain.lapses import finish, prune, sweep
from services.stager.maintain.restage import restage
from services.stager.maintain.retention import clear, move_retention_cutoffs
from services.stager.stage.changes import Workspace
from services.stager.stage.transaction import ModelsChangedError
from throughline.kit import metrics
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.generations import drop_retired
from throughline.store.id_walk import SlotTakenError
from throughline.store.offsets import read_received_watermark

if TYPE_CHECKING:
    from services.stager.consume.partition import Shared

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
PRUNE_SECONDS = 600.0
DROPPED = 2_000
"""Journeys of a retired generation deleted at once."""


class Chores:
    """Those of one partition."""

    def __init__(self, shared: "Shared", tp: TopicPartition) -> None:
        self.waiting = False
        """There is more to do at once."""
        self._shared = shared
        self._tp = tp
        self._applied_watermark_us = 0
        self._look_at = 0.0
        self._prune_at = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self.waiting or time.monotonic() >= self._look_at

    async def do(self) -> None:
        """Look at everything once and do a piece of what there is."""
        shared, partition = self._shared, self._tp.partition
        partitions = len(shared.consumer.partitions_for_topic(self._tp.topic) or ())
        await shared.workspaces.refresh()
        workspaces = await shared.workspaces.of(set())
        async with reading(shared.engine) as connection:
            watermark_us = await read_received_watermark(connection, self._tp.topic, partitions)
        shared.received_watermark_us = max(shared.received_watermark_us, watermark_us)
        lapsed, more = await sweep(
            shared.engine, workspaces, partition=partition, partitions=partitions, watermark_us=watermark_us
        )
        metrics.STAGER_LAPSED.inc(lapsed)
        if not more and watermark_us > self._applied_watermark_us:
            await finish(shared.engine, topic=self._tp.topic, partition=partition, watermark_us=watermark_us)
            self._applied_watermark_us = watermark_us
        walked = await self._walk(workspaces, partitions, watermark_us)
        dropped = await self._clean_up(watermark_us)
        self.waiting = more or walked or dropped > 0
        self._look_at = time.monotonic() + LOOK_SECONDS

    async def _walk(self, workspaces: Mapping[int, Workspace], partitions: int, watermark_us: int) -> bool:
        """Restage a piece, clear a piece of what is no longer kept; whether there may be more."""
        engine, partition = self._shared.engine, self._tp.partition
        try:
            restaged = await restage(
                engine, workspaces, partition=partition, partitions=partitions, watermark_us=watermark_us
            )
            if restaged is not None:
                metrics.STAGER_RESTAGED.inc(restaged.touchpoints)
            cleared = await clear(engine, workspaces, partition=partition, partitions=partitions)
            if cleared is not None:
                metrics.STAGER_CLEARED.inc(cleared)
        except (SlotTakenError, ModelsChangedError) as error:
            log.info("%s", error)
            return True
        return restaged is not None or cleared is not None

    async def _clean_up(self, watermark_us: int) -> int:
        now = time.monotonic()
        if now >= self._prune_at:
            await prune(self._shared.engine, partition=self._tp.partition, watermark_us=watermark_us)
            self._prune_at = now + PRUNE_SECONDS
        if self._tp.partition:
            return 0
        await move_retention_cutoffs(self._shared.engine, watermark_us=watermark_us)
        async with transaction(self._shared.engine) as connection:
            return await drop_retired(connection, DROPPED)
