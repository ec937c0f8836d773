"""Generations of phase models: which are applied in a workspace; how one is restaged, switched to and retired.

A generation is `building` while the stagers restage its journeys from the facts, `live` from the switch on, `retired`
when another one of its name has taken its place. Whoever stages holds the workspace's row in share mode
(`lock_versions`). Whoever changes its generations updates that row, and so waits for the transactions under way; later
ones see the new version and read the generations again.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, cast

from sqlalchemy import ARRAY, BigInteger, and_, any_, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.models import ModelError, load_model, parse_model, shipped_models
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.engine.driver import DriverStatement
from throughline.store.id_walk import RESTAGE, walked_fraction
from throughline.store.recomputations import count_marks
from throughline.store.schema.access import workspaces
from throughline.store.schema.analytics import TABLES as ANALYTICS
from throughline.store.schema.counts import (
    admissions,
    admitted_names,
    orphan_refunds,
    phase_counts,
    phase_history,
    unmapped,
)
from throughline.store.schema.journeys import checkpoints, conversions, journeys, snapshots, transitions
from throughline.store.schema.operations import models, restage_slots

State = Literal["live", "building", "retired"]

_APPLIED = ("live", "building")


class Generation(NamedTuple):
    """A phase model as applied in one workspace. `document`: its file; None: the one shipped under its name."""

    id: int
    workspace: int
    name: str
    state: State
    document: str | None
    has_funnels: bool
    """Whether funnels, flows and variants are kept of it."""
    has_conversions: bool = True
    """Whether conversions are."""
    has_trails: bool = True
    """Whether trails are."""


class WorkspaceGenerations(NamedTuple):
    """What staging needs of a workspace. `generations`: those live and building, by id."""

    version: int
    zone: str
    retention_cutoff_us: int | None
    generations: list[Generation]
    has_suppressions: bool = False


class RestageProgress(NamedTuple):
    """How far a generation is restaged: id slots, and the customers and touchpoints done in them."""

    slots_done: int
    slots: int
    customers: int
    touchpoints: int
    marks: int
    """Number of journeys that are recomputed aside."""
    fraction: float
    """Of all customers, from 0 to 1, by how far the cursors have come: digests are spread evenly."""

    @property
    def is_whole(self) -> bool:
        """Whether every customer has its journey."""
        return self.slots_done == self.slots and not self.marks

    @property
    def of_customers(self) -> int:
        """Estimated number of customers to restage."""
        return self.customers if self.is_whole or not self.fraction else round(self.customers / self.fraction)


class ModelInfo(NamedTuple):
    """A generation as listed; `workspace` is the workspace's name."""

    id: int
    workspace: str
    name: str
    state: State
    is_default: bool
    is_own: bool
    created_us: int


# --- what is applied --------------------------------------------------------------------------------------------------

_generations = (
    select(
        workspaces.c.id.label("workspace"),
        workspaces.c.version,
        workspaces.c.time_zone,
        workspaces.c.horizon_us,
        workspaces.c.suppressed,
        models.c.id,
        models.c.name,
        models.c.state,
        models.c.document,
        models.c.has_funnels,
        models.c.has_conversions,
        models.c.has_trails,
    )
    .outerjoin(models, and_(models.c.workspace == workspaces.c.id, models.c.state.in_(_APPLIED)))
    .order_by(models.c.id)
)

_lock_versions = DriverStatement(
    select(workspaces.c.id, workspaces.c.version)
    .where(workspaces.c.id == any_(bindparam("workspaces", type_=ARRAY(BigInteger))))
    .order_by(workspaces.c.id)
    .with_for_update(read=True)
)


async def read_generations(connection: AsyncConnection) -> dict[int, WorkspaceGenerations]:
    """Returns the generations applied in each workspace by its id, read in one statement."""
    by_workspace: dict[int, WorkspaceGenerations] = {}
    for row in await connection.execute(_generations):
        none = WorkspaceGenerations(row.version, row.time_zone, row.horizon_us, [], row.suppressed > 0)
        applied = by_workspace.setdefault(row.workspace, none)
        if row.id is not None:
            applied.generations.append(Generation(*(getattr(row, name) for name in Generation._fields)))
    return by_workspace


async def lock_versions(connection: AsyncConnection, workspaces: Sequence[int]) -> dict[int, int]:
    """Returns the versions of workspaces by id; what is applied there cannot change before this transaction ends."""
    rows = await _lock_versions.fetch(connection, {"workspaces": sorted(set(workspaces))})
    return {row[0]: row[1] for row in rows}


