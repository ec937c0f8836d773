"""One customer's ids, links and rulings, with their names: what an operator looks at before and after an unlink."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import LargeBinary, any_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.digest import id_digest
from throughline.store.identity import IdRow, LinkRow, RulingRow, read_members
from throughline.store.schema.identity import ids, links, rulings


class CustomerIdentity(NamedTuple):
    """A customer, and all that was ever said of whose its ids are."""

    customer: str
    ids: list[IdRow]
    """Its own first, the others by name."""
    links: list[LinkRow]
    """All that begin or end at one of its ids, in the order in which they count."""
    rulings: list[RulingRow]
    """Likewise, in the order in which they were made."""
    names: dict[bytes, str]
    """Of every id that these name."""


_these = bindparam("ids", type_=ARRAY(LargeBinary))
_ids = select(*(ids.c[name] for name in IdRow._fields)).where(ids.c.id == any_(_these))
_links = (
    select(*(links.c[name] for name in LinkRow._fields))
    .where(or_(links.c.id == any_(_these), links.c.owner == any_(_these)))
    .order_by(links.c.occurred_us, links.c.message_id, links.c.id)
)
_rulings = (
    select(*(rulings.c[name] for name in RulingRow._fields))
    .where(or_(rulings.c.id == any_(_these), rulings.c.owner == any_(_these)))
    .order_by(rulings.c.occurred_us, rulings.c.message_id)
)


async def read_customer_identity(connection: AsyncConnection, workspace: int, name: str) -> CustomerIdentity | None:
    """The customer that an id of a workspace belongs to; None when no fact has named the id."""
    digest = id_digest(workspace, name)
    (own,) = await _rows(connection, [digest]) or (None,)
    if own is None:
        return None
    while own.owner is not None:
        (own,) = await _rows(connection, [own.owner])
    members = (await read_members(connection, [own.id]))[own.id]
    rows = [own, *sorted(await _rows(connection, list(members)), key=lambda row: row.name)]
    digests = [row.id for row in rows]
    found = [LinkRow(*row) for row in await connection.execute(_links, {"ids": digests})]
    said = [RulingRow(*row) for row in await connection.execute(_rulings, {"ids": digests})]
    ends = {end for pair in (*found, *said) for end in pair[:2]}
    names = {row.id: row.name for row in await _rows(connection, sorted(ends | set(digests)))}
    return CustomerIdentity(own.name, rows, found, said, names)


async def read_ruling(connection: AsyncConnection, id_: bytes, owner: bytes) -> RulingRow | None:
    """The last word on a pair; None when there never was one."""
    rows = await connection.execute(
        select(*(rulings.c[name] for name in RulingRow._fields)).where(rulings.c.id == id_, rulings.c.owner == owner)
    )
    row = rows.one_or_none()
    return None if row is None else RulingRow(*row)


async def are_linked(connection: AsyncConnection, id_: bytes, owner: bytes) -> bool:
    """Whether facts have linked the one to the other, void or not."""
    rows = await connection.execute(select(links.c.by).where(links.c.id == id_, links.c.owner == owner).limit(1))
    return rows.first() is not None


async def _rows(connection: AsyncConnection, digests: Iterable[bytes]) -> list[IdRow]:
    return [IdRow(*row) for row in await connection.execute(_ids, {"ids": list(digests)})]
