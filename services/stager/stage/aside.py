"""Journeys that a transaction has no time for: marked, and recomputed aside (`maintain/recompute_aside.py`).

Their touchpoints and links are staged like all others. The journeys stay as they are until then.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.changes import ChangeSet
from services.stager.stage.customer import Customer
from services.stager.stage.models import ActiveModel
from throughline.kit.clock import now_us
from throughline.store import facts, recomputations


class LeftAside(NamedTuple):
    """A journey that is not changed now."""

    customer: Customer
    active: ActiveModel
    changed_us: int
    """Its history has changed from this instant on."""
    uncounted_ids: Collection[bytes] = ()
    """Ids of the customer whose unmapped events the model has not counted yet."""


async def leave_aside(connection: AsyncConnection, changes: ChangeSet, journeys: Sequence[LeftAside]) -> None:
    """Mark journeys. What they would count besides phases, events of unknown names, is counted now.

    Args:
        connection: within the transaction that holds the locks on the customers' ids.
        changes: takes the events of unknown names.
        journeys: a journey once.
    """
    if not journeys:
        return
    for left in journeys:
        if left.uncounted_ids:
            changes.count_unmapped_names(left.active, await facts.count_names(connection, left.uncounted_ids))
    rows = [(left.customer.digest, left.active.id, left.customer.workspace, left.changed_us) for left in journeys]
    await recomputations.mark(connection, rows, now_us())
