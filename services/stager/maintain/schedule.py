"""What a partition's consumer does between batches, a slice at a time so that records never wait long."""

import logging
import time

from aiokafka import TopicPartition

from services.stager.context import StagerContext
from services.stager.maintain.erase import erase
from services.stager.maintain.lapses import sweep
from services.stager.maintain.recompute_aside import recompute_aside
from services.stager.maintain.restage import restage
from services.stager.maintain.retention import delete_old_facts, move_retention_cutoffs
from services.stager.maintain.walk import Share
from services.stager.stage.models import ModelsByWorkspace, ModelsChangedError
from throughline.kit import metrics
from throughline.kit.clock import now_us
from throughline.store import counts, offsets, recomputations
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.generations import drop_retired
from throughline.store.id_walk import SlotTakenError
from throughline.store.identity_suspects import prune_suspects

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
"""Time between slices when none has left work."""
PRUNE_SECONDS = 600.0
"""Time between prunings of the history of counts."""
SUSPECTS_SECONDS = 10.0
"""Time between prunings of identity suspects, of which every batch may write some."""
CAUGHT_UP_US = 15_000_000
"""Maximum age of the watermark at which the log counts as staged to its end."""
RETIRED_JOURNEYS = 2_000
"""Maximum number of journeys of retired generations deleted in a transaction."""


class Maintenance:
    """Recomputing aside, lapses, restaging and deletion, of one partition."""

    def __init__(self, context: StagerContext, tp: TopicPartition) -> None:
        self.has_more = False
        """Whether the last slice has left work."""
        self._context = context
        self._tp = tp
        self._applied_watermark_us = 0
        self._next_slice = 0.0
        self._next_pruning = 0.0
        self._next_suspects = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a slice."""
        return self.has_more or time.monotonic() >= self._next_slice

    async def run_slice(self) -> None:
        """Do one piece of each kind of work."""
        context = self._context
        share = Share(self._tp.partition, len(context.consumer.partitions_for_topic(self._tp.topic) or ()))
        await context.models.refresh()
        models = await context.models.current()
        async with reading(context.engine) as connection:
            watermark_us = await offsets.read_received_watermark(connection, self._tp.topic, share.partitions)
        context.received_watermark_us = max(context.received_watermark_us, watermark_us)
        to_recompute = await self._recompute_aside(models, share, watermark_us)
        to_erase = await self._erase(models, watermark_us)
        to_sweep = await self._sweep(models, share, watermark_us)
        to_walk = await self._walk(models, share, watermark_us)
        to_delete = await self._delete(watermark_us)
        self.has_more = to_recompute or to_erase or to_sweep or to_walk or to_delete
        self._next_slice = time.monotonic() + INTERVAL_SECONDS

    async def _recompute_aside(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Recompute slices of journeys that batches had no time for; returns whether there are more."""
        try:
            aside = await recompute_aside(self._context.engine, models, share, watermark_us=watermark_us)
        except ModelsChangedError as error:
            log.info("%s", error)
            return True
        metrics.STAGER_SLICES.inc(aside.slices)
        metrics.STAGER_RECOMPUTED_ASIDE.inc(aside.touchpoints)
        async with reading(self._context.engine) as connection:
            marks = await recomputations.read_open(connection, share.digests())
        age_seconds = 0.0 if marks.oldest_us is None else max(0.0, (now_us() - marks.oldest_us) / 1e6)
        metrics.STAGER_MARKS.labels(str(share.partition)).set(marks.number)
        metrics.STAGER_MARK_AGE_SECONDS.labels(str(share.partition)).set(age_seconds)
        return marks.number > 0

    async def _erase(self, models: ModelsByWorkspace, watermark_us: int) -> bool:
        """Erase a slice of a person; returns whether there may be more."""
        instant_us = now_us()
        try:
            return await erase(
                self._context.engine,
                models,
                self._tp.partition,
                watermark_us=watermark_us,
                has_caught_up=instant_us - watermark_us <= CAUGHT_UP_US,
                send=self._context.send_claims,
                now_us=instant_us,
            )
        except ModelsChangedError as error:
            log.info("%s", error)
            return True

    async def _sweep(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Let a chunk of silent journeys lapse; returns whether there may be more."""
        try:
            lapsed, has_more = await sweep(self._context.engine, models, share, watermark_us=watermark_us)
        except ModelsChangedError as error:
            log.info("%s", error)
            return True
        metrics.STAGER_LAPSED.inc(lapsed)
        if not has_more and watermark_us > self._applied_watermark_us:
            async with transaction(self._context.engine) as connection:
                await offsets.move_applied_watermark(connection, self._tp.topic, self._tp.partition, watermark_us)
            self._applied_watermark_us = watermark_us
        return has_more

    async def _walk(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Restage a chunk and delete a chunk of old facts; returns whether there may be more."""
        engine = self._context.engine
        try:
            restaged = await restage(engine, models, share, watermark_us=watermark_us)
            if restaged is not None:
                metrics.STAGER_RESTAGED.inc(restaged.touchpoints)
            deleted = await delete_old_facts(engine, models, share)
            if deleted is not None:
                metrics.STAGER_CLEARED.inc(deleted)
        except (SlotTakenError, ModelsChangedError) as error:
            log.info("%s", error)
            return True
        return restaged is not None or deleted is not None

    async def _delete(self, watermark_us: int) -> bool:
        """Delete what nobody reads any more; returns whether there may be more.

        The first partition works for all partitions where the work is not divided.
        """
        engine, partition = self._context.engine, self._tp.partition
        if time.monotonic() >= self._next_pruning:
            async with transaction(engine) as connection:
                await counts.prune_history(connection, partition, watermark_us)
            self._next_pruning = time.monotonic() + PRUNE_SECONDS
        if partition != 0:
            return False
        if time.monotonic() >= self._next_suspects:
            async with transaction(engine) as connection:
                await prune_suspects(connection)
            self._next_suspects = time.monotonic() + SUSPECTS_SECONDS
        await move_retention_cutoffs(engine, watermark_us=watermark_us)
        async with transaction(engine) as connection:
            return await drop_retired(connection, RETIRED_JOURNEYS) > 0
