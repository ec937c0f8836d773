"""Statements over retention: where the cutoff stands, the snapshots of what was before it, the walk to clear it."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import LargeBinary, any_, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.snapshot import Snapshot, dump, load
from throughline.journey.state import Journey
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.engine.arrays import Columns
from throughline.store.engine.driver import Direct
from throughline.store.generations import SLOTS
from throughline.store.journeys import JourneyKey
from throughline.store.schema.access import workspaces
from throughline.store.schema.facts import touchpoints
from throughline.store.schema.journeys import checkpoints, snapshots
from throughline.store.schema.operations import retention_slots

DAY_US = 86_400_000_000

# --- where it stands --------------------------------------------------------------------------------------------------


class Retention(NamedTuple):
    """What a workspace keeps. `days`: None for ever."""

    workspace: str
    days: int | None
    retention_cutoff_us: int | None
    """Facts that occurred before it are refused."""
    slots_left: int
    """Of the sixteen parts of the ids, those whose facts before the retention cutoff are not all gone yet."""
    touchpoints: int
    """Gone at this cutoff so far."""


async def set_retention(connection: AsyncConnection, workspace: str, days: int | None) -> None:
    """Keep facts for so many days, or for ever (None). What is gone stays gone.

    Raises:
        AdminError: no such workspace, or not a number of days.
    """
    if days is not None and not 1 <= days <= 36_500:
        raise AdminError("days has to be between 1 and 36500")
    owner = await workspace_id(connection, workspace)
    await connection.execute(update(workspaces).where(workspaces.c.id == owner).values(retention_days=days))


async def read_retention(connection: AsyncConnection, workspace: str | None) -> list[Retention]:
    """Of one workspace or of all, by name.

    Raises:
        AdminError: no such workspace.
    """
    c, slot = workspaces.c, retention_slots.c
    query = (
        select(
            c.name,
            c.retention_days,
            c.horizon_us,
            func.count().filter(~slot.done),
            func.coalesce(func.sum(slot.touchpoints), 0),
        )
        .outerjoin(retention_slots, slot.workspace == c.id)
        .group_by(c.id)
        .order_by(c.name)
    )
    if workspace is not None:
        query = query.where(c.id == await workspace_id(connection, workspace))
    return [
        Retention(name, days, retention_cutoff_us, left, int(gone))
        for name, days, retention_cutoff_us, left, gone in await connection.execute(query)
    ]


_kept = select(workspaces.c.id, workspaces.c.retention_days, workspaces.c.horizon_us).where(
    workspaces.c.retention_days.is_not(None),
    ~select(retention_slots.c.slot)
    .where(retention_slots.c.workspace == workspaces.c.id, ~retention_slots.c.done)
    .exists(),
)


async def read_cutoffs_to_move(connection: AsyncConnection, watermark_us: int) -> list[tuple[int, int]]:
    """Workspaces whose cutoff is to move, and where to: the midnight (UTC) that many days before the watermark's."""
    found = []
    for workspace, days, retention_cutoff_us in await connection.execute(_kept):
        to_us = (watermark_us // DAY_US - days) * DAY_US
        if to_us > 0 and (retention_cutoff_us is None or retention_cutoff_us < to_us):
            found.append((workspace, to_us))
    return found


async def move_retention_cutoff(connection: AsyncConnection, workspace: int, to_us: int) -> None:
    """From now on nothing is staged that occurred before it; what was is to be cleared, slot by slot.

    Waits for the transactions that hold the workspace's version (`generations.lock_versions`).
    """
    moved = await connection.execute(
        update(workspaces)
        .where(workspaces.c.id == workspace, func.coalesce(workspaces.c.horizon_us, to_us - 1) < to_us)
        .values(horizon_us=to_us, version=workspaces.c.version + 1)
        .returning(workspaces.c.id)
    )
    if moved.first() is None:
        return
    statement = insert(retention_slots).values(
        [{"workspace": workspace, "slot": n, "cursor": b"", "done": False, "touchpoints": 0} for n in range(SLOTS)]
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[retention_slots.c.workspace, retention_slots.c.slot],
            set_={"cursor": b"", "done": False, "touchpoints": 0},
        )
    )


# --- the walk ---------------------------------------------------------------------------------------------------------


