"""The last events of each source in a batch, and what became of them: what a person who wires up an SDK looks at. Pure.

Rings of the store hold the last `RING_SIZE` with warnings and the last without, of each source and partition. Their
law: the same log leaves the same rings, however it is cut into batches. (Of a batch with very many sources fewer stay.)
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.stager.stage.decode import Batch
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest, message_digest
from throughline.store.facts import FactRow, content_of, row_of
from throughline.store.recent import RING_SIZE

DUPLICATE = "duplicate"
"""Beside the warnings of ingest: its message id was there before, and so was what it says."""
CONFLICT = "conflict"
"""Its message id was there before with something else."""
MOST_ROWS = 8 * RING_SIZE
"""Written of one batch, however many sources it is of."""
MOST_ID, MOST_TEXT = 512, 200
"""Characters: of the actor's id as many as ingest takes, so that it leads to the customer; of other texts."""


class Recent(NamedTuple):
    """Rows as the store's `write_recent` takes them, and the sources they are of."""

    sources: set[int]
    rows: list[tuple[Any, ...]]


def recent_of(batch: Batch, new: set[bytes], first: Mapping[bytes, FactRow]) -> Recent:
    """The last events of each source of a batch that has been staged.

    Args:
        batch: all that came.
        new: the message digests that were not there before.
        first: for each event that was, the fact that counts, by message digest.
    """
    rings = sorted(ring for ring in batch.arrived if ring[0])  # no source: an operator's word
    of_each = min(RING_SIZE, max(1, MOST_ROWS // max(1, len(rings))))
    rows = []
    for source, warned in rings:
        arrived = batch.arrived[source, warned]
        before = max(0, len(arrived) - of_each)
        for number, touchpoint in enumerate(arrived[before:], before + 1):
            codes = touchpoint.warnings + _repeated(batch, touchpoint, new, first)
            rows.append(_row(int(warned), number, touchpoint, codes))
    return Recent({source for source, _ in rings}, rows)


def _repeated(batch: Batch, touchpoint: Touchpoint, new: set[bytes], first: Mapping[bytes, FactRow]) -> tuple[str, ...]:
    actor = id_digest(touchpoint.workspace, touchpoint.actor)
    message = message_digest(actor, touchpoint.message_id)
    if message in new and batch.actors[actor].touchpoints[message] is touchpoint:
        return ()
    return (DUPLICATE if content_of(first[message]) == content_of(row_of(actor, message, touchpoint)) else CONFLICT,)


def _row(ring: int, number: int, t: Touchpoint, codes: tuple[str, ...]) -> tuple[Any, ...]:
    return (
        ring,
        t.source,
        number,
        t.workspace,
        t.received_us,
        t.occurred_us,
        t.actor[:MOST_ID],
        t.message_id[:MOST_TEXT],
        t.call,
        t.name[:MOST_TEXT],
        t.channel[:MOST_TEXT],
        t.bot,
        ",".join(codes)[:MOST_TEXT],
    )
