"""The phase models that each workspace applies: read from PostgreSQL, held until they change."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.journey.model import Model
from throughline.kit.clock import MIN_US
from throughline.models import model_of
from throughline.store import generations
from throughline.store.engine.unit_of_work import reading
from throughline.store.id_walk import RESTAGE


class ModelsChangedError(Exception):
    """A workspace no longer applies the models that were read. The transaction has written nothing."""


class ActiveModel(NamedTuple):
    """One generation of a phase model, live or building, ready to fold with."""

    id: int
    model: Model
    zone: tzinfo
    """Time zone of the workspace, in which days begin."""
    backfilling: bool
    """Whether a restage of the generation goes on: a customer without a journey may have facts nevertheless."""
    has_snapshots: bool = False
    """Whether ids may have snapshots: the workspace has a retention cutoff."""
    has_funnels: bool = True
    """Whether funnels, flows and variants are kept of it."""
    has_conversions: bool = True
    """Whether conversions are."""
    has_trails: bool = True
    """Whether trails are."""


class WorkspaceModels(NamedTuple):
    """The models of one workspace at one version."""

    version: int
    """Counts the changes; see `lock_models`."""
    retention_cutoff_us: int
    """Events that occurred before this instant are refused."""
    models: Sequence[ActiveModel]
    has_suppressions: bool = False
    """Whether there are suppressed ids."""


ModelsByWorkspace = Mapping[int, WorkspaceModels]
"""Workspace id -> its models."""


class ModelRegistry:
    """The models of all workspaces, as this process last read them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._models: ModelsByWorkspace = {}

    async def current(self) -> ModelsByWorkspace:
        """Returns the models as last read; reads them when there are none yet."""
        if not self._models:
            await self.refresh()
        return self._models

    async def refresh(self) -> None:
        """Read the models of all workspaces again."""
        async with reading(self._engine) as connection:
            by_workspace = await generations.read_generations(connection)
            backfilling = {slot.owner for slot in await RESTAGE.read_open(connection)}
        self._models = {
            workspace: WorkspaceModels(
                applied.version,
                MIN_US if applied.retention_cutoff_us is None else applied.retention_cutoff_us,
                [
                    ActiveModel(
                        generation.id,
                        model_of(generation.name, generation.document),
                        ZoneInfo(applied.zone),
                        backfilling=generation.id in backfilling,
                        has_snapshots=applied.retention_cutoff_us is not None,
                        has_funnels=generation.has_funnels,
                        has_conversions=generation.has_conversions,
                        has_trails=generation.has_trails,
                    )
                    for generation in applied.generations
                ],
                has_suppressions=applied.has_suppressions,
            )
            for workspace, applied in by_workspace.items()
        }


async def lock_models(connection: AsyncConnection, workspaces: set[int], models: ModelsByWorkspace) -> None:
    """Keep the models of some workspaces as they are until the transaction ends.

    Raises:
        ModelsChangedError: PostgreSQL holds another version than `models`; refresh the registry and try again.
    """
    versions = await generations.lock_versions(connection, sorted(workspaces))
    for workspace in workspaces:
        if versions.get(workspace) != models[workspace].version:
            raise ModelsChangedError(f"the models of workspace {workspace} have changed")
