"""Statements over the past of the counts: the live counts less what changed since, out of the stored buckets."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, Table, case, func, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.cells import PARTS, Level, shown_past
from services.api.shared.queries import CustomerFilter, applied_watermark, level_of, parts_of, rounded, summed
from services.api.shared.steps import Buckets
from services.api.shared.sums import ZERO, Sums
from throughline.journey.rollup import STEPS
from throughline.store.schema.counts import phase_counts, phase_history

_LIVE, _LATER, _INSIDE = 0, 1, 2
"""What a row is, in the order in which rows are used."""
_AT_END = 2**62
"""In the place of a bucket: the end of the span."""


class PastCounts(NamedTuple):
    """Counts of the past, as far as is known at one watermark."""

    applied_watermark_us: int | None
    closing: dict[int, Sums]
    """The counts by phase number, before everything that came later."""
    changes: dict[tuple[int, int], Sums]
    """What changed in each bucket of the span, by the bucket's start and the phase number."""


async def read_past_counts(
    connection: AsyncConnection,
    generation: int,
    topic: str,
    customers: CustomerFilter,
    *,
    later: list[Buckets],
    inside: Buckets | None = None,
    min_cell: int | None = None,
    starts: Sequence[int] = (),
) -> PastCounts:
    """The counts without what changed in the buckets `later`, and the changes in each bucket of `inside`.

    One statement over counts, their history and offsets, so that all of them are of one state of the database. With a
    `min_cell` they are what may be shown, `starts` being those of the buckets of `inside`.
    """
    if min_cell is not None:
        return await _read_shown(connection, generation, topic, customers, later, inside, min_cell, starts)

    def changed(kind: int, buckets: Buckets, *, each: bool) -> Select[tuple[int | None, ...]]:
        c = phase_history.c
        bucket = c.bucket_us if each else null().cast(BigInteger)
        query = select(literal(kind).label("kind"), bucket.label("bucket_us"), c.phase, *summed(phase_history)).where(
            c.model == generation,
            c.step == STEPS.index(buckets.step),
            c.bucket_us >= buckets.from_us,
            *customers.conditions(phase_history),
        )
        if buckets.to_us is not None:
            query = query.where(c.bucket_us < buckets.to_us)
        return query.group_by(c.phase, *([c.bucket_us] if each else []))

    c = phase_counts.c
    parts = [
        select(literal(_LIVE).label("kind"), null().cast(BigInteger).label("bucket_us"), c.phase, *summed(phase_counts))
        .where(c.model == generation, *customers.conditions(phase_counts))
        .group_by(c.phase),
        *(changed(_LATER, buckets, each=False) for buckets in later),
    ]
    if inside is not None:
        parts.append(changed(_INSIDE, inside, each=True))
    sums = union_all(*parts).subquery("sums")
    watermark = select(applied_watermark(topic).label("applied_watermark_us")).subquery("watermark")
    statement = select(watermark, sums).select_from(watermark.outerjoin(sums, literal(True)))
    rows = (await connection.execute(statement)).all()
    # Of thousands of steps this takes long: not on the event loop, on which every other request waits.
    return await asyncio.to_thread(_past_counts, rows)


def _past_counts(rows: Sequence[Any]) -> PastCounts:
    closing: dict[int, Sums] = {}
    changes: dict[tuple[int, int], Sums] = {}
    for _, kind, bucket_us, phase, *values in sorted(rows, key=lambda row: row.kind or _LIVE):
        if kind is None:  # there are no counts: the one row has nothing but the watermark
            continue
        row_sums = Sums(*values)
        if kind == _LIVE:
            closing[phase] = row_sums
        elif kind == _LATER:
            closing[phase] = closing.get(phase, ZERO).minus(row_sums)
        else:
            changes[bucket_us, phase] = row_sums
    return PastCounts(rows[0].applied_watermark_us, closing, changes)


