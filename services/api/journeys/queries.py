"""Statements over one customer: its ids, its journey, and the touchpoints of all its ids as one list."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta
from sqlalchemy import ColumnElement, Select, func, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.lapse import NEVER
from throughline.journey.state import ENTER, LAPSE, Journey, Transition
from throughline.store.digest import message_digest
from throughline.store.facts import read_senders
from throughline.store.schema.facts import touchpoints
from throughline.store.schema.identity import ids
from throughline.store.schema.journeys import journeys, recomputations, transitions

_ACTORS_PER_STATEMENT = 64
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Number of bytes of what was sent after which a page of touchpoints ends, with fewer of them than were requested."""
_LATEST = (NEVER, 0, "")
"""Later than every touchpoint."""


# --- ids, journey and transitions -------------------------------------------------------------------------------------


class IdRow(NamedTuple):
    """A raw id, and the link by which it belongs to another id (`owner` None: it belongs to nobody)."""

    id: bytes
    name: str
    owner: bytes | None
    link_us: int | None
    link_message: str | None
    link_by: int | None

    @property
    def position(self) -> "IdPosition":
        """The place in the list."""
        return IdPosition(self.link_us or 0, self.link_message or "", self.name, self.id)


class IdPosition(NamedTuple):
    """The place of an id among those that belong to a customer: by when it was linked."""

    link_us: int
    link_message: str
    name: str
    id: bytes


async def customer_of(connection: AsyncConnection, workspace: int, id: bytes) -> bytes:
    """The customer that an id belongs to, by digest: the end of its links, or the id itself."""
    root: bytes | None = await connection.scalar(select(ids.c.root).where(ids.c.workspace == workspace, ids.c.id == id))
    return root or id


async def ids_of(connection: AsyncConnection, workspace: int, customer: bytes) -> list[IdRow]:
    """The customer's own id and every id whose links lead to it, by digest."""
    columns = [ids.c[name] for name in IdRow._fields]
    rows = await connection.execute(
        select(*columns).where(ids.c.workspace == workspace, ids.c.root == customer).order_by(ids.c.id)
    )
    return [IdRow(*row) for row in rows]


async def journey_of(connection: AsyncConnection, generation: int, customer: bytes) -> tuple[str, Journey] | None:
    """The customer's id and where it stands; None when the generation has no such customer."""
    c = journeys.c
    columns = [c[name] for name in Journey._fields]
    row = (
        await connection.execute(select(c.id, *columns).where(c.customer == customer, c.model == generation))
    ).one_or_none()
    return None if row is None else (row[0], Journey(*row[1:]))


async def is_recomputed(connection: AsyncConnection, generation: int, customer: bytes) -> bool:
    """Whether the customer's journey is being recomputed aside: it is answered as it was."""
    c = recomputations.c
    mark = select(c.model).where(c.customer == customer, c.model == generation)
    return await connection.scalar(mark) is not None


class TransitionPosition(NamedTuple):
    """The place of a transition in a customer's list."""

    at_us: int
    place: int
    message_id: str
    actor: str
    kind: Annotated[int, Meta(ge=ENTER, le=LAPSE)]


def position_of(transition: Transition) -> TransitionPosition:
    """The place of a transition in the list."""
    return TransitionPosition(
        transition.at_us, transition.place, transition.message_id, transition.actor, transition.kind
    )


_transition_place = [transitions.c[name] for name in TransitionPosition._fields]
_transition_order = tuple_(*_transition_place)


async def read_transitions(
    connection: AsyncConnection,
    generation: int,
    customer: bytes,
    count: int,
    *,
    before: TransitionPosition | None = None,
) -> list[Transition]:
    """Up to `count` transitions of the customer, newest first: those before a position, or the newest of all."""
    query = _transitions(generation, customer)
    if before is not None:
        query = query.where(_transition_order < before)
    rows = await connection.execute(query.order_by(*(column.desc() for column in _transition_place)).limit(count))
    return [Transition(*row) for row in rows]


async def transitions_from(
    connection: AsyncConnection, generation: int, customer: bytes, first: TransitionPosition, count: int
) -> list[Transition]:
    """Up to `count` transitions of the customer, oldest first: the one at a position, and those after it."""
    query = _transitions(generation, customer).where(_transition_order >= first)
    rows = await connection.execute(query.order_by(*_transition_place).limit(count))
    return [Transition(*row) for row in rows]


def _transitions(generation: int, customer: bytes) -> Select[Any]:
    c = transitions.c
    return select(*(c[name] for name in Transition._fields)).where(c.customer == customer, c.model == generation)


# --- touchpoints ------------------------------------------------------------------------------------------------------


class TouchpointPosition(NamedTuple):
    """The place of a touchpoint in a customer's list."""

    occurred_us: int
    place: int
    message_id: str
    actor: bytes


class TouchpointRow(NamedTuple):
    """One touchpoint, as far as the answers tell of it."""

    actor: bytes
    occurred_us: int
    place: int
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
    def position(self) -> TouchpointPosition:
        """The place in the list."""
        return TouchpointPosition(self.occurred_us, self.place, self.message_id, self.actor)


