"""Statements over the phase models of a workspace."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import WorkspaceState
from throughline.store.generations import RestageProgress, read_progress


async def progress_of(connection: AsyncConnection, workspace: WorkspaceState) -> dict[int, RestageProgress]:
    """How far each live or building generation of the workspace is restaged, by the generation's id."""
    return {generation.id: await read_progress(connection, generation.id) for generation in workspace.generations}