async def _read_shown(
    connection: AsyncConnection,
    generation: int,
    topic: str,
    customers: CustomerFilter,
    later: list[Buckets],
    inside: Buckets | None,
    min_cell: int,
    starts: Sequence[int],
) -> PastCounts:
    """`read_past_counts` of a workspace that withholds small cells.

    The cells at the end of the span are the live ones less what changed later; going back from there, each row of a
    bucket has its cell after the bucket and before it, and so what rounding makes of the change.
    """
    key = ("source", "channel", "phase")

    def of(table: Table, *conditions: ColumnElement[bool], sign: int, bucket: ColumnElement[int]) -> Select[Any]:
        columns = [table.c[name] for name in key]
        parts = [(part * sign).label(part.name) for part in parts_of(table)]
        selected = select(bucket.label("bucket_us"), *columns, *parts)
        grouped = [*columns, *([bucket] if bucket is phase_history.c.bucket_us else [])]
        return selected.where(table.c.model == generation, *customers.conditions(table), *conditions).group_by(*grouped)

    def changed(buckets: Buckets, bucket: ColumnElement[int]) -> Select[Any]:
        c = phase_history.c
        conditions = [c.step == STEPS.index(buckets.step), c.bucket_us >= buckets.from_us]
        if buckets.to_us is not None:
            conditions.append(c.bucket_us < buckets.to_us)
        return of(phase_history, *conditions, sign=-1, bucket=bucket)

    at_end = literal(_AT_END, BigInteger)
    each = [of(phase_counts, sign=1, bucket=at_end), *(changed(buckets, at_end) for buckets in later)]
    if inside is not None:
        each.append(changed(inside, phase_history.c.bucket_us))
    added = union_all(*each).subquery("added")
    a = added.c
    cell_key = [a[name] for name in key]
    by_bucket = (
        select(a.bucket_us, *cell_key, *(func.sum(a[name]).cast(BigInteger).label(name) for name in PARTS))
        .group_by(a.bucket_us, *cell_key)
        .subquery("by_bucket")
    )
    b = by_bucket.c
    cell = [b[name] for name in key]
    before = {
        name: func.sum(b[name]).over(partition_by=cell, order_by=b.bucket_us.desc(), rows=(None, 0)).cast(BigInteger)
        for name in PARTS
    }
    rows_of_cells = select(
        b.bucket_us,
        b.phase,
        *(before[name].label(f"before_{name}") for name in PARTS),
        # At the end of the span there is nothing after it: its row is the level itself, not a change.
        *(case((b.bucket_us == _AT_END, 0), else_=before[name] - b[name]).label(f"after_{name}") for name in PARTS),
    ).subquery("rows_of_cells")
    r = rows_of_cells.c
    is_end = r.bucket_us == _AT_END

    def change(number: Callable[[ColumnElement[int]], ColumnElement[int]]) -> list[ColumnElement[int]]:
        pairs = [(number(r[f"before_{name}"]), number(r[f"after_{name}"])) for name in PARTS]
        return [func.sum(case((is_end, earlier), else_=later_ - earlier)).cast(BigInteger) for earlier, later_ in pairs]

    sums = (
        select(
            r.bucket_us,
            r.phase,
            *change(lambda number: number),
            *change(lambda number: rounded(number, min_cell)),
            *change(lambda number: case((number >= min_cell, 1), else_=0)),
        )
        .group_by(r.bucket_us, r.phase)
        .subquery("sums")
    )
    watermark = select(applied_watermark(topic).label("applied_watermark_us")).subquery("watermark")
    rows = (
        await connection.execute(select(watermark, sums).select_from(watermark.outerjoin(sums, literal(True))))
    ).all()
    closing: dict[int, Level] = {}
    changes: dict[tuple[int, int], Level] = {}
    for _, bucket_us, phase, *values in rows:
        if bucket_us == _AT_END:
            closing[phase] = level_of(values)
        elif bucket_us is not None:
            changes[bucket_us, phase] = level_of(values)
    shown_counts = shown_past(closing, changes, starts, min_cell, is_whole=customers.is_everybody)
    return PastCounts(rows[0].applied_watermark_us, *shown_counts)