async def list_models(connection: AsyncConnection, workspace: str | None = None) -> list[ModelInfo]:
    """Returns the generations of one workspace or of all, by workspace, name and age.

    Raises:
        AdminError: no such workspace.
    """
    c = models.c
    query = (
        select(
            c.id,
            workspaces.c.name.label("workspace"),
            c.name,
            c.state,
            and_(workspaces.c.default_model == c.name, c.state == "live"),
            c.document.is_not(None),
            c.created_us,
        )
        .join(workspaces, workspaces.c.id == c.workspace)
        .order_by(workspaces.c.name, c.name, c.id)
    )
    if workspace is not None:
        query = query.where(workspaces.c.id == await workspace_id(connection, workspace))
    return [ModelInfo(*row) for row in await connection.execute(query)]


async def read_document(connection: AsyncConnection, workspace: str, model: str) -> str | None:
    """Returns a model's file, as last added to the workspace; None for a shipped model.

    Raises:
        AdminError: no such workspace, or no such model in it and none shipped.
    """
    c = models.c
    row = (
        await connection.execute(
            select(c.document)
            .where(
                c.workspace == await workspace_id(connection, workspace),
                c.name == model,
                c.state.in_(_APPLIED),
            )
            .order_by(c.id.desc())
            .limit(1)
        )
    ).first()
    if row is None and model not in shipped_models():
        names = {info.name for info in await list_models(connection, workspace)} | set(shipped_models())
        raise AdminError(
            f"workspace {workspace!r} has no model {model!r}, and none is shipped under that name; "
            f"there are: {', '.join(sorted(names))}"
        )
    return None if row is None else cast("str | None", row.document)


# --- changing it ------------------------------------------------------------------------------------------------------


async def begin_restage(
    connection: AsyncConnection, workspace: str, model: str, *, document: str | None, now_us: int
) -> int:
    """Create a generation, which the stagers restage from now on; returns its id, or that of the one building already.

    Args:
        connection: of the transaction.
        workspace: its name.
        model: the model's name.
        document: the model's file; None: the one shipped under that name. A generation that is building from another
            file is retired.
        now_us: when, in microseconds since the epoch.

    Raises:
        AdminError: no such workspace or model, or the file is not that model's.
    """
    _check_model(model, document)
    owner = await _hold(connection, workspace)
    c = models.c
    building = (
        await connection.execute(
            select(c.id, c.document).where(c.workspace == owner, c.name == model, c.state == "building")
        )
    ).first()
    if building is not None:
        if building.document == document:
            return cast("int", building.id)
        await connection.execute(update(models).where(c.id == building.id).values(state="retired"))
    generation: int = (
        await connection.execute(
            insert(models)
            .values(workspace=owner, name=model, state="building", document=document, created_us=now_us)
            .returning(c.id)
        )
    ).scalar_one()
    await RESTAGE.start(connection, generation)
    await _bump(connection, owner)
    return generation


async def read_progress(connection: AsyncConnection, generation: int) -> RestageProgress:
    """Returns how far a generation is restaged; one that needs no restaging is whole, with no slots."""
    c = restage_slots.c
    rows = await connection.execute(
        select(c.slot, c.cursor, c.done, c.customers, c.touchpoints).where(c.model == generation)
    )
    slots = rows.all()
    share = sum(1.0 if row.done else walked_fraction(row.slot, row.cursor) for row in slots)
    return RestageProgress(
        sum(row.done for row in slots),
        len(slots),
        sum(row.customers for row in slots),
        sum(row.touchpoints for row in slots),
        await count_marks(connection, generation),
        share / len(slots) if slots else 1.0,
    )


async def read_state(connection: AsyncConnection, generation: int) -> State:
    """Returns the state of a generation; one that is deleted is retired."""
    state = await connection.scalar(select(models.c.state).where(models.c.id == generation))
    return cast("State", state or "retired")


