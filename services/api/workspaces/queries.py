"""Statements over the workspace itself."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.schema.access import workspaces


async def read_name(connection: AsyncConnection, workspace: int) -> str:
    """The name of a workspace that is there."""
    return str(await connection.scalar(select(workspaces.c.name).where(workspaces.c.id == workspace)))
