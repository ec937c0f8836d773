"""What the api asks about customers: their list, and one customer's journey, transitions and touchpoints."""

from typing import NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.cursors import CustomerCursor, TouchpointCursor
from services.api.queries import consumed_through
from throughline.journey.model import UNPLACED
from throughline.store.tables import journeys, touchpoints, transitions


class CustomerRow(NamedTuple):
    """One customer in a list."""

    customer: bytes
    id: str
    phase: int
    highest_phase: int
    entered_us: int
    first_us: int
    last_us: int
    source: int
    channel: str


class JourneyRow(NamedTuple):
    """Where one customer stands."""

    id: str
    phase: int
    highest_phase: int
    entered_us: int
    first_us: int
    last_us: int


class TransitionRow(NamedTuple):
    """One move, in the order of the journey."""

    at_us: int
    from_phase: int
    to_phase: int
    cycle: int
    message_id: str
    name: str
    rule: str


class TouchpointRow(NamedTuple):
    """One fact."""

    actor: bytes
    occurred_us: int
    received_us: int
    source: int
    channel: str
    call: str
    name: str
    message_id: str
    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    order_id: str | None
    value: float | None
    currency: str | None
    rating: float | None
    score: float | None
    product_id: str | None
    quantity: float | None
    rest: str


async def list_customers(
    connection: AsyncConnection, model: int, phase: int | None, after: CustomerCursor | None, count: int
) -> list[CustomerRow]:
    """Up to `count` customers in `phase` (None: in any phase), after a position, in the order of the index by phase."""
    c = journeys.c
    query = select(*(c[name] for name in CustomerRow._fields)).where(c.model == model)
    if phase is None:
        query = query.where(c.phase > UNPLACED)
        if after is not None:
            query = query.where(tuple_(c.phase, c.customer) > tuple_(after.phase, after.customer))
    else:
        query = query.where(c.phase == phase)
        if after is not None:
            query = query.where(c.customer > after.customer)
    rows = await connection.execute(query.order_by(c.phase, c.customer).limit(count))
    return [CustomerRow(*row) for row in rows]


async def as_of_us(connection: AsyncConnection, topic: str) -> int | None:
    """The instant through which everything received is in the state; None before anything was consumed."""
    return (await connection.execute(select(consumed_through(topic)))).scalar_one()


async def journey_of(connection: AsyncConnection, model: int, customer: bytes) -> JourneyRow | None:
    """Where the customer of that digest stands; None when nobody is known by it."""
    c = journeys.c
    row = (
        await connection.execute(
            select(*(c[name] for name in JourneyRow._fields)).where(c.customer == customer, c.model == model)
        )
    ).one_or_none()
    return None if row is None else JourneyRow(*row)


async def transitions_of(connection: AsyncConnection, model: int, customer: bytes) -> list[TransitionRow]:
    """Every transition of the customer, in order."""
    c = transitions.c
    rows = await connection.execute(
        select(*(c[name] for name in TransitionRow._fields))
        .where(c.customer == customer, c.model == model)
        .order_by(c.number)
    )
    return [TransitionRow(*row) for row in rows]


async def touchpoints_of(
    connection: AsyncConnection, customer: bytes, after: TouchpointCursor | None, count: int
) -> list[TouchpointRow]:
    """Up to `count` touchpoints of the customer, newest first, after a position.

    The one place that knows which actors' facts are a customer's: those sent under the customer's own id.
    """
    c = touchpoints.c
    # The order within a customer is that of the ids' bytes, whatever the database's collation.
    message_id = c.message_id.collate("C")
    query = select(*(c[name] for name in TouchpointRow._fields)).where(c.actor == customer)
    if after is not None:
        query = query.where(tuple_(c.occurred_us, message_id, c.actor) < tuple_(*after))
    query = query.order_by(c.occurred_us.desc(), message_id.desc(), c.actor.desc()).limit(count)
    return [TouchpointRow(*row) for row in await connection.execute(query)]
