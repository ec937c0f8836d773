"""What the api asks about the past of the counts: sums of what changed, out of the stored buckets."""

from typing import NamedTuple

from sqlalchemy import BigInteger, Select, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.phases.answers import NONE, Sums
from services.api.shared.queries import applied_watermark, cells, summed
from services.api.shared.steps import Buckets
from throughline.journey.rollup import STEPS
from throughline.store.schema.counts import phase_counts, phase_history

_NOW, _LATER, _INSIDE = 0, 1, 2


class Past(NamedTuple):
    """Counts of the past, of one moment's knowledge."""

    applied_watermark_us: int | None
    closing: dict[int, Sums]
    """The sums by phase number before everything that came later."""
    changes: dict[tuple[int, int], Sums]
    """What changed in each bucket inside, by its start and phase number."""


async def past_counts(
    connection: AsyncConnection,
    model: int,
    topic: str,
    source: int | None,
    channel: str | None,
    *,
    later: list[Buckets],
    inside: Buckets | None = None,
) -> Past:
    """The counts without what changed `later`, and the changes `inside` a span before that.

    One statement over counts, their history and offsets, so that all are of the same cut.
    """

    def changed(what: int, buckets: Buckets, *, each: bool) -> Select[tuple[int | None, ...]]:
        c = phase_history.c
        bucket = c.bucket_us if each else null().cast(BigInteger)
        query = select(literal(what).label("what"), bucket.label("bucket_us"), c.phase, *summed(phase_history)).where(
            c.model == model,
            c.step == STEPS.index(buckets.step),
            c.bucket_us >= buckets.from_us,
            *cells(phase_history, source, channel),
        )
        if buckets.to_us is not None:
            query = query.where(c.bucket_us < buckets.to_us)
        return query.group_by(c.phase, *([c.bucket_us] if each else []))

    c = phase_counts.c
    parts = [
        select(literal(_NOW).label("what"), null().cast(BigInteger).label("bucket_us"), c.phase, *summed(phase_counts))
        .where(c.model == model, *cells(phase_counts, source, channel))
        .group_by(c.phase),
        *(changed(_LATER, buckets, each=False) for buckets in later),
    ]
    if inside is not None:
        parts.append(changed(_INSIDE, inside, each=True))
    found = union_all(*parts).subquery("found")
    one = select(applied_watermark(topic).label("applied_watermark_us")).subquery("one")
    rows = (await connection.execute(select(one, found).select_from(one.outerjoin(found, literal(True))))).all()
    closing: dict[int, Sums] = {}
    changes: dict[tuple[int, int], Sums] = {}
    # Before what is taken off it.
    for _, what, bucket_us, phase, *values in sorted(rows, key=lambda row: row.what or 0):
        if what is None:
            continue
        sums = Sums(*values)
        if what == _NOW:
            closing[phase] = sums
        elif what == _LATER:
            closing[phase] = closing.get(phase, NONE).minus(sums)
        else:
            changes[bucket_us, phase] = sums
    return Past(rows[0].applied_watermark_us, closing, changes)
