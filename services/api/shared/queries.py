"""Statements of several features: a workspace with its models and watermarks, its sources, and sums of counts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    ScalarSelect,
    Select,
    Table,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cells import PARTS, Level, Parts
from throughline.journey.channels import STANDARD_CHANNELS
from throughline.journey.diff import COUNTS
from throughline.store.admission import CHANNEL, OTHER
from throughline.store.engine.errors import is_statement_timeout
from throughline.store.engine.unit_of_work import part_of
from throughline.store.schema.access import sources, workspaces
from throughline.store.schema.counts import admitted_names
from throughline.store.schema.journeys import journeys
from throughline.store.schema.operations import models, offsets

MAX_COUNTED = 100_000
"""Maximum number of rows that are counted one by one for a total."""
COUNT_SECONDS = 2.0
"""Maximum time for that."""


class ModelGeneration(NamedTuple):
    """A generation of a phase model: the id that its rows carry, and its definition."""

    id: int
    name: str
    state: str
    """`live`: served; `building`: not served yet."""
    document: str | None
    """The model's own file; None: the file shipped under its name."""
    created_us: int
    has_funnels: bool
    """Whether funnels, flows and variants are kept of it."""
    has_conversions: bool
    """Whether conversions are."""
    has_trails: bool
    """Whether trails are."""


class WorkspaceState(NamedTuple):
    """A workspace, its live and building generations by name, and how far its state reaches."""

    id: int
    time_zone: str
    default_model: str
    retention_cutoff_us: int | None
    """Touchpoints that occurred before it are deleted; None: none are."""
    generations: tuple[ModelGeneration, ...]
    applied_watermark_us: int | None
    """Everything received, and every lapse due, before it is in the state; None before anything was staged."""
    latest_watermark_us: int
    """The largest received watermark of any partition: no stager has deleted buckets by a later one."""


class Source(NamedTuple):
    """A source of a workspace."""

    id: int
    name: str
    enabled: bool


class CustomerFilter(NamedTuple):
    """Which customers to count, by source and channel of their first touchpoint: any of these; of none, everybody."""

    sources: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()

    @property
    def is_everybody(self) -> bool:
        """Whether all customers are counted."""
        return not self.sources and not self.channels

    def conditions(self, table: Table) -> list[ColumnElement[bool]]:
        """Conditions on the rows of a table of sums."""
        conditions: list[ColumnElement[bool]] = []
        if self.sources:
            conditions.append(table.c.source.in_(self.sources))
        if self.channels:
            conditions.append(table.c.channel.in_(self.channels))
        return conditions


def counted_journeys(generation: int, customers: CustomerFilter) -> list[ColumnElement[bool]]:
    """Conditions on journeys: those that are counted under sources and channels."""
    conditions: list[ColumnElement[bool]] = []
    if customers.sources:
        conditions.append(journeys.c.source.in_(customers.sources))
    if customers.channels:
        channel, a = journeys.c.channel, admitted_names.c
        is_admitted = exists().where(a.kind == CHANNEL, a.model == generation, a.name == channel)
        standard = STANDARD_CHANNELS & set(customers.channels)
        either: list[ColumnElement[bool]] = [channel.in_(sorted(standard))]
        if named := set(customers.channels) - standard - {OTHER}:
            either.append(and_(channel.in_(sorted(named)), is_admitted))
        if OTHER in customers.channels:
            either.append(and_(channel.not_in(sorted(STANDARD_CHANNELS)), ~is_admitted))
        conditions.append(or_(*either))
    return conditions


async def plan_for_values(connection: AsyncConnection) -> None:
    """Have PostgreSQL plan each statement for its values, not for any: filters differ too much in what they leave."""
    await connection.execute(select(func.set_config("plan_cache_mode", "force_custom_plan", literal(True))))


async def count_in_time(connection: AsyncConnection, query: Select[Any]) -> int | None:
    """How many rows a query selects, `MAX_COUNTED` + 1 at most; None when that takes more than `COUNT_SECONDS`.

    The last statement of a transaction.
    """
    some = query.with_only_columns(literal(1)).limit(MAX_COUNTED + 1).subquery()
    try:
        async with part_of(connection):
            milliseconds = literal(str(round(COUNT_SECONDS * 1000)))
            await connection.execute(select(func.set_config("statement_timeout", milliseconds, literal(True))))
            return int(await connection.scalar(select(func.count()).select_from(some)) or 0)
    except DBAPIError as error:
        if not is_statement_timeout(error):
            raise
        return None


