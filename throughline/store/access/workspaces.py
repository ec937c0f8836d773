"""Workspaces: created and listed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.names import AdminError, check_name, check_time_zone, insert_row, workspace_id
from throughline.store.access.source_settings import check_hosts
from throughline.store.schema.access import workspaces
from throughline.store.schema.operations import models

DEFAULT_MODEL = "seven_phase"
MIN_CELL, MAX_CELL = 2, 1_000_000
"""Limits on the number of customers below which a workspace withholds counts."""


class WorkspaceInfo(NamedTuple):
    """A workspace as listed."""

    id: int
    name: str
    time_zone: str
    created_us: int
    min_cell: int | None
    """Counts of fewer customers are withheld; None: all are shown."""
    no_visit_hosts: list[str]
    """Referrers that open no visit, for all of its sources."""


async def create_workspace(connection: AsyncConnection, name: str, *, now_us: int, time_zone: str = "UTC") -> int:
    """Create a workspace, with the default phase model live; returns its id.

    Raises:
        AdminError: the name is taken or not a name, or PostgreSQL knows no such time zone.
    """
    check_name("workspace", name)
    await check_time_zone(connection, time_zone)
    workspace = await insert_row(connection, workspaces, name=name, time_zone=time_zone, created_us=now_us)
    if workspace is None:
        raise AdminError(f"there is a workspace {name!r} already; choose another name")
    await insert_row(connection, models, workspace=workspace, name=DEFAULT_MODEL, created_us=now_us)
    return workspace


async def list_workspaces(connection: AsyncConnection) -> list[WorkspaceInfo]:
    """Returns every workspace, by name."""
    c = workspaces.c
    rows = await connection.execute(
        select(c.id, c.name, c.time_zone, c.created_us, c.min_cell, c.no_visit_hosts).order_by(c.name)
    )
    return [WorkspaceInfo(*row[:-1], row.no_visit_hosts or []) for row in rows]


async def change_workspace(connection: AsyncConnection, name: str, changes: Mapping[str, Any]) -> None:
    """Change settings of a workspace: `min_cell` and `no_visit_hosts`; None takes one back. The others stay.

    Raises:
        AdminError: no such workspace, or not a value; the message names it and what would do.
    """
    number = await workspace_id(connection, name)
    min_cell = changes.get("min_cell")
    if min_cell is not None and not MIN_CELL <= min_cell <= MAX_CELL:
        raise AdminError(f"min_cell is {min_cell}; it lies between {MIN_CELL} and {MAX_CELL}")
    check_hosts(changes.get("no_visit_hosts") or [])
    await connection.execute(update(workspaces).where(workspaces.c.id == number).values(**changes))
