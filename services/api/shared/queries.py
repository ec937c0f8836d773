"""What the api asks about a workspace as a whole: its models, sources, channels and live counts."""

from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, Table, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.phases.answers import Sums
from throughline.store.schema.access import sources, workspaces
from throughline.store.schema.counts import COUNTS, phase_counts
from throughline.store.schema.operations import models, offsets


class Generation(NamedTuple):
    """A phase model as applied in a workspace: the id its rows carry, and where its definition is."""

    id: int
    name: str
    state: str
    """live: served; building: restaged, and not served yet."""
    document: str | None
    created_us: int


class Workspace(NamedTuple):
    """A workspace, its generations by name, and how far its state reaches."""

    id: int
    time_zone: str
    default_model: str
    retention_cutoff_us: int | None
    """Facts that occurred before it are gone."""
    generations: tuple[Generation, ...]
    applied_watermark_us: int | None
    """What was received and what lapsed before it is in the state; None before anything was staged."""
    latest_watermark_us: int
    """The largest such instant of any partition: the furthest that some writer has been."""


class Source(NamedTuple):
    """A source of a workspace."""

    id: int
    name: str
    enabled: bool


class LiveCounts(NamedTuple):
    """The sums of a generation by phase number, and the watermark they are of."""

    generation: Generation
    applied_watermark_us: int | None
    retention_cutoff_us: int | None
    sums: dict[int, Sums]


def applied_watermark(topic: str) -> ScalarSelect[int]:
    """Applied watermark of a topic: the smallest of its partitions; null before each of them was swept."""
    return select(func.nullif(func.min(offsets.c.swept_us), 0)).where(offsets.c.topic == topic).scalar_subquery()


async def workspace_of(connection: AsyncConnection, workspace: int, topic: str) -> Workspace:
    """The workspace with its live and building generations."""
    newest = select(func.max(offsets.c.through_us)).where(offsets.c.topic == topic).scalar_subquery()
    w, m = workspaces.c, models.c
    rows = (
        await connection.execute(
            select(
                w.time_zone, w.default_model, w.horizon_us, applied_watermark(topic), func.coalesce(newest, 0),
                m.id, m.name, m.state, m.document, m.created_us,
            )
            .select_from(workspaces)
            .outerjoin(models, (m.workspace == w.id) & m.state.in_(("live", "building")))
            .where(w.id == workspace)
            .order_by(m.name.collate("C"), m.state.desc())
        )
    ).all()  # fmt: skip
    zone, default_model, retention_cutoff_us, applied_watermark_us, latest_watermark_us = rows[0][:5]
    generations = tuple(Generation(*row[5:]) for row in rows if row[5] is not None)
    return Workspace(
        workspace, zone, default_model, retention_cutoff_us, generations, applied_watermark_us, latest_watermark_us
    )


async def workspace_sources(connection: AsyncConnection, workspace: int) -> list[Source]:
    """The workspace's sources, by name."""
    rows = await connection.execute(
        select(sources.c.id, sources.c.name, sources.c.enabled)
        .where(sources.c.workspace == workspace)
        .order_by(sources.c.name.collate("C"))
    )
    return [Source(row.id, row.name, row.enabled) for row in rows]


async def channels(connection: AsyncConnection, model: int) -> list[str]:
    """The acquisition channels under which the generation counts a customer now."""
    present = func.sum(phase_counts.c.active + phase_counts.c.lapsed)
    rows = await connection.execute(
        select(phase_counts.c.channel)
        .where(phase_counts.c.model == model)
        .group_by(phase_counts.c.channel)
        .having(present > 0)
        .order_by(phase_counts.c.channel.collate("C"))
    )
    return [row.channel for row in rows]


async def live_counts(
    connection: AsyncConnection, workspace: int, name: str | None, topic: str, source: int | None, channel: str | None
) -> LiveCounts | None:
    """The counts of the workspace's live generation of that model (None: of its default one); None when none is live.

    One statement over generation, counts and offsets, so that all are of the same cut.
    """
    live = (
        select(models, workspaces.c.horizon_us)
        .join(workspaces, workspaces.c.id == models.c.workspace)
        .where(
            workspaces.c.id == workspace,
            models.c.state == "live",
            models.c.name == (workspaces.c.default_model if name is None else name),
        )
        .cte("live")
    )
    c = phase_counts.c
    sums = (
        select(c.phase, *summed(phase_counts))
        .where(c.model == select(live.c.id).scalar_subquery(), *cells(phase_counts, source, channel))
        .group_by(c.phase)
        .subquery("sums")
    )
    rows = (
        await connection.execute(
            select(*(live.c[field] for field in Generation._fields), live.c.horizon_us, applied_watermark(topic), sums)
            .select_from(live)
            .outerjoin(sums, true())
        )
    ).all()
    if not rows:
        return None
    *generation, retention_cutoff_us, applied_watermark_us = rows[0][:7]
    found = {row.phase: Sums(*row[8:]) for row in rows if row.phase is not None}
    return LiveCounts(Generation(*generation), applied_watermark_us, retention_cutoff_us, found)


def summed(table: Table) -> list[ColumnElement[int]]:
    """The sum of each count, in the order of `Sums`; sum() of bigint is numeric."""
    return [func.sum(table.c[name]).cast(BigInteger).label(name) for name in COUNTS]


def cells(table: Table, source: int | None, channel: str | None) -> list[ColumnElement[bool]]:
    """Which cells to sum."""
    which: list[ColumnElement[bool]] = []
    if source is not None:
        which.append(table.c.source == source)
    if channel is not None:
        which.append(table.c.channel == channel)
    return which