class TouchpointPage(NamedTuple):
    """A page of touchpoints, newest first."""

    rows: list[TouchpointRow]
    last: TouchpointPosition | None
    """The place of the last one, if further ones follow."""


async def touchpoints_of(
    connection: AsyncConnection, actors: Mapping[bytes, str], after: TouchpointPosition | None, limit: int
) -> TouchpointPage:
    """Up to `limit` touchpoints of a customer, newest first, after a position. Cross-id duplicates are left out.

    A page ends early with the touchpoint that makes what was sent more than `MAX_PAGE_BYTES`.

    Args:
        connection: all its statements see one state of the database.
        actors: all ids of the customer, by digest.
        after: the last touchpoint of the page before.
        limit: maximum number of touchpoints.
    """
    positions: list[TouchpointPosition] = []
    while len(positions) <= limit:
        missing = limit + 1 - len(positions)
        newest = await _newest(connection, sorted(actors), after, missing)
        duplicates = await _cross_id_duplicates(connection, actors, newest) if len(actors) > 1 else set()
        positions += [position for position in newest if position not in duplicates]
        if len(newest) < missing:
            break
        after = newest[-1]
    page = await _within_bytes(connection, positions[:limit])
    return TouchpointPage(await _read_rows(connection, page), page[-1] if len(page) < len(positions) else None)


async def _newest(
    connection: AsyncConnection, actors: Sequence[bytes], after: TouchpointPosition | None, count: int
) -> list[TouchpointPosition]:
    """Up to `count` positions of some ids, newest first. Nothing else is read of what is not on the page."""
    c = touchpoints.c
    # The order within a customer is that of the ids' bytes, whatever the database's collation.
    order = (c.occurred_us, c.place, c.message_id.collate("C"), c.actor)
    positions: list[TouchpointPosition] = []
    for start in range(0, len(actors), _ACTORS_PER_STATEMENT):
        parts = []
        for actor in actors[start : start + _ACTORS_PER_STATEMENT]:
            # By the index on (actor, occurred_us), backwards: as many rows as the page takes, however long the history.
            query = select(*(c[name] for name in TouchpointPosition._fields)).where(c.actor == actor)
            if after is not None:
                query = query.where(c.occurred_us <= after.occurred_us, tuple_(*order) < tuple_(*after))
            parts.append(query.order_by(*(column.desc() for column in order[:3])).limit(count).subquery())
        result = await connection.execute(union_all(*(select(part) for part in parts)))
        positions += [TouchpointPosition(*row) for row in result]
        positions = sorted(positions, key=_by_bytes, reverse=True)[:count]
    return positions


def _by_bytes(position: TouchpointPosition) -> tuple[int, int, bytes, bytes]:
    """Sorts as the database does, oldest first: message ids by their bytes."""
    return (position.occurred_us, position.place, position.message_id.encode(), position.actor)


async def _within_bytes(
    connection: AsyncConnection, page: Sequence[TouchpointPosition]
) -> Sequence[TouchpointPosition]:
    """The page, up to the touchpoint that makes it larger than `MAX_PAGE_BYTES`."""
    c = touchpoints.c
    sizes = await connection.execute(select(c.message, c.actor, func.octet_length(c.rest)).where(_are_of(page)))
    size_of = {(row[0], row[1]): row[2] for row in sizes}
    page_bytes = 0
    for number, position in enumerate(page, start=1):
        page_bytes += size_of[message_digest(position.message_id), position.actor]
        if page_bytes > MAX_PAGE_BYTES:
            return page[:number]
    return page


async def _read_rows(connection: AsyncConnection, page: Sequence[TouchpointPosition]) -> list[TouchpointRow]:
    c = touchpoints.c
    result = await connection.execute(select(*(c[name] for name in TouchpointRow._fields)).where(_are_of(page)))
    rows = [TouchpointRow(*row) for row in result]
    return sorted(rows, key=lambda row: _by_bytes(row.position), reverse=True)


def _are_of(page: Sequence[TouchpointPosition]) -> ColumnElement[bool]:
    keys = [(message_digest(position.message_id), position.actor) for position in page]
    return tuple_(touchpoints.c.message, touchpoints.c.actor).in_(keys)


async def _cross_id_duplicates(
    connection: AsyncConnection, actors: Mapping[bytes, str], page: Sequence[TouchpointPosition]
) -> set[TouchpointPosition]:
    """The positions on the page whose message id another id of the customer sent earlier.

    Of two touchpoints of one instant, the one with the smaller place counts, then the one under the smaller id.
    """
    senders = await read_senders(connection, (message_digest(position.message_id) for position in page), actors)
    earliest = {message: min((*at, actors[actor]) for actor, at in sent.items()) for message, sent in senders.items()}
    return {
        position
        for position in page
        if (position.occurred_us, position.place, actors[position.actor])
        > earliest.get(message_digest(position.message_id), _LATEST)
    }
