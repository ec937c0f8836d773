"""The answers of `/v1/moves` and `/v1/variants/cycles`. Pure."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from services.api.flows.answers import OUTCOMES, Outcome
from services.api.moves.queries import CycleRow, Move
from services.api.shared.answers import (
    Answer,
    Instant,
    ModelName,
    NextCursor,
    SettledUntil,
    Total,
    TotalIsExact,
    instant,
)
from throughline.journey.model import UNPLACED, Model
from throughline.journey.state import ENTER, LAPSE, RETURN
from throughline.kit.clock import rfc3339

MoveKind = Literal["enter", "return", "lapse"]
KINDS: dict[int, MoveKind] = {ENTER: "enter", RETURN: "return", LAPSE: "lapse"}


class MoveItem(Answer):
    """One move of a customer."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    at: Instant
    kind: Annotated[MoveKind, Meta(description="return: into a new cycle; lapse: fallen silent")]
    from_: Annotated[str | None, Meta(description="null: unplaced before", examples=["discovery"])] = msgspec.field(
        name="from"
    )
    to: Annotated[str, Meta(description="a lapse stays in its phase", examples=["decision"])]
    cycle: Annotated[int, Meta(description="the cycle it leads into; of a lapse the cycle it ends", examples=[1])]
    event: Annotated[str | None, Meta(description="the event's name; null: a silence", examples=["Product Added"])]
    rule: Annotated[
        str, Meta(description="the model's rule; of a lapse abandoned or churned", examples=["product_viewed"])
    ]


class Moves(Answer):
    """A page of moves, by customer, and of each in their order."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    settled_until: SettledUntil
    total: Total
    total_is_exact: TotalIsExact
    items: list[MoveItem]
    next_cursor: NextCursor


class CycleItem(Answer):
    """One cycle of a customer."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    cycle: Annotated[int, Meta(examples=[1])]
    began_at: Instant
    phases: Annotated[list[str], Meta(description="entered, in their order", examples=[["discovery", "decision"]])]
    outcome: Outcome
    ended_at: Annotated[Instant | None, Meta(description="null: open")]


class Cycles(Answer):
    """A page of cycles, by customer, and of each in their order."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    settled_until: SettledUntil
    total: Total
    total_is_exact: TotalIsExact
    items: list[CycleItem]
    next_cursor: NextCursor


def move_item(model: Model, move: Move) -> MoveItem:
    """One move."""
    transition = move.transition
    return MoveItem(
        customer=move.id,
        at=rfc3339(transition.at_us),
        kind=KINDS[transition.kind],
        from_=None if transition.from_phase == UNPLACED else model.phases[transition.from_phase - 1].name,
        to=model.phases[transition.to_phase - 1].name,
        cycle=transition.cycle,
        event=transition.name or None,
        rule=transition.rule,
    )


def cycle_item(model: Model, row: CycleRow) -> CycleItem:
    """One cycle."""
    return CycleItem(
        customer=row.id,
        cycle=row.cycle,
        began_at=rfc3339(row.began_us),
        phases=[phase.name for phase in model.phases if row.phases & 1 << (phase.number - 1)],
        outcome=OUTCOMES[row.outcome],
        ended_at=instant(row.ended_us),
    )
