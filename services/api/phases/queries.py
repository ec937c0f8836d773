"""Statements over the live counts."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, Table, func, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cells import PARTS, Level, shown
from services.api.shared.queries import (
    CustomerFilter,
    ModelGeneration,
    applied_watermark,
    level_of,
    levels,
    parts_of,
    rounded,
    summed,
)
from services.api.shared.steps import Buckets
from services.api.shared.sums import Sums
from throughline.journey.rollup import STEPS
from throughline.store.schema.access import workspaces
from throughline.store.schema.counts import phase_counts, phase_history
from throughline.store.schema.operations import models

Dimension = Literal["source", "channel"]


class LiveCounts(NamedTuple):
    """The sums of a generation by phase number, and the watermark for which they are true."""

    generation: ModelGeneration
    applied_watermark_us: int | None
    retention_cutoff_us: int | None
    sums: dict[int, Sums]


async def read_live_counts(
    connection: AsyncConnection,
    workspace: int,
    model: str | None,
    topic: str,
    customers: CustomerFilter,
    min_cell: int | None = None,
) -> LiveCounts | None:
    """The counts of a model's live generation (None: of the default model); None when it has no live generation.

    One statement over generation, counts and offsets, so that all of them are of one state of the database. With a
    `min_cell` the sums are those that may be shown.
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
    conditions = (c.model == select(live.c.id).scalar_subquery(), *customers.conditions(phase_counts))
    if min_cell is None:
        sums = select(c.phase, *summed(phase_counts)).where(*conditions).group_by(c.phase).subquery("sums")
    else:
        key = (c.source, c.channel, c.phase)
        cells = select(*key, *parts_of(phase_counts)).where(*conditions).group_by(*key).subquery("cells")
        sums = select(cells.c.phase, *levels(cells, min_cell)).group_by(cells.c.phase).subquery("sums")
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
        {
            row[phase]: Sums(*row[phase + 1 :])
            if min_cell is None
            else shown(level_of(row[phase + 1 :]), min_cell, is_whole=customers.is_everybody)
            for row in rows
            if row[phase] is not None
        },
    )


async def read_groups(
    connection: AsyncConnection,
    generation: int,
    customers: CustomerFilter,
    by: Dimension,
    *,
    later: Sequence[Buckets],
    min_cell: int | None,
) -> dict[int | str, dict[int, Level]]:
    """The cells of each source or channel, and of each phase, without what changed in the buckets `later`."""
    key = ("source", "channel", "phase")

    def cells_of(table: Table, sign: int, *conditions: ColumnElement[bool]) -> Select[Any]:
        columns = [table.c[name] for name in key]
        parts = [(part * sign).label(part.name) for part in parts_of(table)]
        conditions = (table.c.model == generation, *customers.conditions(table), *conditions)
        return select(*columns, *parts).where(*conditions).group_by(*columns)

    h = phase_history.c
    added = [cells_of(phase_counts, 1)]
    for buckets in later:
        conditions = [h.step == STEPS.index(buckets.step), h.bucket_us >= buckets.from_us]
        conditions += [] if buckets.to_us is None else [h.bucket_us < buckets.to_us]
        added.append(cells_of(phase_history, -1, *conditions))
    a = union_all(*added).subquery("added").c
    columns = [a[name] for name in key]
    sums = [func.sum(a[name]).cast(BigInteger).label(name) for name in PARTS]
    cells = select(*columns, *sums).group_by(*columns).subquery("cells")
    value = cells.c[by]
    rows = await connection.execute(
        select(value, cells.c.phase, *levels(cells, min_cell or 1)).group_by(value, cells.c.phase)
    )
    groups: dict[int | str, dict[int, Level]] = {}
    for value_, phase, *numbers in rows:
        groups.setdefault(value_, {})[phase] = level_of(numbers)
    return groups


async def list_channels(
    connection: AsyncConnection, generation: int, after: str | None, count: int, min_cell: int | None = None
) -> list[str]:
    """Up to `count` channels under which the generation counts a customer at present, by name, after a name.

    With a `min_cell` they are those that have a cell which is shown.
    """
    c = phase_counts.c
    key = (c.source, c.channel, c.phase)
    cells = select(*key, *parts_of(phase_counts)).where(c.model == generation).group_by(*key).subquery("cells")
    channel = cells.c.channel
    present = func.sum(
        sum((rounded(cells.c[name], min_cell or 1) for name in ("active", "abandoned", "churned")), literal(0))
    )
    query = select(channel)
    if after is not None:
        query = query.where(channel.collate("C") > after)
    rows = await connection.execute(
        query.group_by(channel).having(present > 0).order_by(channel.collate("C")).limit(count)
    )
    return [row.channel for row in rows]
