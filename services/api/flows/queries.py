"""Statements over the sums of moves and of variants."""

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import CustomerFilter
from throughline.analytics.flows import Moves
from throughline.journey.flows import MOVES
from throughline.store.schema.analytics import flow_counts, variant_counts


async def read_moves(
    connection: AsyncConnection, generation: int, reading: int, span: tuple[int, int], customers: CustomerFilter
) -> list[Moves]:
    """The sums of a reading up to the end of a span; of moves with those before it, which say how it opens."""
    c = flow_counts.c
    before = (c.day_us < span[0]).label("before")
    keys = (before, c.kind, c.from_phase, c.to_phase, c.cycle)
    query = select(*keys, func.sum(c.number).cast(BigInteger)).where(
        c.model == generation, c.reading == reading, c.day_us < span[1], *customers.conditions(flow_counts)
    )
    if reading != MOVES:
        query = query.where(c.day_us >= span[0])
    rows = await connection.execute(query.group_by(*keys))
    return [Moves(*row) for row in rows if row[-1]]


async def read_variants(
    connection: AsyncConnection, generation: int, span: tuple[int, int], customers: CustomerFilter
) -> list[tuple[int, int, int]]:
    """(phases entered, outcome, number) of the cycles that began in a span."""
    c = variant_counts.c
    keys = (c.phases, c.outcome)
    rows = await connection.execute(
        select(*keys, func.sum(c.number).cast(BigInteger))
        .where(
            c.model == generation,
            c.day_us >= span[0],
            c.day_us < span[1],
            *customers.conditions(variant_counts),
        )
        .group_by(*keys)
    )
    return [(phases, outcome, number) for phases, outcome, number in rows if number]
