"""Lapses by the clock: each partition sweeps its share of the customers for journeys whose silence is long enough.

A journey has an instant at which to check it, never later than its lapse is due and seldom moved, so that no index
changes with every event. A check that comes too early finds no lapse and says when the next one is due. Sweeping twice,
or by two members at once, is safe: whoever locks a customer's id finds the journey lapsed already.
"""

from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain.walk import Share
from services.stager.stage.apply import apply_changes
from services.stager.stage.changes import ChangeSet
from services.stager.stage.customer import Customer
from services.stager.stage.models import ModelsByWorkspace, lock_models
from throughline.store import identity, journeys, recomputations
from throughline.store.engine.unit_of_work import reading, transaction

CHUNK = 2_000
"""Maximum number of journeys checked in a transaction."""


async def sweep(engine: AsyncEngine, models: ModelsByWorkspace, share: Share, *, watermark_us: int) -> tuple[int, bool]:
    """Let journeys lapse whose lapse is due by the watermark: one chunk of a partition's share.

    Args:
        share: the partition, whose number is also the shard of the count rows.
        watermark_us: lapses due by this instant have happened.

    Returns:
        the number of lapses, and whether there may be more to check.

    Raises:
        ModelsChangedError: read the models again.
    """
    active_models = {active.id: (workspace, active) for workspace, of in models.items() for active in of.models}
    if not active_models:
        return 0, False
    async with reading(engine) as connection:
        due = await journeys.read_due(connection, sorted(active_models), watermark_us, share.digests(), CHUNK)
    if not due:
        return 0, False
    changes = ChangeSet(watermark_us)
    async with transaction(engine) as connection:
        # No id that was due is deleted meanwhile.
        await lock_models(connection, {active_models[model][0] for _, model, _ in due}, models)
        rows = {(active_models[model][0], customer, name, False) for customer, model, name in due}
        await identity.hold_ids(connection, sorted(rows))
        customers = sorted({customer for customer, _, _ in due})
        # An id that has joined a customer meanwhile has no journey any more, or one that is marked.
        states = await journeys.read_journeys(connection, customers)
        marks = await recomputations.read_marks(connection, customers)
        for digest, model, name in due:
            stored = states.get((digest, model))
            if stored is not None and (digest, model) not in marks:
                workspace, active = active_models[model]
                changes.fold_on(Customer(workspace, digest, name, [active]), active, stored, ())
        await apply_changes(connection, changes, share.partition, exact=True)
    return len(changes.transitions), len(due) == CHUNK
