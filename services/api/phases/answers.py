"""Answers about the live counts: `/v1/phases/counts` and its stream, `/v1/sources` and `/v1/channels`. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from services.api.shared.answers import (
    Answer,
    EncodedAnswer,
    HistoryFrom,
    Instant,
    MinCell,
    ModelName,
    NextCursor,
    SettledUntil,
    instant,
    weak_etag,
)
from services.api.shared.cells import is_hidden
from services.api.shared.sums import ZERO, Sums
from throughline.journey.model import UNPLACED, Model


class PhaseCounts(Answer):
    """One phase: now = active + lapsed, lapsed = abandoned + churned, entered = now + left."""

    phase: Annotated[str, Meta(examples=["purchase"])]
    now: Annotated[int, Meta(examples=[120])]
    active: Annotated[int, Meta(examples=[100])]
    lapsed: Annotated[int, Meta(description="silent for longer than the phase's window", examples=[20])]
    abandoned: Annotated[int, Meta(description="of the lapsed: without a purchase that stands", examples=[5])]
    churned: Annotated[int, Meta(description="of the lapsed: after a purchase", examples=[15])]
    entered: Annotated[int, Meta(examples=[150])]
    left: Annotated[int, Meta(examples=[30])]
    returned: Annotated[int, Meta(description="of entered: back after a lapse", examples=[10])]
    withheld: Annotated[
        bool,
        Meta(description="whether a 0 of active, lapsed or left may stand for up to min_cell - 1", examples=[False]),
    ]


class Counts(Answer):
    """Where all customers stand."""

    TABLE: ClassVar[str] = "phases"

    model: ModelName
    as_of: Annotated[
        Instant | None,
        Meta(description="the instant the counts are true for: settled_until, or the step that holds the `as_of` sent"),
    ]
    settled_until: SettledUntil
    history_from: HistoryFrom
    min_cell: MinCell
    customers: Annotated[int, Meta(description="customers in a phase: the sum of now", examples=[120])]
    unplaced: Annotated[
        int, Meta(description="customers whom no touchpoint has placed yet, not in customers", examples=[3])
    ]
    phases: list[PhaseCounts]


class SourceItem(Answer):
    """A source of the workspace."""

    name: Annotated[str, Meta(examples=["web"])]
    enabled: Annotated[bool, Meta(examples=[True])]


class Sources(Answer):
    """A page of the values of the source filter, by name."""

    TABLE: ClassVar[str] = "sources"

    sources: list[SourceItem]
    next_cursor: NextCursor


class Channels(Answer):
    """A page of the values of the channel filter, by name."""

    TABLE: ClassVar[str] = "channels"

    channels: Annotated[
        list[str],
        Meta(description="`(other)` counts all channels beyond the first 200", examples=[["direct", "email"]]),
    ]
    next_cursor: NextCursor


def counts_answer(
    model: Model,
    sums: Mapping[int, Sums],
    *,
    as_of_us: int | None,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None = None,
    min_cell: int | None = None,
) -> EncodedAnswer[Counts]:
    """The counts of one moment. Their ETag names the counts, and not the time.

    Args:
        sums: by phase number; a phase that is missing has no customers.
        as_of_us: the instant the counts are true for; None before anything was staged.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: touchpoints that occurred before it are deleted.
        min_cell: that of the workspace, by which the counts are rounded.
    """
    phases = [_phase_counts(phase.name, sums.get(phase.number, ZERO), min_cell) for phase in model.phases]
    customers = sum(phase.now for phase in phases)
    unplaced = sums.get(UNPLACED, ZERO).now
    as_of = instant(as_of_us)
    counts = Counts(
        model=model.name,
        as_of=as_of,
        settled_until=instant(applied_watermark_us),
        history_from=instant(retention_cutoff_us),
        min_cell=min_cell,
        customers=customers,
        unplaced=unplaced,
        phases=phases,
    )
    return EncodedAnswer(
        msgspec.json.encode(counts), weak_etag((model.name, min_cell, customers, unplaced, phases)), as_of
    )


def _phase_counts(phase: str, sums: Sums, min_cell: int | None) -> PhaseCounts:
    return PhaseCounts(
        phase=phase,
        now=sums.now,
        active=sums.active,
        lapsed=sums.lapsed,
        abandoned=sums.lapsed - sums.churned,
        churned=sums.churned,
        entered=sums.entered,
        left=sums.left,
        returned=sums.returned,
        withheld=is_hidden(sums, min_cell),
    )
