"""Answers about the live counts: `/v1/phases/counts` and its stream, `/v1/sources` and `/v1/channels`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

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
from services.api.shared.links import MOVES, STANDINGS, Links, ListLinks
from services.api.shared.phase_names import UNPLACED_NAME
from services.api.shared.sums import ZERO, Sums
from throughline.journey.model import UNPLACED, Model

MAX_GROUPS = 200
"""Maximum number of values that counts are grouped by; the smaller ones are `(other)` together."""


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
    links: Links


class CountsGroup(Answer):
    """Where the customers of one source or channel stand; all groups add up to the whole."""

    value: Annotated[str, Meta(description="`(other)`: all further values together", examples=["email"])]
    customers: Annotated[int, Meta(description="customers in a phase: the sum of now", examples=[120])]
    unplaced: Annotated[int, Meta(description="customers whom no touchpoint has placed yet", examples=[3])]
    phases: list[PhaseCounts]
    links: Links


class Counts(Answer):
    """Where all customers stand."""

    TABLE: ClassVar[str] = "groups.phases"

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
    links: Links
    groups: Annotated[
        list[CountsGroup],
        Meta(description=f"by the value that `group_by` names, the largest first; beyond {MAX_GROUPS} `(other)`"),
    ]

    def table_items(self) -> list[CountsGroup]:
        """The whole, whose value is empty, and its groups."""
        return [CountsGroup("", self.customers, self.unplaced, self.phases, self.links), *self.groups]


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


class CountedGroup(NamedTuple):
    """The sums of the customers of one source or channel, and the lists of them (None: there are none)."""

    value: str
    sums: Mapping[int, Sums]
    lists: ListLinks | None


def counts_answer(
    model: Model,
    sums: Mapping[int, Sums],
    *,
    as_of_us: int | None,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None = None,
    min_cell: int | None = None,
    lists: ListLinks | None = None,
    is_past: bool = False,
    groups: Sequence[CountedGroup] = (),
) -> EncodedAnswer[Counts]:
    """The counts of one moment. Their ETag names the counts, and not the time.

    Args:
        sums: by phase number; a phase that is missing has no customers.
        as_of_us: the instant the counts are true for; None before anything was staged.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: touchpoints that occurred before it are deleted.
        min_cell: that of the workspace, by which the counts are rounded.
        lists: of those that the counts count; None: there are none.
        is_past: whether the counts are of a past moment.
        groups: what the counts are divided into.
    """
    as_of = instant(as_of_us)
    moment = as_of if is_past else None
    whole, *parts = (_group(model, group, min_cell, moment) for group in (CountedGroup("", sums, lists), *groups))
    counts = Counts(
        model=model.name,
        as_of=as_of,
        settled_until=instant(applied_watermark_us),
        history_from=instant(retention_cutoff_us),
        min_cell=min_cell,
        customers=whole.customers,
        unplaced=whole.unplaced,
        phases=whole.phases,
        links=whole.links,
        groups=parts,
    )
    state = [
        (group.value, group.customers, group.unplaced, [*map(_numbers, group.phases)]) for group in (whole, *parts)
    ]
    return EncodedAnswer(msgspec.json.encode(counts), weak_etag((model.name, min_cell, state)), as_of)


def _numbers(phase: PhaseCounts) -> tuple[object, ...]:
    """All but the links, which have the time in them."""
    return msgspec.structs.astuple(phase)[:-1]


def _group(model: Model, group: CountedGroup, min_cell: int | None, moment: str | None) -> CountsGroup:
    lists = group.lists if min_cell is None else None
    phases = [_phase_counts(phase.name, group.sums.get(phase.number, ZERO), min_cell) for phase in model.phases]
    links: dict[str, str] = {}
    if lists is not None:
        for phase in phases:
            phase.links = _phase_links(lists, phase.phase, moment)
        links["customers"] = lists.customers({"as_of": moment})
        links["unplaced"] = lists.customers({"phase": UNPLACED_NAME, "as_of": moment})
    unplaced = group.sums.get(UNPLACED, ZERO).now
    return CountsGroup(group.value, sum(phase.now for phase in phases), unplaced, phases, links)


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
        links={},
    )


def _phase_links(lists: ListLinks, phase: str, moment: str | None) -> dict[str, str]:
    standings = {
        number: lists.customers({"phase": phase, **which, "as_of": moment}) for number, which in STANDINGS.items()
    }
    moves = {
        number: lists.moves({"from_phase" if number == "left" else "to_phase": phase, **which, "to": moment})
        for number, which in MOVES.items()
    }
    return standings | moves
