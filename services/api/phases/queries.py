"""Statements over the live counts."""

from typing import NamedTuple

from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import CustomerFilter, ModelGeneration, applied_watermark, summed
from services.api.shared.sums import Sums
from throughline.store.schema.access import workspaces
from throughline.store.schema.counts import phase_counts
from throughline.store.schema.operations import models


class LiveCounts(NamedTuple):
    """The sums of a generation by phase number, and the watermark for which they are true."""

    generation: ModelGeneration
    applied_watermark_us: int | None
    retention_cutoff_us: int | None
    sums: dict[int, Sums]


async def read_live_counts(
    connection: AsyncConnection, workspace: int, model: str | None, topic: str, customers: CustomerFilter
) -> LiveCounts | None:
    """The counts of a model's live generation (None: of the default model); None when it has no live generation.

    One statement over generation, counts and offsets, so that all of them are of one state of the database.
    """
    live = (
        select(models, workspaces.c.horizon_us)
        .join(workspaces, workspaces.c.id == models.c.workspace)
        .where(
            workspaces.c.id == workspace,
            models.c.state == "live",
            models.c.name == (workspaces.c.default_model if model is None else model),
        )
        .cte("live")
    )
    c = phase_counts.c
    sums = (
        select(c.phase, *summed(phase_counts))
        .where(c.model == select(live.c.id).scalar_subquery(), *customers.conditions(phase_counts))
        .group_by(c.phase)
        .subquery("sums")
    )
    generation = [live.c[name] for name in ModelGeneration._fields]
    rows = (
        await connection.execute(
            select(live.c.horizon_us, applied_watermark(topic), *generation, sums)
            .select_from(live)
            .outerjoin(sums, true())
        )
    ).all()
    if not rows:
        return None
    phase = 2 + len(generation)
    retention_cutoff_us, applied_watermark_us = rows[0][:2]
    return LiveCounts(
        ModelGeneration(*rows[0][2:phase]),
        applied_watermark_us,
        retention_cutoff_us,
        {row[phase]: Sums(*row[phase + 1 :]) for row in rows if row[phase] is not None},
    )


async def list_channels(connection: AsyncConnection, generation: int, after: str | None, count: int) -> list[str]:
    """Up to `count` channels under which the generation counts a customer at present, by name, after a name."""
    channel = phase_counts.c.channel
    present = func.sum(phase_counts.c.active + phase_counts.c.lapsed)
    query = select(channel).where(phase_counts.c.model == generation)
    if after is not None:
        query = query.where(channel.collate("C") > after)
    rows = await connection.execute(
        query.group_by(channel).having(present > 0).order_by(channel.collate("C")).limit(count)
    )
    return [row.channel for row in rows]
