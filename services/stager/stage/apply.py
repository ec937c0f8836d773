"""Writing a change set: the only way in which journeys, transitions, checkpoints and counts change."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.changes import ChangeSet
from throughline.store import conversions, counts, journeys
from throughline.store.admission import channels_admitted
from throughline.store.analytics import add_analytics


async def apply_changes(connection: AsyncConnection, changes: ChangeSet, shard: int, *, exact: bool = False) -> None:
    """Write a change set.

    Args:
        connection: within the transaction that holds the locks on the customers' ids.
        changes: what to write.
        shard: the partition whose count rows take the deltas.
        exact: see `journeys.write_journeys`.
    """
    if changes.removed_journeys:
        await journeys.delete_journeys(connection, sorted(changes.removed_journeys))
    if changes.removed_transitions:
        await journeys.remove_transitions(connection, sorted(changes.removed_transitions))
    if changes.removed_checkpoints:
        await journeys.remove_checkpoints(connection, sorted(changes.removed_checkpoints))
    if changes.removed_conversions:
        await conversions.remove_conversions(connection, sorted(changes.removed_conversions))
    if changes.journeys:
        await journeys.write_journeys(connection, sorted(changes.journeys), exact=exact)
    if changes.transitions:
        await journeys.write_transitions(connection, sorted(changes.transitions))
    if changes.checkpoints:
        await journeys.write_checkpoints(connection, sorted(changes.checkpoints))
    if changes.conversions:
        await conversions.write_conversions(connection, sorted(changes.conversions))
    changes.count_under(await channels_admitted(connection, changes.channels))
    await counts.add_counts(connection, shard, changes.deltas, changes.zones, changes.watermark_us)
    await add_analytics(connection, shard, changes.funnel, changes.flows, changes.variants)
    await counts.add_unmapped(connection, shard, changes.unmapped)
    await counts.add_refunds(connection, shard, changes.refunds)
