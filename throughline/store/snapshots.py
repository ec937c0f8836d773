"""Statements over snapshots: what is left of actors' histories before the retention cutoff."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import LargeBinary, any_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.snapshot import Snapshot, dump, load
from throughline.journey.state import Journey
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.journeys import JourneyKey
from throughline.store.schema.journeys import snapshots

_actors = bindparam("actors", type_=ARRAY(LargeBinary))
_of_actors = snapshots.c.actor == any_(_actors)
_KEY = ("actor", "model")
_VALUES = (*Journey._fields, "transitions")
_read = DriverStatement(select(*(snapshots.c[name] for name in (*_KEY, *_VALUES))).where(_of_actors))


async def read_snapshots(connection: AsyncConnection, actors: Sequence[bytes]) -> dict[JourneyKey, Snapshot]:
    """Returns the snapshots of some ids, by (actor digest, model id)."""
    rows = await _read.fetch(connection, {"actors": actors})
    return {(row[0], row[1]): Snapshot(Journey._make(row[2:-1]), load(row[-1])) for row in rows}


_new = UnnestParameters("new", {name: snapshots.c[name].type for name in (*_KEY, *_VALUES)})
_snapshots_insert = insert(snapshots).from_select(
    (*_KEY, *_VALUES), select(*_new.table.c).order_by(_new.table.c.actor, _new.table.c.model)
)
_write = _snapshots_insert.on_conflict_do_update(
    index_elements=[snapshots.c[name] for name in _KEY],
    set_={name: _snapshots_insert.excluded[name] for name in _VALUES},
)


async def write_snapshots(connection: AsyncConnection, changed: Iterable[tuple[JourneyKey, Snapshot]]) -> None:
    """Write snapshots, each key once."""
    rows: list[tuple[Any, ...]] = [
        (*key, *snapshot.journey, dump(snapshot.transitions))
        for key, snapshot in sorted(changed, key=lambda keyed: keyed[0])
    ]
    await connection.execute(_write, _new.parameters(rows))


async def delete_snapshots(connection: AsyncConnection, actors: Sequence[bytes]) -> None:
    """Delete the snapshots of ids that are part of a customer with a snapshot of its own now."""
    await connection.execute(delete(snapshots).where(_of_actors), {"actors": list(actors)})
