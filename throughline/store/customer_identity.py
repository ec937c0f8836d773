"""One customer's ids, links and rulings with their names, as an operator looks at them before and after an unlink."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import LargeBinary, any_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.digest import id_digest
from throughline.store.identity import IdRow, LinkRow, RulingRow, read_member_rows
from throughline.store.schema.identity import ids, links, rulings


class CustomerIdentity(NamedTuple):
    """A customer, its ids, and all links and rulings of them."""

    customer: str
    ids: list[IdRow]
    """The customer's id first, the others by name."""
    links: list[LinkRow]
    """All that begin or end at one of the ids, in the order in which links count."""
    rulings: list[RulingRow]
    """Likewise, in the order of time."""
    names: dict[bytes, str]
    """Digest -> id, for every id in the links and rulings."""


_these = bindparam("ids", type_=ARRAY(LargeBinary))
_ids = select(*(ids.c[name] for name in IdRow._fields)).where(ids.c.id == any_(_these))
_links = (
    select(*(links.c[name] for name in LinkRow._fields))
    .where(or_(links.c.id == any_(_these), links.c.owner == any_(_these)))
    .order_by(links.c.occurred_us, links.c.place, links.c.message_id, links.c.id)
)
_rulings = (
    select(*(rulings.c[name] for name in RulingRow._fields))
    .where(or_(rulings.c.id == any_(_these), rulings.c.owner == any_(_these)))
    .order_by(rulings.c.occurred_us, rulings.c.message_id)
)


async def read_customer_identity(connection: AsyncConnection, workspace: int, name: str) -> CustomerIdentity | None:
    """Returns the customer that an id of a workspace belongs to; None when no fact has the id."""
    (row,) = await _rows(connection, [id_digest(workspace, name)]) or (None,)
    if row is None:
        return None
    rows = sorted(
        await read_member_rows(connection, [row.root]), key=lambda member: (member.id != row.root, member.name)
    )
    digests = [row.id for row in rows]
    link_rows = [LinkRow(*row) for row in await connection.execute(_links, {"ids": digests})]
    ruling_rows = [RulingRow(*row) for row in await connection.execute(_rulings, {"ids": digests})]
    pairs = [(row.id, row.owner) for row in link_rows] + [(row.id, row.owner) for row in ruling_rows]
    ends = {end for pair in pairs for end in pair}
    names = {row.id: row.name for row in await _rows(connection, sorted(ends | set(digests)))}
    return CustomerIdentity(rows[0].name, rows, link_rows, ruling_rows, names)


async def read_customer(connection: AsyncConnection, digest: bytes) -> list[IdRow]:
    """Returns all ids of the customer that an id belongs to, given by digest; none when no fact has the id."""
    (row,) = await _rows(connection, [digest]) or (None,)
    return [] if row is None else await read_member_rows(connection, [row.root])


async def read_ruling(connection: AsyncConnection, id_digest: bytes, owner: bytes) -> RulingRow | None:
    """Returns the last ruling on a pair; None when there was none."""
    rows = await connection.execute(
        select(*(rulings.c[name] for name in RulingRow._fields)).where(
            rulings.c.id == id_digest, rulings.c.owner == owner
        )
    )
    row = rows.one_or_none()
    return None if row is None else RulingRow(*row)


async def are_linked(connection: AsyncConnection, id_digest: bytes, owner: bytes) -> bool:
    """Whether facts have linked an id to an owner, void or not."""
    rows = await connection.execute(select(links.c.by).where(links.c.id == id_digest, links.c.owner == owner).limit(1))
    return rows.first() is not None


async def _rows(connection: AsyncConnection, digests: Iterable[bytes]) -> list[IdRow]:
    return [IdRow(*row) for row in await connection.execute(_ids, {"ids": list(digests)})]
