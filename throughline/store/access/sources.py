"""Sources of a workspace: created, listed, enabled and disabled."""

from typing import NamedTuple

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.names import AdminError, check_name, insert_row, source_id, within_workspace, workspace_id
from throughline.store.schema.access import sources, workspaces


class SourceInfo(NamedTuple):
    """A source as listed; `workspace` is the workspace's name."""

    id: int
    workspace: str
    name: str
    enabled: bool
    created_us: int
    drop: list[str]
    """Paths of members of which nothing is kept."""
    hash: list[str]
    """Paths of members of which a keyed digest is kept."""
    strip_queries: list[str]
    """Paths of addresses that keep the query's campaign parameters only."""


async def create_source(connection: AsyncConnection, workspace: str, name: str, *, now_us: int) -> int:
    """Create a source in a workspace; returns its id.

    Raises:
        AdminError: no such workspace, or the name is taken there or not a name.
    """
    check_name("source", name)
    owner = await workspace_id(connection, workspace)
    source = await insert_row(connection, sources, workspace=owner, name=name, created_us=now_us)
    if source is None:
        raise AdminError(f"workspace {workspace!r} has a source {name!r} already; choose another name")
    return source


async def list_sources(connection: AsyncConnection, workspace: str | None = None) -> list[SourceInfo]:
    """Returns the sources of one workspace or of all, by workspace and name.

    Raises:
        AdminError: no such workspace.
    """
    c = sources.c
    query = (
        select(
            c.id,
            workspaces.c.name,
            c.name,
            c.enabled,
            c.created_us,
            *(
                func.coalesce(column, cast([], ARRAY(Text)))
                for column in (c.drop_fields, c.hash_fields, c.strip_queries)
            ),
        )
        .join(workspaces, workspaces.c.id == c.workspace)
        .order_by(workspaces.c.name, c.name)
    )
    rows = await connection.execute(await within_workspace(connection, query, workspace))
    return [SourceInfo(*row) for row in rows]


async def set_source_enabled(connection: AsyncConnection, workspace: str, source: str, enabled: bool) -> None:
    """Enable or disable a source: whether events of its keys are taken.

    Raises:
        AdminError: no such workspace or source.
    """
    number = await source_id(connection, workspace, source)
    await connection.execute(update(sources).where(sources.c.id == number).values(enabled=enabled))
