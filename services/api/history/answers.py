"""The answer of `/v1/phases/history`. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from services.api.history.span import Span
from services.api.shared.answers import Answer, HistoryFrom, Instant, MinCell, ModelName, SettledUntil, instant
from services.api.shared.links import MOVES, STANDINGS, ListLinks
from services.api.shared.phase_names import UNPLACED_NAME
from services.api.shared.sums import ZERO, Sums
from throughline.journey.model import UNPLACED, Model
from throughline.journey.rollup import Step
from throughline.kit.clock import rfc3339

Changes = Mapping[tuple[int, int], Sums]
"""What changed, by the start of a step and the number of a phase."""


class Standing(Answer):
    """Customers in a phase at one moment."""

    now: Annotated[int, Meta(examples=[120])]
    active: Annotated[int, Meta(examples=[100])]
    lapsed: Annotated[int, Meta(examples=[20])]


class PhaseStep(Answer):
    """One phase in one step: opening.now + entered = closing.now + left."""

    phase: Annotated[str, Meta(examples=["purchase"])]
    opening: Standing
    entered: Annotated[int, Meta(examples=[7])]
    left: Annotated[int, Meta(examples=[2])]
    lapsed: Annotated[int, Meta(description="closing.lapsed - opening.lapsed", examples=[1])]
    returned: Annotated[int, Meta(description="of entered: back after a lapse", examples=[1])]
    closing: Standing


class Ends(Answer):
    """A number at the start and at the end of a step."""

    opening: Annotated[int, Meta(examples=[120])]
    closing: Annotated[int, Meta(examples=[125])]


class StepHistory(Answer):
    """One step."""

    from_: Instant = msgspec.field(name="from")
    to: Annotated[Instant, Meta(description="the next step begins here")]
    customers: Ends
    unplaced: Ends
    phases: list[PhaseStep]


class History(Answer):
    """How the counts came about, oldest step first; each step closes as the next one opens."""

    TABLE: ClassVar[str] = "steps.phases"

    model: ModelName
    step: Step
    time_zone: Annotated[str, Meta(description="in which hours and days begin", examples=["Europe/Berlin"])]
    from_: Instant = msgspec.field(name="from")
    to: Instant
    settled_until: SettledUntil
    history_from: HistoryFrom
    min_cell: MinCell
    steps: list[StepHistory]
    links: Annotated[
        dict[str, str],
        Meta(
            description="path of the list of exactly those that a number counts, by the number's name, with {phase}, "
            "{from} and {to} of its phase and step to fill in (RFC 6570); `lapsed` is a difference, and has no list; "
            "empty where the workspace withholds small counts",
            examples=[{"entered": "/v1/moves?kind=enter&kind=return&to_phase={phase}&from={from}&to={to}"}],
        ),
    ]


def history_answer(
    model: Model,
    span: Span,
    *,
    closing: Mapping[int, Sums],
    changes: Changes,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None,
    time_zone: str,
    min_cell: int | None = None,
    lists: ListLinks | None = None,
) -> History:
    """The counts at both ends of each step of `span`, and what changed in between.

    Args:
        span: the steps.
        closing: the counts at the end of the last step, by phase number.
        changes: what changed in each step.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: touchpoints that occurred before it are deleted.
        time_zone: name of the workspace's time zone.
        min_cell: that of the workspace, by which the counts are rounded.
        lists: of those that the counts count; None: there are none.
    """
    numbers = [UNPLACED, *(phase.number for phase in model.phases)]
    after = {number: closing.get(number, ZERO) for number in numbers}
    steps: list[StepHistory] = []
    end_us = span.end_us
    for start_us in reversed(span.starts):
        change = {number: changes.get((start_us, number), ZERO) for number in numbers}
        before = {number: after[number].minus(change[number]) for number in numbers}
        steps.append(
            StepHistory(
                from_=rfc3339(start_us),
                to=rfc3339(end_us),
                customers=Ends(_placed(model, before), _placed(model, after)),
                unplaced=Ends(before[UNPLACED].now, after[UNPLACED].now),
                phases=[
                    _phase_step(phase.name, before[phase.number], change[phase.number], after[phase.number])
                    for phase in model.phases
                ],
            )
        )
        after, end_us = before, start_us
    return History(
        model=model.name,
        step=span.step,
        time_zone=time_zone,
        from_=rfc3339(span.starts[0] if span.starts else span.end_us),
        to=rfc3339(span.end_us),
        settled_until=instant(applied_watermark_us),
        history_from=instant(retention_cutoff_us),
        min_cell=min_cell,
        steps=steps[::-1],
        links={} if lists is None or min_cell is not None else _templates(lists),
    )


def _templates(lists: ListLinks) -> dict[str, str]:
    links: dict[str, str] = {}
    for end, moment in (("opening", "from"), ("closing", "to")):
        links[f"customers.{end}"] = lists.customers({}, f"as_of={{{moment}}}")
        links[f"unplaced.{end}"] = lists.customers({"phase": UNPLACED_NAME}, f"as_of={{{moment}}}")
        for number in ("now", "active", "lapsed"):
            links[f"{end}.{number}"] = lists.customers(STANDINGS[number], f"phase={{phase}}&as_of={{{moment}}}")
    for number, which in MOVES.items():
        phase = "from_phase" if number == "left" else "to_phase"
        links[number] = lists.moves(which, f"{phase}={{phase}}&from={{from}}&to={{to}}")
    return links


def _placed(model: Model, sums: Mapping[int, Sums]) -> int:
    """Number of customers in a phase."""
    return sum(sums[phase.number].now for phase in model.phases)


def _phase_step(phase: str, before: Sums, change: Sums, after: Sums) -> PhaseStep:
    return PhaseStep(
        phase=phase,
        opening=Standing(before.now, before.active, before.lapsed),
        entered=change.entered,
        left=change.left,
        lapsed=change.lapsed,
        returned=change.returned,
        closing=Standing(after.now, after.active, after.lapsed),
    )
