"""Statements over the past of the counts: the live counts less what changed since, out of the stored buckets."""

from typing import NamedTuple

from sqlalchemy import BigInteger, Select, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import CustomerFilter, applied_watermark, summed
from services.api.shared.steps import Buckets
from services.api.shared.sums import ZERO, Sums
from throughline.journey.rollup import STEPS
from throughline.store.schema.counts import phase_counts, phase_history

_LIVE, _LATER, _INSIDE = 0, 1, 2
"""What a row is, in the order in which rows are used."""


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
) -> PastCounts:
    """The counts without what changed in the buckets `later`, and the changes in each bucket of `inside`.

    One statement over counts, their history and offsets, so that all of them are of one state of the database.
    """

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
    rows = (
        await connection.execute(select(watermark, sums).select_from(watermark.outerjoin(sums, literal(True))))
    ).all()
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
