"""Deletes what belongs to retired generations, a batch at a time."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnClause,
    LargeBinary,
    any_,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.tables import (
    checkpoints,
    journeys,
    models,
    phase_counts,
    phase_history,
    restage_slots,
    transitions,
    unmapped,
)

_take_retired = (
    update(models)
    .where(
        models.c.id == select(func.min(models.c.id)).where(models.c.state == "retired").scalar_subquery(),
        models.c.state == "retired",
    )
    .values(state="retired")
    .returning(models.c.id)
)
_customers = (
    select(journeys.c.customer)
    .where(journeys.c.model == bindparam("model", type_=BigInteger))
    .order_by(journeys.c.phase, journeys.c.customer)
    .limit(bindparam("limit", type_=BigInteger))
)


async def drop_retired(connection: AsyncConnection, limit: int) -> int:
    """Delete the rows of up to `limit` customers of a retired generation; when there are none, of its counts.

    Gives how many there were: 0 when no retired generation is left, or another process is deleting.
    """
    taken = await connection.scalar(_take_retired)  # its row is locked: one at a time deletes
    if taken is None:
        return 0
    customers = (await connection.scalars(_customers, {"model": taken, "limit": limit})).all()
    if customers:
        these = literal(sorted(customers), ARRAY(LargeBinary))
        for table in (transitions, checkpoints, journeys):
            await connection.execute(delete(table).where(table.c.customer == any_(these), table.c.model == taken))
        return len(customers)
    place: ColumnClause[Any] = literal_column("ctid")
    some = select(place).select_from(phase_history).where(phase_history.c.model == taken).limit(limit)
    gone = await connection.execute(delete(phase_history).where(place == any_(func.array(some.scalar_subquery()))))
    if gone.rowcount:
        return gone.rowcount
    for table in (phase_counts, unmapped, restage_slots):
        await connection.execute(delete(table).where(table.c.model == taken))
    await connection.execute(delete(models).where(models.c.id == taken))
    return 1