class Slot(NamedTuple):
    """How far one slot of a workspace is cleared. Ids up to `cursor` are done."""

    workspace: int
    slot: int
    cursor: bytes
    retention_cutoff_us: int


_open = (
    select(retention_slots.c.workspace, retention_slots.c.slot, retention_slots.c.cursor, workspaces.c.horizon_us)
    .join(workspaces, workspaces.c.id == retention_slots.c.workspace)
    .where(~retention_slots.c.done)
    .order_by(retention_slots.c.workspace, retention_slots.c.slot)
)


async def read_open(connection: AsyncConnection) -> list[Slot]:
    """The slots that are not done."""
    return [Slot(*row) for row in await connection.execute(_open)]


async def move_slot(connection: AsyncConnection, slot: Slot, *, cursor: bytes, done: bool, touchpoints: int) -> bool:
    """Compare-and-set the cursor; false when another lane has moved it."""
    c = retention_slots.c
    moved = await connection.execute(
        update(retention_slots)
        .where(c.workspace == slot.workspace, c.slot == slot.slot, c.cursor == slot.cursor, ~c.done)
        .values(cursor=cursor, done=done, touchpoints=c.touchpoints + touchpoints)
        .returning(c.slot)
    )
    return moved.first() is not None


_actors = bindparam("actors", type_=ARRAY(LargeBinary))
# What operators ruled stays: it is the audit trail.
_delete_facts = delete(touchpoints).where(
    touchpoints.c.actor == any_(_actors),
    touchpoints.c.occurred_us < bindparam("retention_cutoff_us"),
    touchpoints.c.call != "unlink",
    touchpoints.c.call != "relink",
)
_delete_checkpoints = delete(checkpoints).where(
    checkpoints.c.customer == any_(_actors), checkpoints.c.last_us < bindparam("retention_cutoff_us")
)


async def delete_before(connection: AsyncConnection, actors: Sequence[bytes], retention_cutoff_us: int) -> int:
    """Delete the facts and checkpoints of some actors before the retention cutoff; how many facts that was."""
    asked = {"actors": list(actors), "retention_cutoff_us": retention_cutoff_us}
    await connection.execute(_delete_checkpoints, asked)
    return (await connection.execute(_delete_facts, asked)).rowcount


# --- bases ------------------------------------------------------------------------------------------------------------

_read_bases = Direct(
    select(
        snapshots.c.actor, snapshots.c.model, *(snapshots.c[name] for name in Journey._fields), snapshots.c.transitions
    ).where(snapshots.c.actor == any_(_actors))
)


async def read_snapshots(connection: AsyncConnection, actors: Sequence[bytes]) -> dict[JourneyKey, Snapshot]:
    """What some ids began with, by (actor digest, model id)."""
    rows = await _read_bases.fetch(connection, {"actors": actors})
    return {(row[0], row[1]): Snapshot(Journey._make(row[2:-1]), load(row[-1])) for row in rows}


_BASE_COLUMNS = ("actor", "model", *Journey._fields, "transitions")
_new = Columns("new", {name: snapshots.c[name].type for name in _BASE_COLUMNS})
_bases_insert = insert(snapshots).from_select(
    _BASE_COLUMNS, select(*_new.table.c).order_by(_new.table.c.actor, _new.table.c.model)
)
_write_bases = _bases_insert.on_conflict_do_update(
    index_elements=[snapshots.c.actor, snapshots.c.model],
    set_={name: _bases_insert.excluded[name] for name in (*Journey._fields, "transitions")},
)


async def write_snapshots(connection: AsyncConnection, found: Iterable[tuple[JourneyKey, Snapshot]]) -> None:
    """Keep snapshots, each key once."""
    rows: list[tuple[Any, ...]] = [
        (*key, *snapshot.journey, dump(snapshot.transitions)) for key, snapshot in sorted(found, key=lambda one: one[0])
    ]
    await connection.execute(_write_bases, _new.parameters(rows))


async def delete_snapshots(connection: AsyncConnection, actors: Sequence[bytes]) -> None:
    """Those of ids that are part of a customer with a snapshot of its own now."""
    await connection.execute(delete(snapshots).where(snapshots.c.actor == any_(_actors)), {"actors": list(actors)})
