"""Writing a change set: the only way in which journeys, transitions, checkpoints and counts change."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.changes import ChangeSet
from throughline.store import conversions, counts, journeys
from throughline.store.admission import channels_admitted
from throughline.store.analytics import analytics_to_add
from throughline.store.engine.driver import Write, write_together


async def apply_changes(
    connection: AsyncConnection, changes: ChangeSet, shard: int, *, exact: bool = False, also: Sequence[Write] = ()
) -> None:
    """Write a change set.

    Args:
        connection: within the transaction that holds the locks on the customers' ids.
        changes: what to write.
        shard: the partition whose count rows take the deltas.
        exact: see `journeys.journeys_to_write`.
        also: what else is written.
    """
    if changes.removed_journeys:
        await journeys.delete_journeys(connection, sorted(changes.removed_journeys))
    if changes.removed_transitions:
        await journeys.remove_transitions(connection, sorted(changes.removed_transitions))
    if changes.removed_checkpoints:
        await journeys.remove_checkpoints(connection, sorted(changes.removed_checkpoints))
    if changes.removed_conversions:
        await conversions.remove_conversions(connection, sorted(changes.removed_conversions))
    changes.count_under(await channels_admitted(connection, changes.channels))
    writes = [
        *journeys.journeys_to_write(sorted(changes.journeys), exact=exact),
        *journeys.transitions_to_write(sorted(changes.transitions)),
        *journeys.checkpoints_to_write(sorted(changes.checkpoints)),
        *conversions.conversions_to_write(sorted(changes.conversions)),
        *counts.counts_to_add(shard, changes.deltas, changes.zones, changes.watermark_us),
        *analytics_to_add(shard, changes.funnel, changes.flows, changes.variants),
        *await counts.unmapped_to_add(connection, shard, changes.unmapped),
        *counts.refunds_to_add(shard, changes.refunds),
    ]
    await write_together(connection, [*writes, *also])
