"""What the api asks about customers: their list, and one customer's ids, journey and transitions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import LargeBinary, any_, literal, or_, select, tuple_, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cursors import CustomerCursor, TouchpointCursor
from throughline.journey.model import UNPLACED
from throughline.journey.state import Journey, Transition
from throughline.store.digest import message_digest
from throughline.store.facts import read_existing
from throughline.store.schema.facts import touchpoints
from throughline.store.schema.identity import ids
from throughline.store.schema.journeys import journeys, transitions

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


_ACTORS_AT_ONCE = 64
_KEYS_AT_ONCE = 10_000


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
    bot: bool
    attribution: str | None

    @property
    def position(self) -> TouchpointCursor:
        """Its place in the list."""
        return TouchpointCursor(self.occurred_us, self.message_id, self.actor)

    @property
    def order(self) -> tuple[int, bytes, bytes]:
        """Sorts as the list does, oldest first: ids by their bytes."""
        return (self.occurred_us, self.message_id.encode(), self.actor)


async def touchpoints_of(
    connection: AsyncConnection, actors: Mapping[bytes, str], after: TouchpointCursor | None, count: int
) -> list[TouchpointRow]:
    """Up to `count` touchpoints of a customer, newest first, after a position.

    Args:
        connection: one snapshot.
        actors: all ids of the customer, by digest. Of a message id that several of them sent, the earliest counts.
        after: the last one of the page before.
        count: how many at most.
    """
    found: list[TouchpointRow] = []
    while len(found) < count:
        wanted = count - len(found)
        page = await _newest(connection, sorted(actors), after, wanted)
        repeated = await _repeated(connection, actors, page) if len(actors) > 1 else set()
        found += [row for row in page if row.position not in repeated]
        if len(page) < wanted:
            break
        after = page[-1].position
    return found


async def _newest(
    connection: AsyncConnection, actors: Sequence[bytes], after: TouchpointCursor | None, count: int
) -> list[TouchpointRow]:
    c = touchpoints.c
    # The order within a customer is that of the ids' bytes, whatever the database's collation.
    order = (c.occurred_us, c.message_id.collate("C"), c.actor)
    rows: list[TouchpointRow] = []
    for start in range(0, len(actors), _ACTORS_AT_ONCE):
        parts = []
        for actor in actors[start : start + _ACTORS_AT_ONCE]:
            # By the index on (actor, occurred_us), backwards: as many rows as the page takes, however long the history.
            query = select(*(c[name] for name in TouchpointRow._fields)).where(c.actor == actor)
            if after is not None:
                query = query.where(c.occurred_us <= after.occurred_us, tuple_(*order) < tuple_(*after))
            parts.append(query.order_by(order[0].desc(), order[1].desc()).limit(count).subquery())
        found = await connection.execute(union_all(*(select(part) for part in parts)))
        rows += [TouchpointRow(*row) for row in found]
    return sorted(rows, key=lambda row: row.order, reverse=True)[:count]


async def _repeated(
    connection: AsyncConnection, actors: Mapping[bytes, str], page: Sequence[TouchpointRow]
) -> set[TouchpointCursor]:
    """The positions on the page whose message id the customer sent earlier, or at once under a smaller id."""
    asked = {
        message_digest(actor, row.message_id): (actor, row.message_id)
        for row in page
        for actor in actors
        if actor != row.actor
    }
    keys = sorted((actor, digest) for digest, (actor, _) in asked.items())
    earliest: dict[str, tuple[int, str]] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        for digest, occurred_us in (await read_existing(connection, keys[start : start + _KEYS_AT_ONCE])).items():
            actor, message_id = asked[digest]
            place = (occurred_us, actors[actor])
            earliest[message_id] = min(place, earliest.get(message_id, place))
    return {
        row.position
        for row in page
        if row.message_id in earliest and earliest[row.message_id] < (row.occurred_us, actors[row.actor])
    }
