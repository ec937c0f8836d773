"""The last events of each source in a batch and what became of them, for a person who wires up an SDK. Pure.

The store has two rings for each source and partition: one holds the last `RING_SIZE` events that ingest warned of, the
other the last without a warning. Their law: the same log leaves the same rings, however it is cut into batches. (From a
batch with very many sources fewer events of each are written.)
"""

from collections.abc import Container, Mapping
from typing import NamedTuple

from services.stager.stage.decode import Arrival, Batch
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest, message_digest
from throughline.store.facts import FactKey, FactRow, content_of, row_of
from throughline.store.recent import RING_SIZE

DUPLICATE = "duplicate"
"""Code of an event whose message id was staged before, with the same content."""
CONFLICT = "conflict"
"""Code of an event whose message id was staged before, with other content."""
MAX_ROWS = 8 * RING_SIZE
"""Number of rows of a batch, divided among its rings; each ring has one at least."""
MAX_ID = 512
"""Maximum length of an actor's id: as long as ingest takes, so that the id leads to the customer."""
MAX_TEXT = 200
"""Maximum length of other texts."""


class RingRow(NamedTuple):
    """One event, for the store's `recent_to_write`."""

    ring: int
    """1 for events that ingest warned of, 0 for others."""
    shard: int
    """The partition."""
    source: int
    number: int
    """Place among the events of the ring in the batch, from 1."""
    workspace: int
    received_us: int
    occurred_us: int
    actor: str
    message_id: str
    call: str
    name: str
    channel: str
    bot: bool
    warnings: str
    """Codes, joined by commas."""


class RecentEvents(NamedTuple):
    """Rows for the store's `recent_to_write`, with their sources and partitions."""

    sources: set[int]
    shards: set[int]
    rows: list[RingRow]


def recent_of(batch: Batch, stored_before: Container[FactKey], originals: Mapping[FactKey, FactRow]) -> RecentEvents:
    """Returns the last events of each source of a batch.

    Args:
        batch: the records that came.
        stored_before: keys of the facts that were staged before.
        originals: for every event that repeats another, by key, the fact that was staged first.
    """
    rings = sorted(ring for ring in batch.arrived if ring.source)  # a ruling has no source
    size = min(RING_SIZE, max(1, MAX_ROWS // max(1, len(rings))))
    rows = []
    for ring in rings:
        arrived = batch.arrived[ring]
        skipped = max(0, len(arrived) - size)
        for number, touchpoint in enumerate(arrived[skipped:], skipped + 1):
            codes = touchpoint.warnings
            if originals:
                codes += _repeat_codes(batch, touchpoint, stored_before, originals)
            rows.append(_row_of(ring, number, touchpoint, codes))
    return RecentEvents({ring.source for ring in rings}, {ring.partition for ring in rings}, rows)


def _repeat_codes(
    batch: Batch, touchpoint: Touchpoint, stored_before: Container[FactKey], originals: Mapping[FactKey, FactRow]
) -> tuple[str, ...]:
    """Returns the code of an event whose message id was staged before; none for a new one."""
    actor = id_digest(touchpoint.workspace, touchpoint.actor)
    key = (actor, message_digest(touchpoint.message_id))
    if key not in stored_before and batch.actors[actor].touchpoints[key[1]] is touchpoint:
        return ()
    is_same = content_of(originals[key]) == content_of(row_of(*key, touchpoint))
    return (DUPLICATE if is_same else CONFLICT,)


def _row_of(ring: Arrival, number: int, touchpoint: Touchpoint, codes: tuple[str, ...]) -> RingRow:
    return RingRow(
        ring=int(ring.has_warnings),
        shard=ring.partition,
        source=ring.source,
        number=number,
        workspace=touchpoint.workspace,
        received_us=touchpoint.received_us,
        occurred_us=touchpoint.occurred_us,
        actor=touchpoint.actor[:MAX_ID],
        message_id=touchpoint.message_id[:MAX_TEXT],
        call=touchpoint.call,
        name=touchpoint.name[:MAX_TEXT],
        channel=touchpoint.channel[:MAX_TEXT],
        bot=touchpoint.bot,
        warnings=",".join(codes)[:MAX_TEXT],
    )