async def switch(connection: AsyncConnection, generation: int) -> bool:
    """Serve a generation in place of the live one of its name, which retires; returns False while it is not whole.

    Raises:
        AdminError: the generation is retired.
    """
    c = models.c
    owner = await connection.scalar(
        select(workspaces.c.name).join(models, c.workspace == workspaces.c.id).where(c.id == generation)
    )
    workspace = None if owner is None else await _hold(connection, owner)
    state = await read_state(connection, generation)
    if workspace is None or state == "retired":
        raise AdminError("this restage was given up: another one of the same model has taken its place")
    if state == "live":
        return True
    if not (await read_progress(connection, generation)).is_whole:
        return False
    name = select(c.name).where(c.id == generation).scalar_subquery()
    await connection.execute(
        update(models).where(c.workspace == workspace, c.name == name, c.state == "live").values(state="retired")
    )
    await connection.execute(update(models).where(c.id == generation).values(state="live"))
    await connection.execute(delete(restage_slots).where(restage_slots.c.model == generation))
    await _bump(connection, workspace)
    return True


async def set_default_model(connection: AsyncConnection, workspace: str, model: str) -> None:
    """Serve a model to requests that name none.

    Raises:
        AdminError: no such workspace, or the model is not live there.
    """
    owner = await workspace_id(connection, workspace)
    live = await _live(connection, owner)
    if model not in live:
        raise AdminError(
            f"model {model!r} is not live in workspace {workspace!r} (live: {', '.join(live)}); "
            f"run `throughline restage --model {model} --workspace {workspace}` and wait for it"
        )
    await connection.execute(update(workspaces).where(workspaces.c.id == owner).values(default_model=model))


async def retire_model(connection: AsyncConnection, workspace: str, model: str) -> None:
    """Stop applying a model; the stagers delete its journeys and counts. The facts stay.

    Raises:
        AdminError: no such workspace, the model is not applied there, or it is the default.
    """
    owner = await _hold(connection, workspace)
    default = await connection.scalar(select(workspaces.c.default_model).where(workspaces.c.id == owner))
    c = models.c
    is_applied = and_(c.workspace == owner, c.name == model, c.state.in_(_APPLIED))
    if default == model:
        raise AdminError(
            f"{model!r} is the default model of workspace {workspace!r}; choose another one first: "
            f"throughline model use NAME --workspace {workspace}"
        )
    retired = await connection.execute(update(models).where(is_applied).values(state="retired").returning(c.id))
    if not retired.all():
        raise AdminError(f"workspace {workspace!r} does not apply a model {model!r}; `model list` shows those it does")
    await _bump(connection, owner)


async def drop_retired(connection: AsyncConnection, count: int) -> int:
    """Delete at most `count` journeys that a retired generation left behind; returns how many were deleted."""
    retired = await connection.scalar(
        select(models.c.id).where(models.c.state == "retired").order_by(models.c.id).limit(1)
    )
    if retired is None:
        return 0
    rows = await connection.scalars(select(journeys.c.customer).where(journeys.c.model == retired).limit(count))
    customers = rows.all()
    if not customers and await count_marks(connection, retired):
        return 1  # the recomputation aside removes what it has, then its marks
    for table in (transitions, checkpoints, conversions, journeys):
        await connection.execute(delete(table).where(table.c.customer.in_(customers), table.c.model == retired))
    if not customers:
        sums = (phase_counts, phase_history, unmapped, orphan_refunds, *ANALYTICS, admitted_names, admissions)
        for table in (snapshots, *sums, restage_slots):
            await connection.execute(delete(table).where(table.c.model == retired))
        await connection.execute(delete(models).where(models.c.id == retired))
    return len(customers)


# --- pieces -----------------------------------------------------------------------------------------------------------


def _check_model(model: str, document: str | None) -> None:
    try:
        if document is None:
            load_model(model)
            return
        name = parse_model(document, f"{model}.toml").name
    except ModelError as error:
        raise AdminError(str(error)) from None
    if name != model:
        raise AdminError(f"the file is of a model named {name!r}, not {model!r}")
    if model in shipped_models():
        raise AdminError(f"{model!r} is the name of a shipped model; give yours another name")


async def _hold(connection: AsyncConnection, workspace: str) -> int:
    """Returns the workspace's id, once nobody stages for it: later transactions see what this one changes."""
    number = await workspace_id(connection, workspace)
    await connection.execute(update(workspaces).where(workspaces.c.id == number).values(version=workspaces.c.version))
    return number


async def _bump(connection: AsyncConnection, workspace: int) -> None:
    await connection.execute(
        update(workspaces).where(workspaces.c.id == workspace).values(version=workspaces.c.version + 1)
    )


async def _live(connection: AsyncConnection, workspace: int) -> list[str]:
    c = models.c
    rows: Iterable[str] = await connection.scalars(
        select(c.name).where(c.workspace == workspace, c.state == "live").order_by(c.name)
    )
    return list(rows)
