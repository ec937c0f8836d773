"""The answer of `/v1/customers`. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from services.api.customers.queries import CustomerRow
from services.api.journeys.answers import LapseName, entered_at, lapse_name, phase_name
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
from throughline.journey.lapse import NEVER, due_us
from throughline.journey.model import Model
from throughline.kit.clock import MAX_US, rfc3339


class Customer(Answer):
    """One customer of a list."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    phase: Annotated[str | None, Meta(description="null: unplaced", examples=["purchase"])]
    entered_at: Annotated[
        Instant | None,
        Meta(description="when it entered the phase; null: unplaced, or lapsed at the past instant asked for"),
    ]
    highest_phase: Annotated[str | None, Meta(description="of the lifetime", examples=["purchase"])]
    cycle: Annotated[int, Meta(examples=[1])]
    activity: Literal["active", "lapsed"]
    lapsed_at: Annotated[Instant | None, Meta(description="null: active")]
    lapse: Annotated[LapseName | None, Meta(description="null: active")]
    lapses_at: Annotated[
        Instant | None,
        Meta(description="when it lapses unless it does something before; null: never, or a past instant is asked for"),
    ]
    orders: Annotated[int, Meta(description="that stand", examples=[2])]
    first_seen: Instant
    last_seen: Instant
    source: Annotated[str | None, Meta(description="of the first touchpoint", examples=["web"])]
    channel: Annotated[str, Meta(description="of the first touchpoint", examples=["email"])]


class Customers(Answer):
    """A page of customers, in a stable order."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    as_of: Annotated[Instant | None, Meta(description="the past instant at which they stood so; null: they do now")]
    settled_until: SettledUntil
    total: Total
    total_is_exact: TotalIsExact
    items: list[Customer]
    next_cursor: NextCursor


def customer_answer(model: Model, row: CustomerRow, sources: Mapping[int, str], *, is_past: bool) -> Customer:
    """One customer.

    Args:
        model: whose phases.
        row: the customer.
        sources: names by id.
        is_past: whether it stood so at a past instant.
    """
    journey = row.journey
    lapses_us = NEVER if is_past else due_us(model, journey)
    return Customer(
        customer=row.id,
        phase=phase_name(model, journey.phase),
        entered_at=None if is_past and journey.lapsed_us else entered_at(journey),
        highest_phase=phase_name(model, journey.highest_phase),
        cycle=journey.cycle,
        activity="lapsed" if journey.lapsed_us else "active",
        lapsed_at=instant(journey.lapsed_us or None),
        lapse=lapse_name(journey),
        lapses_at=None if lapses_us > MAX_US else rfc3339(lapses_us),
        orders=row.orders,
        first_seen=rfc3339(journey.first_us),
        last_seen=rfc3339(journey.last_us),
        source=sources.get(journey.source),
        channel=journey.channel,
    )
