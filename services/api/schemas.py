"""The shapes of the answers as OpenAPI shows them. Answers are encoded without these; a test compares both."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_AT = "2026-11-23T20:28:33.120001Z"


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Shape):
    """An error: problem details (RFC 9457) with a stable code."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Bad request"])
    status: int = Field(examples=[400])
    code: str = Field(description="stable, for programs", examples=["unknown_phase"])
    message: str = Field(description="for people: the fault and the fix")
    detail: str = Field(description="the same as message")
    field: str | None = Field(None, description="the parameter at fault", examples=["phase"])


class Phase(_Shape):
    """One phase of the workspace's model."""

    number: int = Field(description="its rank, from 1", examples=[4])
    name: str = Field(examples=["purchase"])
    label: str = Field(examples=["Purchase"])
    window_seconds: int = Field(description="how long a customer may be silent in it", examples=[7_776_000])
    touchpoints: list[str] = Field(description="touchpoint kinds that lead there", examples=[["order"]])


class Phases(_Shape):
    """The workspace's phase model."""

    model: str = Field(examples=["seven_phase"])
    phases: list[Phase]


class PhaseCounts(_Shape):
    """One phase: now = active + lapsed, entered = now + left."""

    phase: str = Field(examples=["purchase"])
    now: int = Field(examples=[120])
    active: int = Field(examples=[100])
    lapsed: int = Field(examples=[20])
    entered: int = Field(examples=[150])
    left: int = Field(examples=[30])


class Counts(_Shape):
    """Where all customers stand."""

    model: str = Field(examples=["seven_phase"])
    as_of: str | None = Field(
        description="everything received before this instant is in the counts; null before the first", examples=[_AT]
    )
    customers: int = Field(description="customers in a phase: the sum of now", examples=[120])
    unplaced: int = Field(description="customers whom no touchpoint has placed yet, not in customers", examples=[3])
    phases: list[PhaseCounts]


class Stay(_Shape):
    """The customer's time in one phase."""

    phase: str = Field(examples=["consideration"])
    entered_at: str = Field(examples=[_AT])
    left_at: str | None = Field(examples=[_AT])
    seconds: float = Field(description="the open one counts to as_of", examples=[86400.5])


class Transition(_Shape):
    """One move, with the touchpoint and the rule that caused it."""

    at: str = Field(examples=[_AT])
    from_: str | None = Field(alias="from", description="null: not in a phase before", examples=["discovery"])
    to: str | None = Field(examples=["consideration"])
    cycle: int = Field(examples=[1])
    message_id: str = Field(examples=["ajs-next-1790000000000-6f0c"])
    name: str = Field(examples=["Product Viewed"])
    rule: str = Field(examples=["browse"])


class Touchpoint(_Shape):
    """One event as it was sent; null where it sent nothing."""

    message_id: str = Field(examples=["ajs-next-1790000000000-6f0c"])
    call: str = Field(examples=["track"])
    name: str = Field(examples=["Order Completed"])
    occurred_at: str = Field(examples=[_AT])
    received_at: str = Field(examples=[_AT])
    source: str | None = Field(examples=["web"])
    channel: str = Field(examples=["email"])
    user_id: str | None = Field(examples=["user-1"])
    anonymous_id: str | None = Field(examples=["4c1f"])
    previous_id: str | None = Field(examples=[None])
    order_id: str | None = Field(examples=["1042"])
    value: float | None = Field(examples=[59.9])
    currency: str | None = Field(examples=["EUR"])
    rating: float | None = Field(examples=[None])
    score: float | None = Field(examples=[None])
    product_id: str | None = Field(examples=[None])
    quantity: float | None = Field(examples=[None])
    properties: dict[str, Any] = Field(description="its properties or traits, as sent", examples=[{"color": "green"}])
    rest: Any = Field(description="everything else of the event, as sent", examples=[{"context": {"locale": "de-DE"}}])


class Touchpoints(_Shape):
    """A page of touchpoints, newest first."""

    items: list[Touchpoint]
    next_cursor: str | None = Field(description="the next page's cursor; null on the last", examples=[None])


class Journey(_Shape):
    """One customer's journey."""

    customer: str = Field(examples=["user-1"])
    as_of: str | None = Field(examples=[_AT])
    phase: str | None = Field(description="null: unplaced", examples=["purchase"])
    entered_at: str | None = Field(examples=[_AT])
    highest_phase: str | None = Field(examples=["purchase"])
    first_seen: str = Field(examples=[_AT])
    last_seen: str = Field(examples=[_AT])
    phases: list[Stay]
    transitions: list[Transition]
    touchpoints: Touchpoints


class Customer(_Shape):
    """One customer of a list."""

    customer: str = Field(examples=["user-1"])
    phase: str | None = Field(description="null: unplaced", examples=["purchase"])
    entered_at: str | None = Field(examples=[_AT])
    first_seen: str = Field(examples=[_AT])
    last_seen: str = Field(examples=[_AT])
    highest_phase: str | None = Field(examples=["purchase"])
    source: str | None = Field(description="of the first touchpoint", examples=["web"])
    channel: str = Field(description="of the first touchpoint", examples=["email"])


class Customers(_Shape):
    """A page of customers, in a stable order."""

    items: list[Customer]
    next_cursor: str | None = Field(examples=[None])


class SourceItem(_Shape):
    """A source of the workspace."""

    name: str = Field(examples=["web"])
    enabled: bool = Field(examples=[True])


class Sources(_Shape):
    """The values of the source filter."""

    sources: list[SourceItem]


class Channels(_Shape):
    """The values of the channel filter."""

    channels: list[str] = Field(examples=[["direct", "email"]])


_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the problems it answers with, beside 401 and 503."""
    said = {
        400: "a parameter is wrong; `field` names it",
        401: "no read token, or an unknown or revoked one",
        404: "no such customer in this workspace",
        503: "the database is away, or the service is full; see Retry-After",
    }
    return {status: {"description": said[status], **_PROBLEM} for status in sorted({401, 503, *statuses})}
