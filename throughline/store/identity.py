"""Statements over raw ids: locked and read in one, linked, and gathered into customers.

Whoever changes an id's owner holds the rows of the id, of its old chain and of its new chain, up to the customers at
their ends. So a locked chain does not change, and a locked customer keeps its members.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import LargeBinary, any_, bindparam, false, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.identity import ids, links, rulings


class IdRow(NamedTuple):
    """A raw id, and its owner. The table `ids` says what each field means."""

    workspace: int
    id: bytes
    name: str
    is_user: bool
    joined: bool
    linked: bool
    owner: bytes | None
    link_us: int | None
    link_message: str | None
    link_by: int | None


_locked = UnnestParameters("locked", {name: ids.c[name].type for name in ("workspace", "id", "name", "is_user")})
_lock_insert = insert(ids).from_select(
    ["workspace", "id", "name", "is_user", "joined", "linked"],
    select(*_locked.table.c, false(), false()).order_by(_locked.table.c.workspace, _locked.table.c.id),
)
_lock_ids = DriverStatement(
    _lock_insert.on_conflict_do_update(
        index_elements=[ids.c.workspace, ids.c.id],
        set_={"is_user": or_(ids.c.is_user, _lock_insert.excluded.is_user)},
    ).returning(*(ids.c[name] for name in IdRow._fields))
)


async def lock_ids(connection: AsyncConnection, rows: Sequence[tuple[int, bytes, str, bool]]) -> dict[bytes, IdRow]:
    """Lock ids until the transaction ends and return their rows by digest; new ids are inserted.

    Args:
        connection: within a transaction.
        rows: (workspace, digest, id, whether a fact has the id as its user id), sorted, distinct, at least one.
    """
    return {row[1]: IdRow._make(row) for row in await _lock_ids.fetch(connection, _locked.parameters(rows))}


_OWNED = ("workspace", "id", "joined", "linked", "owner", "link_us", "link_message", "link_by")
_owned = UnnestParameters("owned", {name: ids.c[name].type for name in ("name", "is_user", *_OWNED)})
_owned_insert = insert(ids).from_select(
    list(_owned.table.c.keys()), select(*_owned.table.c).order_by(_owned.table.c.workspace, _owned.table.c.id)
)
_write_ids = DriverStatement(
    _owned_insert.on_conflict_do_update(
        index_elements=[ids.c.workspace, ids.c.id],
        set_={name: _owned_insert.excluded[name] for name in _OWNED[2:]},
    ).returning(ids.c.id)
)


async def write_ids(connection: AsyncConnection, rows: Iterable[IdRow]) -> None:
    """Write the owners of locked ids, sorted by workspace and digest."""
    values = [(row.name, row.is_user, row.workspace, row.id, *row[4:]) for row in rows]
    await _write_ids.fetch(connection, _owned.parameters(values))


_of_owners = DriverStatement(
    select(ids.c.owner, ids.c.id, ids.c.name).where(ids.c.owner == any_(bindparam("owners", type_=ARRAY(LargeBinary))))
)


async def read_members(connection: AsyncConnection, customers: Iterable[bytes]) -> dict[bytes, dict[bytes, str]]:
    """Returns the ids that belong to each customer, however far down, as {digest: id}, without the customer's own."""
    members: dict[bytes, dict[bytes, str]] = {customer: {} for customer in customers}
    customer_of = {customer: customer for customer in members}
    level = list(members)
    while level:
        rows = await _of_owners.fetch(connection, {"owners": sorted(level)})
        level = []
        for owner, digest, name in rows:
            customer = customer_of[owner]
            customer_of[digest] = customer
            members[customer][digest] = name
            level.append(digest)
    return members


# --- links and rulings ------------------------------------------------------------------------------------------------


class LinkRow(NamedTuple):
    """A link of `id` to `owner`, by the first event that has it."""

    id: bytes
    owner: bytes
    by: int
    occurred_us: int
    message_id: str


_pairs = UnnestParameters("pairs", {name: links.c[name].type for name in LinkRow._fields})
_pairs_insert = insert(links).from_select(
    list(LinkRow._fields),
    select(*_pairs.table.c).order_by(_pairs.table.c.id, _pairs.table.c.owner, _pairs.table.c.by),
)
_write_links = _pairs_insert.on_conflict_do_update(
    index_elements=[links.c.id, links.c.owner, links.c.by],
    set_={name: _pairs_insert.excluded[name] for name in ("occurred_us", "message_id")},
    where=tuple_(_pairs_insert.excluded.occurred_us, _pairs_insert.excluded.message_id)
    < tuple_(links.c.occurred_us, links.c.message_id),
)


async def write_links(connection: AsyncConnection, rows: Iterable[LinkRow]) -> None:
    """Write links, sorted and one per key; of one pair and kind the earliest stays."""
    await connection.execute(_write_links, _pairs.parameters(rows))


_these = bindparam("ids", type_=ARRAY(LargeBinary))


async def read_links(connection: AsyncConnection, digests: Sequence[bytes]) -> list[LinkRow]:
    """Returns all links of some ids."""
    columns = [links.c[name] for name in LinkRow._fields]
    rows = await connection.execute(select(*columns).where(links.c.id == any_(_these)), {"ids": list(digests)})
    return [LinkRow(*row) for row in rows]


class RulingRow(NamedTuple):
    """The last ruling of an operator on a pair."""

    id: bytes
    owner: bytes
    occurred_us: int
    message_id: str
    void: bool


_ruled = UnnestParameters("ruled", {name: rulings.c[name].type for name in RulingRow._fields})
_ruled_insert = insert(rulings).from_select(
    list(RulingRow._fields), select(*_ruled.table.c).order_by(_ruled.table.c.id, _ruled.table.c.owner)
)
_write_rulings = _ruled_insert.on_conflict_do_update(
    index_elements=[rulings.c.id, rulings.c.owner],
    set_={name: _ruled_insert.excluded[name] for name in ("occurred_us", "message_id", "void")},
    where=tuple_(_ruled_insert.excluded.occurred_us, _ruled_insert.excluded.message_id)
    > tuple_(rulings.c.occurred_us, rulings.c.message_id),
)


async def write_rulings(connection: AsyncConnection, rows: Iterable[RulingRow]) -> None:
    """Write rulings, sorted and one per pair; the last one stays."""
    await connection.execute(_write_rulings, _ruled.parameters(rows))


async def read_void(connection: AsyncConnection, digests: Sequence[bytes]) -> set[tuple[bytes, bytes]]:
    """Returns the unlinked pairs (id, owner) of some ids."""
    rows = await connection.execute(
        select(rulings.c.id, rulings.c.owner).where(rulings.c.id == any_(_these), rulings.c.void),
        {"ids": list(digests)},
    )
    return {(row.id, row.owner) for row in rows}
