"""Statements over customers as a list."""

from typing import Annotated, NamedTuple

from msgspec import Meta
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.model import UNPLACED
from throughline.journey.state import Journey
from throughline.store.schema.journeys import journeys

MAX_PHASE = 2**15 - 1
"""Maximum number of a phase: what its column holds."""


class CustomerPosition(NamedTuple):
    """The place of a customer in a list: by phase, and within a phase by digest."""

    phase: Annotated[int, Meta(ge=UNPLACED, le=MAX_PHASE)]
    customer: bytes


class CustomerRow(NamedTuple):
    """A customer and where it stands."""

    customer: bytes
    id: str
    journey: Journey

    @property
    def position(self) -> CustomerPosition:
        """The place in the list."""
        return CustomerPosition(self.journey.phase, self.customer)


async def list_customers(
    connection: AsyncConnection, generation: int, phase: int | None, after: CustomerPosition | None, count: int
) -> list[CustomerRow]:
    """Up to `count` customers in `phase` (None: in any phase) after a position, in the order of the index by phase."""
    c = journeys.c
    query = select(c.customer, c.id, *(c[name] for name in Journey._fields)).where(c.model == generation)
    if phase is None:
        query = query.where(c.phase > UNPLACED)
        if after is not None:
            query = query.where(tuple_(c.phase, c.customer) > tuple_(after.phase, after.customer))
    else:
        query = query.where(c.phase == phase)
        if after is not None:
            query = query.where(c.customer > after.customer)
    rows = await connection.execute(query.order_by(c.phase, c.customer).limit(count))
    return [CustomerRow(customer, id, Journey(*journey)) for customer, id, *journey in rows]
