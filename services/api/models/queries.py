"""Statements over the phase models of a workspace."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import ModelGeneration
from throughline.store.generations import RestageProgress, read_progress


async def progress_of(
    connection: AsyncConnection, generations: Iterable[ModelGeneration]
) -> dict[int, RestageProgress]:
    """How far each generation is restaged, by its id."""
    return {generation.id: await read_progress(connection, generation.id) for generation in generations}
