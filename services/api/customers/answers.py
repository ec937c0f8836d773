"""The answer of `/v1/customers`. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from services.api.customers.queries import CustomerRow
from services.api.journeys.answers import LapseName, entered_at, lapse_name, phase_name
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor, instant
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339


class Customer(Answer):
    """One customer of a list."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    phase: Annotated[str | None, Meta(description="null: unplaced", examples=["purchase"])]
    entered_at: Instant | None
    highest_phase: Annotated[str | None, Meta(description="of the lifetime", examples=["purchase"])]
    cycle: Annotated[int, Meta(examples=[1])]
    activity: Literal["active", "lapsed"]
    lapsed_at: Annotated[Instant | None, Meta(description="null: active")]
    lapse: Annotated[LapseName | None, Meta(description="null: active")]
    first_seen: Instant
    last_seen: Instant
    source: Annotated[str | None, Meta(description="of the first touchpoint", examples=["web"])]
    channel: Annotated[str, Meta(description="of the first touchpoint", examples=["email"])]


class Customers(Answer):
    """A page of customers, in a stable order."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[Customer]
    withheld: Annotated[
        bool,
        Meta(description="whether the workspace has a min_cell: the length of a list is a count", examples=[False]),
    ]
    next_cursor: NextCursor


def customer_answer(model: Model, row: CustomerRow, sources: Mapping[int, str]) -> Customer:
    """One customer. `sources`: names by id."""
    journey = row.journey
    return Customer(
        customer=row.id,
        phase=phase_name(model, journey.phase),
        entered_at=entered_at(journey),
        highest_phase=phase_name(model, journey.highest_phase),
        cycle=journey.cycle,
        activity="lapsed" if journey.lapsed_us else "active",
        lapsed_at=instant(journey.lapsed_us or None),
        lapse=lapse_name(journey),
        first_seen=rfc3339(journey.first_us),
        last_seen=rfc3339(journey.last_us),
        source=sources.get(journey.source),
        channel=journey.channel,
    )
