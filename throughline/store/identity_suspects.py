"""Statements over identity suspects: ids with links that were not made, the newest of each workspace."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.identity import identity_suspects

KEPT = 1_000
"""Number of suspects kept of a workspace, those that were met last."""
MAX_WRITTEN = 100
"""Maximum number of suspects that one transaction writes, those with most links that were not made."""
MAX_READ = 10_000
"""Maximum number of suspects that ingest knows, of all workspaces together."""


class SuspectReason(StrEnum):
    """The limit that an id has met."""

    CUSTOMER_IDS = "customer_ids"
    """Its customer has as many ids as a customer may have."""
    ID_LINKS = "id_links"
    """It has as many links as an id may have."""


class Suspect(NamedTuple):
    """An id with links that were not made."""

    workspace: int
    id: bytes
    name: str
    reason: str
    refused: int
    first_us: int
    last_us: int


class SuspectPosition(NamedTuple):
    """The place of a suspect in the list of a workspace, newest first."""

    last_us: int
    id: bytes


_c = identity_suspects.c
_suspects = UnnestParameters("suspects", {name: _c[name].type for name in Suspect._fields})
_insert = insert(identity_suspects).from_select(
    Suspect._fields, select(*_suspects.table.c).order_by(_suspects.table.c.workspace, _suspects.table.c.id)
)
_add_suspects = DriverStatement(
    _insert.on_conflict_do_update(
        index_elements=[_c.workspace, _c.id],
        set_={
            "reason": _insert.excluded.reason,
            "refused": _c.refused + _insert.excluded.refused,
            "first_us": func.least(_c.first_us, _insert.excluded.first_us),
            "last_us": func.greatest(_c.last_us, _insert.excluded.last_us),
        },
    ).returning(_c.id)
)


async def add_suspects(connection: AsyncConnection, suspects: Sequence[Suspect]) -> None:
    """Note ids with links that were not made: at most `MAX_WRITTEN`, those with the most."""
    most = sorted(suspects, key=lambda suspect: (-suspect.refused, suspect.id))[:MAX_WRITTEN]
    if most:
        await _add_suspects.fetch(connection, _suspects.parameters(sorted(most)))


async def list_suspects(
    connection: AsyncConnection, workspace: int, after: SuspectPosition | None, count: int
) -> list[Suspect]:
    """Returns up to `count` suspects of a workspace after a position, newest first."""
    query = select(*(_c[name] for name in Suspect._fields)).where(_c.workspace == workspace)
    if after is not None:
        query = query.where(tuple_(_c.last_us, _c.id) < tuple_(after.last_us, after.id))
    rows = await connection.execute(query.order_by(_c.last_us.desc(), _c.id.desc()).limit(count))
    return [Suspect(*row) for row in rows]


async def read_suspect_names(connection: AsyncConnection) -> dict[int, frozenset[str]]:
    """Returns the suspects of each workspace by name: of all together the `MAX_READ` newest."""
    rows = await connection.execute(select(_c.workspace, _c.name).order_by(_c.last_us.desc(), _c.id).limit(MAX_READ))
    names: dict[int, set[str]] = {}
    for workspace, name in rows:
        names.setdefault(workspace, set()).add(name)
    return {workspace: frozenset(of) for workspace, of in names.items()}


_rank = func.row_number().over(partition_by=_c.workspace, order_by=(_c.last_us.desc(), _c.id.desc()))
_ranked = select(_c.workspace, _c.id, _rank.label("rank")).subquery().c
_prune = delete(identity_suspects).where(
    tuple_(_c.workspace, _c.id).in_(select(_ranked.workspace, _ranked.id).where(_ranked.rank > bindparam("count")))
)


async def prune_suspects(connection: AsyncConnection, count: int = KEPT) -> None:
    """Delete all suspects of each workspace but the `count` newest."""
    await connection.execute(_prune, {"count": count})
