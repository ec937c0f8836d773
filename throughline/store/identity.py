"""Statements over raw ids: which customer each belongs to, locked and read in one.

`root` names the customer of an id at once, however long the chain of links that leads there. The lock on a customer is
the lock on its root's row: who holds it may change the rows of all its members, and nobody else may.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    SmallInteger,
    any_,
    bindparam,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.engine.errors import ContendedError
from throughline.store.schema.identity import ids, links, rulings


class IdRow(NamedTuple):
    """A raw id, and the customer it belongs to."""

    workspace: int
    id: bytes
    name: str
    is_user: bool
    members: int
    """Number of ids of the customer, this one included; true of roots only."""
    links: int
    """Number of links of the id, whether it has its owner by one of them or not."""
    owner: bytes | None
    """The id it is linked to; None for a root."""
    link_us: int | None
    link_place: int | None
    link_message: str | None
    link_by: int | None
    root: bytes
    """The customer's own id: the end of the links."""
    marked: bool
    """Whether a journey under the id is recomputed aside."""

    @classmethod
    def of_new(cls, workspace: int, id_: bytes, name: str, is_user: bool) -> "IdRow":
        """Returns an id that is a customer of its own."""
        return cls(workspace, id_, name, is_user, 1, 0, None, None, None, None, None, id_, False)


_columns = [ids.c[name] for name in IdRow._fields]
_digests = bindparam("digests", type_=ARRAY(LargeBinary))

_requested = UnnestParameters("requested", {name: ids.c[name].type for name in ("workspace", "id", "name", "is_user")})
_lock_insert = insert(ids).from_select(
    ["workspace", "id", "name", "is_user", "members", "links", "root"],
    select(*_requested.table.c, literal(1), literal(0), _requested.table.c.id).order_by(
        _requested.table.c.workspace, _requested.table.c.id
    ),
)
_lock_ids = DriverStatement(
    _lock_insert.on_conflict_do_update(
        index_elements=[ids.c.workspace, ids.c.id],
        set_={"is_user": true()},
        where=_lock_insert.excluded.is_user & ~ids.c.is_user,
    ).returning(*_columns)
)
_keys = UnnestParameters("keys", {name: ids.c[name].type for name in ("workspace", "id")})
_by_key = (ids.c.workspace == _keys.table.c.workspace) & (ids.c.id == _keys.table.c.id)
_read_ids = DriverStatement(select(*_columns).join(_keys.table, _by_key))
_workspaces = bindparam("workspaces", type_=ARRAY(BigInteger))
_read_many_ids = DriverStatement(
    select(*_columns).where(ids.c.workspace == any_(_workspaces), ids.c.id == any_(_digests))
)
MANY_IDS = 500
"""Number of ids from which on they are read by two lists, not by a join with their keys. For some dozens a join costs
less; for thousands its plan is slow where PostgreSQL has made it of empty tables, and kept it while these grew."""
FEW_WORKSPACES = 8
"""Number of workspaces up to which ids are read by lists, because each pair of a workspace and an id is looked up."""
_read_members = DriverStatement(select(*_columns).where(ids.c.root == any_(_digests)))
_read_names = DriverStatement(
    select(ids.c.root, ids.c.id, ids.c.name).where(ids.c.root == any_(_digests), ids.c.id != ids.c.root)
)


IdToLock = tuple[int, bytes, str, bool]
"""(workspace, digest, id, whether an event has it as its user id)."""


async def hold_ids(connection: AsyncConnection, rows: Sequence[IdToLock]) -> dict[bytes, IdRow]:
    """Lock ids until the transaction ends; those that are not stored yet become customers of their own.

    Args:
        connection: within a transaction.
        rows: sorted, distinct, at least one.

    Returns:
        the rows that are new or have changed, by digest: a row that stays as it is is only locked.
    """
    return {row[1]: IdRow._make(row) for row in await _lock_ids.fetch(connection, _requested.parameters(rows))}


async def lock_ids(connection: AsyncConnection, rows: Sequence[IdToLock]) -> dict[bytes, IdRow]:
    """Lock ids as `hold_ids` does, and return all of them, by digest."""
    written = await hold_ids(connection, rows)
    # What decides is read once it is locked.
    others = [(workspace, digest) for workspace, digest, _, _ in rows if digest not in written]
    return written | await read_ids(connection, others) if others else written


async def read_ids(connection: AsyncConnection, keys: Iterable[tuple[int, bytes]]) -> dict[bytes, IdRow]:
    """Returns the rows of those ids that are stored, by digest. `keys`: (workspace, digest), which the index has."""
    keys = sorted(keys)
    workspaces = {workspace for workspace, _ in keys}
    if len(keys) >= MANY_IDS and len(workspaces) <= FEW_WORKSPACES:
        lists = {"workspaces": sorted(workspaces), "digests": [digest for _, digest in keys]}
        rows = await _read_many_ids.fetch(connection, lists)
    else:
        rows = await _read_ids.fetch(connection, _keys.parameters(keys))
    return {row[1]: IdRow._make(row) for row in rows}


