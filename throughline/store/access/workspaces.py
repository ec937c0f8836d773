"""Workspaces: created and listed."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.names import AdminError, check_name, check_time_zone, insert_row
from throughline.store.schema.access import workspaces
from throughline.store.schema.operations import models

DEFAULT_MODEL = "seven_phase"


class WorkspaceInfo(NamedTuple):
    """A workspace as listed."""

    id: int
    name: str
    time_zone: str
    created_us: int


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
    rows = await connection.execute(select(c.id, c.name, c.time_zone, c.created_us).order_by(c.name))
    return [WorkspaceInfo(*row) for row in rows]