def summed(table: Table) -> list[ColumnElement[int]]:
    """The sum of each count, in the order of `Sums`. PostgreSQL's sum() of bigint is numeric, hence the cast."""
    return [func.sum(table.c[name]).cast(BigInteger).label(name) for name in COUNTS]


def parts_of(table: Table) -> list[ColumnElement[int]]:
    """The number of customers of each of `PARTS`, summed, of the rows of `phase_counts` or `phase_history`."""
    c = table.c
    parts = (c.active, c.lapsed - c.churned, c.churned, c.left, c.returned)
    return [func.sum(part).cast(BigInteger).label(name) for part, name in zip(parts, PARTS, strict=True)]


def rounded(cell: ColumnElement[int], min_cell: int) -> ColumnElement[int]:
    """A cell, rounded down to a multiple of `min_cell`."""
    return cell // min_cell * min_cell


def levels(cells: FromClause, min_cell: int) -> list[ColumnElement[int]]:
    """The numbers of a `Level`, of rows that have a cell of each of `PARTS`."""
    parts = [cells.c[name] for name in PARTS]
    return [
        *(func.sum(part).cast(BigInteger) for part in parts),
        *(func.sum(rounded(part, min_cell)).cast(BigInteger) for part in parts),
        *(func.count().filter(part >= min_cell) for part in parts),
    ]


def level_of(values: Sequence[int]) -> Level:
    """The `Level` in the numbers that `levels` selects."""
    size = len(PARTS)
    return Level(*(Parts(*values[start : start + size]) for start in range(0, 3 * size, size)))


class AbsentWorkspaceError(LookupError):
    """The database that was asked has no such workspace: a replica that is behind."""


def applied_watermark(topic: str) -> ScalarSelect[int]:
    """Applied watermark of a topic: the smallest of its partitions; null before each of them was swept."""
    return select(func.nullif(func.min(offsets.c.swept_us), 0)).where(offsets.c.topic == topic).scalar_subquery()


async def read_workspace(connection: AsyncConnection, workspace: int, topic: str) -> WorkspaceState:
    """The workspace with its generations. `topic`: the touchpoints topic, whose offsets hold the watermarks.

    Raises:
        AbsentWorkspaceError: the database has no such workspace (yet).
    """
    latest = select(func.max(offsets.c.through_us)).where(offsets.c.topic == topic).scalar_subquery()
    w, m = workspaces.c, models.c
    rows = (
        await connection.execute(
            select(
                w.time_zone, w.default_model, w.horizon_us, applied_watermark(topic), func.coalesce(latest, 0),
                *(m[name] for name in ModelGeneration._fields),
            )
            .select_from(workspaces)
            .outerjoin(models, (m.workspace == w.id) & m.state.in_(("live", "building")))
            .where(w.id == workspace)
            .order_by(m.name.collate("C"), m.state.desc())
        )
    ).all()  # fmt: skip
    if not rows:
        raise AbsentWorkspaceError
    time_zone, default_model, retention_cutoff_us, applied_watermark_us, latest_watermark_us = rows[0][:5]
    generations = tuple(ModelGeneration(*row[5:]) for row in rows if row[5] is not None)
    return WorkspaceState(
        workspace, time_zone, default_model, retention_cutoff_us, generations, applied_watermark_us, latest_watermark_us
    )


async def list_sources(connection: AsyncConnection, workspace: int) -> list[Source]:
    """The workspace's sources, by name."""
    rows = await connection.execute(
        select(sources.c.id, sources.c.name, sources.c.enabled)
        .where(sources.c.workspace == workspace)
        .order_by(sources.c.name.collate("C"))
    )
    return [Source(row.id, row.name, row.enabled) for row in rows]


async def read_min_cell(connection: AsyncConnection, workspace: int) -> tuple[int | None, str]:
    """The workspace's `min_cell` (None: it withholds nothing), and the name of its default model.

    Raises:
        AbsentWorkspaceError: the database has no such workspace (yet).
    """
    rows = await connection.execute(
        select(workspaces.c.min_cell, workspaces.c.default_model).where(workspaces.c.id == workspace)
    )
    row = rows.first()
    if row is None:
        raise AbsentWorkspaceError
    return row.min_cell, row.default_model
