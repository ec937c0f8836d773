"""What requests need to know of their workspace: its sources by name, and the live generation of a phase model."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cache import cached
from services.api.shared.context import ApiContext
from services.api.shared.links import ListLinks
from services.api.shared.parameters import CustomerParameters
from services.api.shared.queries import (
    CustomerFilter,
    ModelGeneration,
    Source,
    WorkspaceState,
    list_sources,
    read_min_cell,
    read_workspace,
)
from services.api.shared.watermark_ages import WATERMARK_AGES
from throughline.journey.model import Model
from throughline.kit.errors import ServiceError
from throughline.models import model_of

SOURCES_SECONDS = 1.0
"""Maximum age of the list of sources."""
MAX_LISTED = 50
"""Maximum number of sources that an error message lists."""
_DELETED = "deleted source "
_ID_DIGITS = 18
"""Maximum number of digits of a deleted source's id."""


class LiveModel(NamedTuple):
    """A workspace, and the live generation of the phase model that a request is about."""

    workspace: WorkspaceState
    generation: ModelGeneration

    @property
    def model(self) -> Model:
        """The phase model's rules and labels."""
        return model_of(self.generation.name, self.generation.document)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which the workspace's days begin."""
        return _zone_named(self.workspace.time_zone)


@asynccontextmanager
async def reading_model(
    context: ApiContext, question: str, workspace: int, model: str | None
) -> AsyncIterator[tuple[AsyncConnection, LiveModel]]:
    """A connection whose statements all see one state, with the live generation of a model (None: the default model).

    So a request that meets the switch to another generation is answered wholly from one of the two.

    Raises:
        ServiceError: 400 `unknown_model`; 503 `no_model` or `database_away`.
    """
    async with context.database.reading(question, workspace, consistent=True) as connection:
        state = await read_workspace(connection, workspace, context.topic)
        WATERMARK_AGES.observe(workspace, state.applied_watermark_us)
        yield connection, LiveModel(state, live_generation(state, model))


@cached(seconds=SOURCES_SECONDS)
async def _cells_of(context: ApiContext, workspace: int) -> tuple[int | None, str]:
    async with context.database.reading("cells", workspace) as connection:
        return await read_min_cell(connection, workspace)


async def min_cell_of(context: ApiContext, workspace: int, model: str | None) -> int | None:
    """The number of customers below which the workspace withholds counts, None for none; for a question about a model.

    Raises:
        ServiceError: 403 `withheld`: of such a workspace only the default model's counts are answered, because two
            models tell of the same customers twice.
    """
    min_cell, default_model = await _cells_of(context, workspace)
    if min_cell is not None and model not in (None, default_model):
        raise ServiceError(
            403,
            "withheld",
            f"the workspace withholds counts of fewer than {min_cell} customers, and so those of any model but its "
            f"default, {default_model!r}",
            field="model",
        )
    return min_cell


def live_generation(workspace: WorkspaceState, model: str | None) -> ModelGeneration:
    """The live generation of a model; None: of the workspace's default model.

    Raises:
        ServiceError: 400 `unknown_model`; 503 `no_model` when the default model is not live.
    """
    live = {generation.name: generation for generation in workspace.generations if generation.state == "live"}
    generation = live.get(workspace.default_model if model is None else model)
    if generation is not None:
        return generation
    names = ", ".join(live) or "none yet"
    if model is None:
        raise ServiceError(
            503, "no_model", f"the workspace's default model {workspace.default_model!r} is not live; live are: {names}"
        )
    is_building = any(generation.name == model for generation in workspace.generations)
    fault = f"model {model!r} is still being built" if is_building else f"the workspace has no live model {model!r}"
    raise ServiceError(400, "unknown_model", f"{fault}; live are: {names}", field="model")


@cached(seconds=SOURCES_SECONDS)
async def sources_of(context: ApiContext, workspace: int) -> list[Source]:
    """The workspace's sources, by name."""
    async with context.database.reading("sources", workspace) as connection:
        return await list_sources(connection, workspace)


def name_of_source(names: Mapping[int, str], id_: int) -> str:
    """The name of a source, or what stands for one that was deleted; `source_id` reads both."""
    return names.get(id_, f"{_DELETED}{id_}")


async def source_id(context: ApiContext, workspace: int, name: str | None) -> int | None:
    """The id of the source of that name, or of a deleted one by what stands for it; None for None.

    Raises:
        ServiceError: 400 `unknown_source`.
    """
    if name is None:
        return None
    sources = await sources_of(context, workspace)
    for source in sources:
        if source.name == name:
            return source.id
    number = name.removeprefix(_DELETED)
    if number != name and number.isdecimal() and number.isascii() and len(number) <= _ID_DIGITS:
        return int(number)
    names = ", ".join(source.name for source in sources[:MAX_LISTED]) or "none yet"
    if len(sources) > MAX_LISTED:
        names += f", and {len(sources) - MAX_LISTED} more"
    raise ServiceError(
        400, "unknown_source", f"the workspace has no source {name!r}; there are: {names}", field="source"
    )


async def customer_filter(context: ApiContext, workspace: int, parameters: CustomerParameters) -> CustomerFilter:
    """The customers that a request is about.

    Raises:
        ServiceError: 400 `unknown_source`.
    """
    ids = {await source_id(context, workspace, name) for name in parameters.source}
    return CustomerFilter(tuple(sorted(id_ for id_ in ids if id_ is not None)), tuple(sorted(set(parameters.channel))))


async def list_links(context: ApiContext, workspace: int, model: str, customers: CustomerFilter) -> ListLinks:
    """Links to lists of these customers."""
    names = await source_names(context, workspace) if customers.sources else {}
    return ListLinks(model, [name_of_source(names, id_) for id_ in customers.sources], customers.channels)


async def source_names(context: ApiContext, workspace: int) -> dict[int, str]:
    """Source id -> name."""
    return {source.id: source.name for source in await sources_of(context, workspace)}


@lru_cache(256)
def _zone_named(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