_CHANGED = ("members", "links", "owner", "link_us", "link_place", "link_message", "link_by", "root")
_changed = UnnestParameters("changed", {name: ids.c[name].type for name in IdRow._fields})
_changed_insert = insert(ids).from_select(
    list(IdRow._fields), select(*_changed.table.c).order_by(_changed.table.c.workspace, _changed.table.c.id)
)
_write_ids = DriverStatement(
    _changed_insert.on_conflict_do_update(
        index_elements=[ids.c.workspace, ids.c.id],
        set_={name: _changed_insert.excluded[name] for name in _CHANGED},
    ).returning(ids.c.id)
)


async def write_ids(connection: AsyncConnection, rows: Iterable[IdRow]) -> None:
    """Write whose some ids are, sorted by workspace and digest; their customers, old and new, are locked."""
    await _write_ids.fetch(connection, _changed.parameters(rows))


_insert_ids = DriverStatement(_changed_insert.on_conflict_do_nothing().returning(ids.c.id))


async def insert_ids(connection: AsyncConnection, rows: Sequence[IdRow]) -> None:
    """Store ids that were not stored yet, sorted by workspace and digest, with the customers they belong to.

    Raises:
        ContendedError: another transaction has stored one meanwhile.
    """
    if len(await _insert_ids.fetch(connection, _changed.parameters(rows))) < len(rows):
        raise ContendedError("another transaction has stored an id that was new")


async def read_member_rows(connection: AsyncConnection, customers: Iterable[bytes]) -> list[IdRow]:
    """Returns the rows of all ids that belong to some customers, given by the digests of their roots."""
    return [IdRow._make(row) for row in await _read_members.fetch(connection, {"digests": sorted(customers)})]


async def read_members(connection: AsyncConnection, customers: Iterable[bytes]) -> dict[bytes, dict[bytes, str]]:
    """Returns every id that belongs to some customers: digest of the root -> {digest: id}, without the root itself."""
    members: dict[bytes, dict[bytes, str]] = {customer: {} for customer in customers}
    for root, id_, name in await _read_names.fetch(connection, {"digests": sorted(members)}):
        members[root][id_] = name
    return members


# --- links and rulings ------------------------------------------------------------------------------------------------


class LinkRow(NamedTuple):
    """A link of `id` to `owner`, by the first event that has it."""

    id: bytes
    owner: bytes
    by: int
    occurred_us: int
    place: int
    message_id: str


_pairs = UnnestParameters("pairs", {name: links.c[name].type for name in LinkRow._fields})
_pairs_insert = insert(links).from_select(
    list(LinkRow._fields),
    select(*_pairs.table.c).order_by(_pairs.table.c.id, _pairs.table.c.owner, _pairs.table.c.by),
)
_LINK_KEY = [links.c.id, links.c.owner, links.c.by]
_insert_links = DriverStatement(_pairs_insert.on_conflict_do_nothing().returning(*_LINK_KEY))
_move_links = DriverStatement(
    _pairs_insert.on_conflict_do_update(
        index_elements=_LINK_KEY,
        set_={name: _pairs_insert.excluded[name] for name in ("occurred_us", "place", "message_id")},
        where=tuple_(*(_pairs_insert.excluded[name] for name in ("occurred_us", "place", "message_id")))
        < tuple_(links.c.occurred_us, links.c.place, links.c.message_id),
    )
)


async def write_links(connection: AsyncConnection, rows: Sequence[LinkRow]) -> list[bytes]:
    """Store links, sorted and one per key; of one pair and kind the earliest stays.

    Returns:
        the id of each link that is new: an id with several new links several times.
    """
    inserted = {tuple(row) for row in await _insert_links.fetch(connection, _pairs.parameters(rows))}
    stored = [row for row in rows if row[:3] not in inserted]
    if stored:
        await _move_links.fetch(connection, _pairs.parameters(stored))
    return [key[0] for key in inserted]


_these = bindparam("ids", type_=ARRAY(LargeBinary))
_read_links = DriverStatement(
    select(*(links.c[name] for name in LinkRow._fields))
    .where(links.c.id == any_(_these), links.c.by >= bindparam("from_kind", type_=SmallInteger))
    .limit(bindparam("count", type_=Integer))
)
_read_void = DriverStatement(select(rulings.c.id, rulings.c.owner).where(rulings.c.id == any_(_these), rulings.c.void))


async def read_links(
    connection: AsyncConnection, digests: Sequence[bytes], *, from_kind: int, count: int
) -> list[LinkRow]:
    """Returns links of some ids, `count` at most. `from_kind`: IDENTIFY for all, ALIAS for aliases only."""
    rows = await _read_links.fetch(connection, {"ids": digests, "from_kind": from_kind, "count": count})
    return [LinkRow._make(row) for row in rows]


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
    return {(row[0], row[1]) for row in await _read_void.fetch(connection, {"ids": digests})}
