"""What the api asks about customers: their list, and one customer's ids, journey and transitions."""

from typing import NamedTuple

from sqlalchemy import LargeBinary, any_, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.cursors import CustomerCursor
from throughline.journey.model import UNPLACED
from throughline.journey.state import Journey, Transition
from throughline.store.tables import ids, journeys, transitions

_JOURNEY = tuple(journeys.c[name] for name in Journey._fields)


class CustomerRow(NamedTuple):
    """One customer in a list."""

    customer: bytes
    id: str
    journey: Journey


class IdRow(NamedTuple):
    """A raw id, and the link by which it belongs to another one (None: to nobody)."""

    id: bytes
    name: str
    owner: bytes | None
    link_us: int | None
    link_message: str | None
    link_by: int | None


async def list_customers(
    connection: AsyncConnection, model: int, phase: int | None, after: CustomerCursor | None, count: int
) -> list[CustomerRow]:
    """Up to `count` customers in `phase` (None: in any phase), after a position, in the order of the index by phase."""
    c = journeys.c
    query = select(c.customer, c.id, *_JOURNEY).where(c.model == model)
    if phase is None:
        query = query.where(c.phase > UNPLACED)
        if after is not None:
            query = query.where(tuple_(c.phase, c.customer) > tuple_(after.phase, after.customer))
    else:
        query = query.where(c.phase == phase)
        if after is not None:
            query = query.where(c.customer > after.customer)
    rows = await connection.execute(query.order_by(c.phase, c.customer).limit(count))
    return [CustomerRow(row[0], row[1], Journey(*row[2:])) for row in rows]


async def customer_of(connection: AsyncConnection, workspace: int, digest: bytes) -> bytes:
    """The customer that an id belongs to: the end of its links."""
    c = ids.c
    seen: set[bytes] = set()
    while digest not in seen:
        seen.add(digest)
        owner: bytes | None = await connection.scalar(
            select(c.owner).where(c.workspace == workspace, c.id == digest, c.owner.is_not(None))
        )
        if owner is None:
            break
        digest = owner
    return digest


async def ids_of(connection: AsyncConnection, workspace: int, customer: bytes) -> list[IdRow]:
    """The customer's own id and every id that belongs to it, however far down; level by level, and by digest."""
    c = ids.c
    fields = [c[name] for name in IdRow._fields]
    found: dict[bytes, IdRow] = {}
    which = or_(c.id == customer, c.owner == customer)
    while True:
        rows = await connection.execute(select(*fields).where(c.workspace == workspace, which).order_by(c.id))
        level = [row for row in (IdRow(*row) for row in rows) if row.id not in found]
        if not level:
            return list(found.values())
        found.update((row.id, row) for row in level)
        which = c.owner == any_(literal([row.id for row in level], ARRAY(LargeBinary)))


async def journey_of(connection: AsyncConnection, model: int, customer: bytes) -> tuple[str, Journey] | None:
    """The customer's id and where it stands, by digest; None when nobody is known by it."""
    c = journeys.c
    row = (
        await connection.execute(select(c.id, *_JOURNEY).where(c.customer == customer, c.model == model))
    ).one_or_none()
    return None if row is None else (row[0], Journey(*row[1:]))


async def transitions_of(connection: AsyncConnection, model: int, customer: bytes) -> list[Transition]:
    """Every transition of the customer, in order."""
    c = transitions.c
    rows = await connection.execute(
        select(*(c[name] for name in Transition._fields))
        .where(c.customer == customer, c.model == model)
        .order_by(c.at_us, c.message_id, c.actor, c.kind)
    )
    return [Transition(*row) for row in rows]
