"""What a process does between rounds, a slice at a time so that records never wait long.

Once a second one look finds out what there is to do. The shares of the process's partitions take turns: after each
round some of them do a slice each, side by side.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from enum import IntEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.context import StagerContext
from services.stager.maintain.erase import erase
from services.stager.maintain.lapses import sweep
from services.stager.maintain.recompute_aside import recompute_aside
from services.stager.maintain.restage import FIRST_CUSTOMERS, next_customers, restage
from services.stager.maintain.retention import delete_old_facts, move_retention_cutoffs
from services.stager.maintain.walk import EVERYBODY, Share
from services.stager.stage.models import ModelsByWorkspace, ModelsChangedError
from throughline.journey.durations import DAY_US
from throughline.kit import metrics
from throughline.kit.clock import now_us
from throughline.store import counts, journeys, offsets, recomputations
from throughline.store.agenda import Agenda, read_agenda
from throughline.store.analytics import ShardMerger
from throughline.store.engine.errors import failure_of
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.generations import drop_retired
from throughline.store.id_walk import SlotTakenError
from throughline.store.identity_suspects import prune_suspects

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 4
"""Maximum number of shares that do a slice at once: enough to compute while PostgreSQL works, few enough for its
cores."""
PRUNE_SECONDS = 600.0
"""Time between prunings of the history of counts."""
MERGE_SECONDS = 3_600.0
"""Time between two walks through the sums of analytics that merge the shards of settled days."""
SETTLED_US = 3 * DAY_US
"""Age from which a day counts as settled: most of its entries have gone on, and each walk merges again."""
SUSPECTS_SECONDS = 10.0
"""Time between prunings of identity suspects, of which every round may write some."""
CAUGHT_UP_US = 15_000_000
"""Maximum age of the watermark at which the log counts as staged to its end."""
RETIRED_JOURNEYS = 2_000
"""Maximum number of journeys of retired generations deleted in a transaction."""
DUE_LOOKED_AT = 100
"""Number of due journeys that a look takes to find out whose shares they are in."""
LONGEST_PAUSE_SECONDS = 60.0
"""Maximum time between two attempts of a share that fails."""


class Work(IntEnum):
    """Kinds of work, in the order in which a slice does them."""

    RECOMPUTE = 1
    ERASE = 2
    SWEEP = 3
    WALK = 4
    DELETE = 5
    MERGE = 6


class _ShareWork:
    """One partition's share of the customers, and what is to do there."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.due: set[Work] = set()
        self.applied_watermark_us = 0
        self.failures = 0
        self.pauses_until = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether a slice is to be done now."""
        return bool(self.due) and time.monotonic() >= self.pauses_until


class Maintenance:
    """Recomputing aside, lapses, restaging, deletion and merging, of the shares of some partitions.

    What fails is tried again after a pause; staging goes on meanwhile.
    """

    def __init__(self, context: StagerContext, topic: str, partitions: Sequence[int]) -> None:
        self.troubles: dict[int, str] = {}
        """Partition -> what keeps the maintenance of its share from going on."""
        self._context = context
        self._topic = topic
        self._partitions = partitions
        self._shares: list[_ShareWork] = []
        """The one first whose turn it is."""
        self._versions: tuple[int, ...] = ()
        self._watermark_us = 0
        self._has_retired = False
        self._next_pruning = 0.0
        self._next_suspects = 0.0
        self._next_merge = time.monotonic() + MERGE_SECONDS
        self._merger = ShardMerger()
        self._restaged_together = FIRST_CUSTOMERS
        """Maximum number of customers in a chunk of a restage."""

    @property
    def is_due(self) -> bool:
        """Whether it is time for a slice."""
        return any(share.is_ready for share in self._shares)

    async def look(self, connection: AsyncConnection) -> None:
        """Find out what there is to do, and say of shares without due lapses that they have them all.

        `connection`: within a transaction.
        """
        partitions = self._divide(len(self._context.consumer.partitions_for_topic(self._topic) or ()))
        agenda = await read_agenda(connection, self._topic, partitions)
        self._watermark_us = agenda.received_watermark_us
        self._has_retired = agenda.has_retired
        self._context.received_watermark_us = max(self._context.received_watermark_us, self._watermark_us)
        if agenda.versions != self._versions:
            await self._context.models.refresh()
            self._versions = agenda.versions
        models = await self._context.models.current()
        generations = sorted(active.id for of in models.values() for active in of.models)
        due = await journeys.read_due(connection, generations, self._watermark_us, EVERYBODY, DUE_LOOKED_AT)
        has_marks = bool(await recomputations.read_next(connection, EVERYBODY, 1))
        for share in self._shares:
            share.due |= self._work_of(share.share, agenda, [customer for customer, _, _ in due], has_marks=has_marks)
            if not has_marks:
                _measure_marks(share.share, recomputations.OpenMarks(0, None))
        await self._note_applied(connection, [share for share in self._shares if Work.SWEEP not in share.due])

    def _divide(self, partitions: int) -> int:
        """Take the shares of the partitions, of which there are so many in all; returns how many."""
        partitions = max(partitions, max(self._partitions) + 1)
        if not self._shares or self._shares[0].share.partitions != partitions:
            self._shares = [_ShareWork(Share(partition, partitions)) for partition in self._partitions]
        return partitions

    def _work_of(self, share: Share, agenda: Agenda, due: Sequence[bytes], *, has_marks: bool) -> set[Work]:
        first, last = share.digests()
        work = {
            Work.RECOMPUTE: has_marks,
            Work.ERASE: share.partition in agenda.erasures,
            Work.SWEEP: len(due) == DUE_LOOKED_AT or any(first <= customer <= last for customer in due),
            Work.WALK: agenda.has_walks,
            # The first partition of the process prunes for its others, and the first of all works for all where the
            # work is not divided.
            Work.DELETE: (share.partition == self._partitions[0] and time.monotonic() >= self._next_pruning)
            or (
                share.partition == 0
                and (agenda.has_retired or agenda.has_retention or time.monotonic() >= self._next_suspects)
            ),
            Work.MERGE: share.partition == 0 and time.monotonic() >= self._next_merge,
        }
        return {kind for kind, is_due in work.items() if is_due}

    async def _note_applied(self, connection: AsyncConnection, shares: Sequence[_ShareWork]) -> None:
        behind = [share for share in shares if share.applied_watermark_us < self._watermark_us]
        if behind:
            partitions = [share.share.partition for share in behind]
            await offsets.move_applied_watermarks(connection, self._topic, partitions, self._watermark_us)
            for share in behind:
                share.applied_watermark_us = self._watermark_us

    async def run_turn(self, goes_on: Callable[[], bool] = lambda: False) -> None:
        """Do a slice of some shares, and further ones of these as long as `goes_on`.

        The shares do not wait for each other: while PostgreSQL works for one, the process computes for another. What
        fails is noted; it keeps nothing else from going on.
        """
        ready = [share for share in self._shares if share.is_ready][:SIDE_BY_SIDE]
        if not ready:
            return
        self._shares = [share for share in self._shares if share not in ready] + ready
        to_sweep = [share for share in ready if Work.SWEEP in share.due]
        await asyncio.gather(*(self._run_slices(share, goes_on) for share in ready))
        swept = [share for share in to_sweep if Work.SWEEP not in share.due]
        if swept:
            try:
                async with transaction(self._context.engine) as connection:
                    await self._note_applied(connection, swept)
            except Exception as error:
                self._note_failure(swept[0], error)

    async def _run_slices(self, share: _ShareWork, goes_on: Callable[[], bool]) -> None:
        await self._run_slice(share)
        while share.is_ready and goes_on():
            await self._run_slice(share)

    async def _run_slice(self, share: _ShareWork) -> None:
        try:
            await self._work_on(share)
        except Exception as error:
            self._note_failure(share, error)
        else:
            share.failures = 0
            self.troubles.pop(share.share.partition, None)

    def _note_failure(self, share: _ShareWork, error: Exception) -> None:
        kind = failure_of(error) or "internal"
        metrics.STAGER_RETRIES.labels(kind).inc()
        if kind == "contention":
            return
        pause_seconds = min(LONGEST_PAUSE_SECONDS, 2.0**share.failures)
        share.failures += 1
        share.pauses_until = time.monotonic() + pause_seconds
        self.troubles[share.share.partition] = f"maintenance: {kind}: {type(error).__name__}: {error}"[:500]
        log.warning(
            "the maintenance of %s/%d waits %.0f s and tries again",
            self._topic,
            share.share.partition,
            pause_seconds,
            exc_info=error,
        )

    async def _work_on(self, share: _ShareWork) -> None:
        """Do one piece of each kind of work that is due."""
        does = {
            Work.RECOMPUTE: self._recompute_aside,
            Work.ERASE: self._erase,
            Work.SWEEP: self._sweep,
            Work.WALK: self._walk,
            Work.DELETE: self._delete,
            Work.MERGE: self._merge_shards,
        }
        for kind in sorted(share.due):
            models = await self._context.models.current()
            try:
                has_more = await does[kind](models, share.share, self._watermark_us)
            except (SlotTakenError, ModelsChangedError) as error:
                log.info("%s", error)
                await self._context.models.refresh()
                has_more = True
            if not has_more:
                share.due.discard(kind)

    async def _recompute_aside(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Recompute slices of journeys that rounds had no time for; returns whether there are more."""
        aside = await recompute_aside(self._context.engine, models, share, watermark_us=watermark_us)
        metrics.STAGER_SLICES.inc(aside.slices)
        metrics.STAGER_RECOMPUTED_ASIDE.inc(aside.touchpoints)
        async with reading(self._context.engine) as connection:
            marks = await recomputations.read_open(connection, share.digests())
        _measure_marks(share, marks)
        return marks.number > 0

    async def _erase(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Erase a slice of a person; returns whether there may be more."""
        instant_us = now_us()
        return await erase(
            self._context.engine,
            models,
            share.partition,
            watermark_us=watermark_us,
            has_caught_up=instant_us - watermark_us <= CAUGHT_UP_US,
            send=self._context.send_claims,
            now_us=instant_us,
        )

    async def _sweep(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Let a chunk of silent journeys lapse; returns whether there may be more."""
        lapsed, has_more = await sweep(self._context.engine, models, share, watermark_us=watermark_us)
        metrics.STAGER_LAPSED.inc(lapsed)
        return has_more

    async def _walk(self, models: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Restage a chunk and delete a chunk of old facts; returns whether there may be more."""
        engine = self._context.engine
        started = time.monotonic()
        restaged = await restage(engine, models, share, watermark_us=watermark_us, customers=self._restaged_together)
        if restaged is not None:
            self._restaged_together = next_customers(self._restaged_together, time.monotonic() - started)
            metrics.STAGER_RESTAGED.inc(restaged.touchpoints)
        deleted = await delete_old_facts(engine, models, share)
        if deleted is not None:
            metrics.STAGER_CLEARED.inc(deleted)
        return restaged is not None or deleted is not None

    async def _delete(self, _: ModelsByWorkspace, share: Share, watermark_us: int) -> bool:
        """Delete what nobody reads any more; returns whether there may be more."""
        engine = self._context.engine
        if share.partition == self._partitions[0] and time.monotonic() >= self._next_pruning:
            async with transaction(engine) as connection:
                for partition in self._partitions:
                    await counts.prune_history(connection, partition, watermark_us)
            self._next_pruning = time.monotonic() + PRUNE_SECONDS
        if share.partition != 0:
            return False
        if time.monotonic() >= self._next_suspects:
            async with transaction(engine) as connection:
                await prune_suspects(connection)
            self._next_suspects = time.monotonic() + SUSPECTS_SECONDS
        await move_retention_cutoffs(engine, watermark_us=watermark_us)
        if not self._has_retired:
            return False
        async with transaction(engine) as connection:
            return await drop_retired(connection, RETIRED_JOURNEYS) > 0

    async def _merge_shards(self, _: ModelsByWorkspace, _share: Share, watermark_us: int) -> bool:
        """Merge the shards of a few sums of settled days; returns whether there are more."""
        async with transaction(self._context.engine) as connection:
            has_more = await self._merger.run(connection, watermark_us - SETTLED_US)
        if not has_more:
            self._next_merge = time.monotonic() + MERGE_SECONDS
        return has_more


def _measure_marks(share: Share, marks: recomputations.OpenMarks) -> None:
    age_seconds = 0.0 if marks.oldest_us is None else max(0.0, (now_us() - marks.oldest_us) / 1e6)
    metrics.STAGER_MARKS.labels(str(share.partition)).set(marks.number)
    metrics.STAGER_MARK_AGE_SECONDS.labels(str(share.partition)).set(age_seconds)
