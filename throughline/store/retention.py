"""Statements of retention: how long a workspace keeps facts, its retention cutoff, and what is deleted before that."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import LargeBinary, any_, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.durations import DAY_US
from throughline.store import id_walk
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.facts import FactKey
from throughline.store.schema.access import workspaces
from throughline.store.schema.facts import touchpoints
from throughline.store.schema.journeys import checkpoints
from throughline.store.schema.operations import retention_slots

MAX_DAYS = 36_500


class Retention(NamedTuple):
    """What a workspace keeps."""

    workspace: str
    days: int | None
    """None: for ever."""
    retention_cutoff_us: int | None
    """Facts that occurred before the cutoff are refused; None: nothing is too old."""
    slots_left: int
    """Number of id slots whose facts before the cutoff are not all deleted yet."""
    touchpoints: int
    """Number of facts deleted at this cutoff so far."""


async def set_retention(connection: AsyncConnection, workspace: str, days: int | None) -> None:
    """Keep facts for so many days, or for ever (None). What is deleted stays deleted.

    Raises:
        AdminError: no such workspace, or not a number of days.
    """
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise AdminError(f"days has to be between 1 and {MAX_DAYS}")
    number = await workspace_id(connection, workspace)
    await connection.execute(update(workspaces).where(workspaces.c.id == number).values(retention_days=days))


async def read_retention(connection: AsyncConnection, workspace: str | None) -> list[Retention]:
    """Returns the retention of one workspace or of all, by name.

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
        Retention(name, days, retention_cutoff_us, slots_left, int(deleted))
        for name, days, retention_cutoff_us, slots_left, deleted in await connection.execute(query)
    ]


_walked_workspaces = select(workspaces.c.id, workspaces.c.retention_days, workspaces.c.horizon_us).where(
    workspaces.c.retention_days.is_not(None),
    ~select(retention_slots.c.slot)
    .where(retention_slots.c.workspace == workspaces.c.id, ~retention_slots.c.done)
    .exists(),
)


async def read_cutoffs_to_move(connection: AsyncConnection, watermark_us: int) -> list[tuple[int, int]]:
    """Returns the workspaces whose cutoff is due to move, with the new cutoff in microseconds.

    The cutoff is the midnight (UTC) that lies the workspace's days before the watermark's. A workspace whose last
    cutoff is not walked to the end waits.
    """
    due = []
    for workspace, days, retention_cutoff_us in await connection.execute(_walked_workspaces):
        to_us = (watermark_us // DAY_US - days) * DAY_US
        if to_us > 0 and (retention_cutoff_us is None or retention_cutoff_us < to_us):
            due.append((workspace, to_us))
    return due


async def move_retention_cutoff(connection: AsyncConnection, workspace: int, to_us: int) -> None:
    """Move a workspace's cutoff: from this transaction on nothing older is staged, and the walk that deletes begins.

    Waits for the transactions that hold the workspace's version (`generations.lock_versions`).
    """
    moved = await connection.execute(
        update(workspaces)
        .where(workspaces.c.id == workspace, func.coalesce(workspaces.c.horizon_us, to_us - 1) < to_us)
        .values(horizon_us=to_us, version=workspaces.c.version + 1)
        .returning(workspaces.c.id)
    )
    if moved.first() is not None:
        await id_walk.RETENTION.start(connection, workspace)


_actors = bindparam("actors", type_=ARRAY(LargeBinary))
_messages = bindparam("messages", type_=ARRAY(LargeBinary))
_is_old = (
    touchpoints.c.actor == any_(_actors),
    touchpoints.c.occurred_us < bindparam("before_us"),
    # Rulings stay: they are the audit trail.
    touchpoints.c.call != "unlink",
    touchpoints.c.call != "relink",
)
_read_keys = select(touchpoints.c.actor, touchpoints.c.message).where(*_is_old).limit(bindparam("count"))
_delete_facts = delete(touchpoints).where(*_is_old)
_delete_messages = _delete_facts.where(touchpoints.c.message == any_(_messages))
_delete_checkpoints = delete(checkpoints).where(
    checkpoints.c.customer == any_(_actors), checkpoints.c.last_us < bindparam("before_us")
)


async def read_keys_before(
    connection: AsyncConnection, actors: Sequence[bytes], before_us: int, count: int
) -> list[FactKey]:
    """Returns the keys of facts of some actors that occurred before an instant: at most `count`, in any order."""
    parameters = {"actors": list(actors), "before_us": before_us, "count": count}
    return [(actor, message) for actor, message in await connection.execute(_read_keys, parameters)]


async def delete_before(
    connection: AsyncConnection, actors: Sequence[bytes], before_us: int, messages: Sequence[bytes] | None = None
) -> int:
    """Delete the facts of some actors before an instant; returns how many.

    Args:
        connection: within the transaction that holds the actors' customers.
        actors: their digests.
        messages: digests of message ids: only facts with one of these. None: all facts.
    """
    parameters = {"actors": list(actors), "before_us": before_us}
    if messages is None:
        return (await connection.execute(_delete_facts, parameters)).rowcount
    return (await connection.execute(_delete_messages, {**parameters, "messages": list(messages)})).rowcount


async def delete_checkpoints(connection: AsyncConnection, customers: Sequence[bytes], before_us: int) -> None:
    """Delete the checkpoints of some customers before an instant."""
    await connection.execute(_delete_checkpoints, {"actors": list(customers), "before_us": before_us})
