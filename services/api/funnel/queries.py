"""Statements over funnel sums, and over the transitions of those behind a number."""

from typing import Literal

from sqlalchemy import BigInteger, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import CustomerFilter
from throughline.analytics.funnel import Count
from throughline.store.schema.analytics import funnel_counts

Dimension = Literal["source", "channel"]


async def read_funnel(
    connection: AsyncConnection,
    generation: int,
    unit: int,
    phase: int,
    span: tuple[int, int],
    customers: CustomerFilter,
    by: Dimension | None = None,
) -> dict[int | str | None, list[Count]]:
    """The sums of the entries into a phase, by value of a dimension; without one, all under None.

    Args:
        connection: where to read.
        generation: whose.
        unit: CYCLE or CUSTOMER.
        phase: the phase that was come to.
        span: first day, and the start of the day after the last.
        customers: whose.
        by: the dimension.
    """
    c = funnel_counts.c
    value = null() if by is None else c[by]
    keys = (c.day_us, c.way, c.age)
    rows = await connection.execute(
        select(value.label("value"), *keys, func.sum(c.number).cast(BigInteger).label("number"))
        .where(
            c.model == generation,
            c.unit == unit,
            c.phase == phase,
            c.day_us >= span[0],
            c.day_us < span[1],
            *customers.conditions(funnel_counts),
        )
        .group_by(*keys, *([] if by is None else [value]))
    )
    counts: dict[int | str | None, list[Count]] = {}
    for value_, day_us, way, age, number in rows:
        if number:
            counts.setdefault(value_, []).append(Count(day_us, phase, way, age, number))
    return counts
