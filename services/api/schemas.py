"""The shapes of the answers as OpenAPI shows them. Answers are encoded without these; a test compares both."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.api.schemas_attribution import Attribution

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


class Progress(_Shape):
    """How far a model is built."""

    fraction: float = Field(description="of all customers, 0 to 1", examples=[0.42])
    customers: int = Field(examples=[420])
    of_customers: int = Field(description="about how many there are", examples=[1000])
    touchpoints: int = Field(examples=[5400])


class ModelItem(_Shape):
    """A phase model of the workspace."""

    name: str = Field(examples=["seven_phase"])
    label: str = Field(examples=["Seven phases"])
    phases: int = Field(description="how many it has", examples=[7])
    state: Literal["live", "building"] = Field(description="building: not served yet")
    default: bool = Field(description="served to requests that name no model")
    created_at: str = Field(examples=[_AT])
    progress: Progress | None = Field(description="null: its journeys are whole")


class Models(_Shape):
    """The workspace's phase models, by name."""

    default: str = Field(examples=["seven_phase"])
    models: list[ModelItem]


class Phase(_Shape):
    """One phase of the workspace's model."""

    number: int = Field(description="its rank, from 1", examples=[4])
    name: str = Field(examples=["purchase"])
    label: str = Field(examples=["Purchase"])
    window_seconds: int = Field(description="how long a customer may be silent in it", examples=[7_776_000])
    touchpoints: list[str] = Field(description="touchpoint kinds that lead there", examples=[["order_completed"]])


class Phases(_Shape):
    """A phase model."""

    model: str = Field(examples=["seven_phase"])
    label: str = Field(examples=["Seven phases"])
    phases: list[Phase]


class PhaseCounts(_Shape):
    """One phase: now = active + lapsed, lapsed = abandoned + churned, entered = now + left."""

    phase: str = Field(examples=["purchase"])
    now: int = Field(examples=[120])
    active: int = Field(examples=[100])
    lapsed: int = Field(description="silent for longer than the phase's window", examples=[20])
    abandoned: int = Field(description="of the lapsed: without a purchase that stands", examples=[5])
    churned: int = Field(description="of the lapsed: after a purchase", examples=[15])
    entered: int = Field(examples=[150])
    left: int = Field(examples=[30])
    returned: int = Field(description="of entered: back after a lapse", examples=[10])


_SETTLED = "Watermark: what was received, and every lapse due, before this instant is in; null before the first"
_FROM = "facts that occurred before this instant are gone; null: none are"


class Counts(_Shape):
    """Where all customers stand."""

    model: str = Field(examples=["seven_phase"])
    as_of: str | None = Field(
        description="the instant they are true for: settled_until, or the step asked for", examples=[_AT]
    )
    settled_until: str | None = Field(description=_SETTLED, examples=[_AT])
    history_from: str | None = Field(description=_FROM, examples=[None])
    customers: int = Field(description="customers in a phase: the sum of now", examples=[120])
    unplaced: int = Field(description="customers whom no touchpoint has placed yet, not in customers", examples=[3])
    phases: list[PhaseCounts]


class Standing(_Shape):
    """Customers in a phase at one moment."""

    now: int = Field(examples=[120])
    active: int = Field(examples=[100])
    lapsed: int = Field(examples=[20])


class PhaseStep(_Shape):
    """One phase in one step: opening.now + entered = closing.now + left."""

    phase: str = Field(examples=["purchase"])
    opening: Standing
    entered: int = Field(examples=[7])
    left: int = Field(examples=[2])
    lapsed: int = Field(description="closing.lapsed - opening.lapsed", examples=[1])
    returned: int = Field(description="of entered: back after a lapse", examples=[1])
    closing: Standing


class Ends(_Shape):
    """A number at the start and at the end of a step."""

    opening: int = Field(examples=[120])
    closing: int = Field(examples=[125])


class HistoryStep(_Shape):
    """One step."""

    from_: str = Field(alias="from", examples=[_AT])
    to: str = Field(description="the next one begins here", examples=[_AT])
    customers: Ends
    unplaced: Ends
    phases: list[PhaseStep]


class History(_Shape):
    """How the counts came about, oldest step first; each closes as the next one opens."""

    model: str = Field(examples=["seven_phase"])
    step: Literal["minute", "hour", "day"]
    time_zone: str = Field(description="in which hours and days begin", examples=["Europe/Berlin"])
    from_: str = Field(alias="from", examples=[_AT])
    to: str = Field(examples=[_AT])
    settled_until: str | None = Field(description=_SETTLED, examples=[_AT])
    history_from: str | None = Field(description=_FROM, examples=[None])
    steps: list[HistoryStep]


class UnmappedSource(_Shape):
    """A name's volume from one source."""

    source: str | None = Field(examples=["web"])
    events: int = Field(examples=[1200])


class UnmappedEvent(_Shape):
    """An event name that the model's vocabulary does not know."""

    name: str = Field(examples=["Quiz Finished"])
    events: int = Field(examples=[1200])
    first_seen: str = Field(examples=[_AT])
    last_seen: str = Field(examples=[_AT])
    sources: list[UnmappedSource]


class Unmapped(_Shape):
    """A page of names, most frequent first."""

    model: str = Field(examples=["seven_phase"])
    items: list[UnmappedEvent]
    next_cursor: str | None = Field(examples=[None])


class RejectedCount(_Shape):
    """How many events of a source were refused for a reason."""

    source: str | None = Field(examples=["web"])
    stage: str = Field(description="`ingest` or `stager`; `consent`: dropped for want of it", examples=["ingest"])
    code: str = Field(examples=["missing_field"])
    name: str = Field(description="of dropped events whose source counts them by name; else empty", examples=[""])
    events: int = Field(examples=[1200])
    kept: int = Field(description="of these, kept whole when they came; for 30 days", examples=[100])


class RejectedEvent(_Shape):
    """A refused event."""

    id: int = Field(examples=[4711])
    received_at: str = Field(examples=[_AT])
    source: str | None = Field(examples=["web"])
    stage: str = Field(description="`ingest` or `stager`", examples=["ingest"])
    code: str = Field(examples=["missing_field"])
    field: str = Field(description="the field at fault; empty when it is none", examples=["event"])
    message: str = Field(examples=["a track call has to name its event"])
    name: str = Field(description="the event's, when it could be read", examples=["Product Viewed"])
    message_id: str = Field(description="likewise", examples=["6f5e"])
    payload: str = Field(description="as sent; its first 16,384 bytes", examples=['{"type":"track"}'])
    payload_encoding: str = Field(description="`utf-8`, or `base64` for what is no text", examples=["utf-8"])
    payload_bytes: int = Field(description="of all of it", examples=[16])
    origin: str | None = Field(description="topic/partition/offset of a record that stager refused", examples=[None])
    request: str | None = Field(description="method and path of the request it came in", examples=["POST /v1/batch"])
    record: str | None = Field(description="what `throughline rejected show` takes", examples=["0/12"])


class RejectedEvents(_Shape):
    """A page of refused events, newest first, and how many there were."""

    counts: list[RejectedCount]
    sampled: bool = Field(description="whether more were refused than are kept", examples=[False])
    items: list[RejectedEvent]
    next_cursor: str | None = Field(examples=[None])


class Stay(_Shape):
    """The customer's time in one phase."""

    phase: str = Field(examples=["consideration"])
    cycle: int = Field(examples=[1])
    entered_at: str = Field(examples=[_AT])
    lapsed_at: str | None = Field(description="since when the customer was silent in it", examples=[None])
    left_at: str | None = Field(examples=[_AT])
    seconds: float = Field(description="the open one counts to as_of", examples=[86400.5])


class Transition(_Shape):
    """One move, with the touchpoint and the rule that caused it."""

    at: str = Field(examples=[_AT])
    kind: Literal["enter", "return", "lapse"] = Field(description="return: into a new cycle; lapse: fallen silent")
    from_: str | None = Field(alias="from", description="null: not in a phase before", examples=["discovery"])
    to: str | None = Field(description="a lapse stays in its phase", examples=["decision"])
    skipped: list[str] = Field(description="phases passed over", examples=[["consideration"]])
    cycle: int = Field(description="the one it leads into; of a lapse the one it ends", examples=[1])
    message_id: str | None = Field(description="null: a lapse by the clock", examples=["ajs-next-1790000000000-6f0c"])
    actor: str | None = Field(description="the id the touchpoint came under", examples=["user-1"])
    name: str | None = Field(description="the touchpoint's event name", examples=["Product Viewed"])
    rule: str = Field(description="the model's rule; of a lapse abandoned or churned", examples=["product_viewed"])


class Activity(_Shape):
    """Whether the customer is active."""

    state: Literal["active", "lapsed"]
    since: str = Field(description="the lapse, or the start of the cycle", examples=[_AT])
    lapse: Literal["abandoned", "churned"] | None = Field(description="null: active")
    recovered: bool = Field(description="active again after a lapse")
    lapses_at: str | None = Field(description="unless the customer does something before; null: never", examples=[_AT])


class LinkedId(_Shape):
    """An id that belongs to the customer, and the event that linked it."""

    id: str = Field(examples=["4c1f"])
    owner: str | None = Field(description="the id it was linked to", examples=["user-1"])
    since: str | None = Field(examples=[_AT])
    message_id: str | None = Field(examples=["ajs-next-1790000000000-6f0c"])
    by: Literal["identify", "alias"] = Field(description="identify: one event carried both ids")


class Cycle(_Shape):
    """From the first touchpoint or a return to a lapse."""

    cycle: int = Field(examples=[1])
    started_at: str = Field(examples=[_AT])
    lapsed_at: str | None = Field(description="null: it goes on", examples=[None])
    lapse: Literal["abandoned", "churned"] | None
    phases: list[str] = Field(description="entered in it, in order", examples=[["discovery", "decision"]])


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
    bot: bool = Field(description="kept out of every journey", examples=[False])
    attribution: Attribution | None = Field(description="null: nothing is known")
    properties: dict[str, Any] = Field(description="its properties or traits, as sent", examples=[{"color": "green"}])
    rest: Any = Field(description="everything else of the event, as sent", examples=[{"context": {"locale": "de-DE"}}])


class Touchpoints(_Shape):
    """A page of touchpoints, newest first."""

    items: list[Touchpoint]
    next_cursor: str | None = Field(description="the next page's cursor; null on the last", examples=[None])


class Journey(_Shape):
    """One customer's journey under one model."""

    customer: str = Field(description="the id that the one asked for belongs to", examples=["user-1"])
    model: str = Field(examples=["seven_phase"])
    as_of: str | None = Field(description=_SETTLED, examples=[_AT])
    history_from: str | None = Field(description=_FROM, examples=[None])
    phase: str | None = Field(description="null: unplaced", examples=["purchase"])
    entered_at: str | None = Field(examples=[_AT])
    highest_phase: str | None = Field(description="of the lifetime", examples=["purchase"])
    cycle: int = Field(description="from 1; a return after a lapse opens the next", examples=[1])
    activity: Activity
    why: Transition | None = Field(description="the move into the present phase; null: unplaced")
    first_seen: str = Field(examples=[_AT])
    last_seen: str = Field(examples=[_AT])
    ids: list[LinkedId] = Field(description="the first 1000, by when they were linked")
    ids_total: int = Field(examples=[1])
    cycles: list[Cycle]
    phases: list[Stay]
    transitions: list[Transition]
    touchpoints: Touchpoints


class Customer(_Shape):
    """One customer of a list."""

    customer: str = Field(examples=["user-1"])
    phase: str | None = Field(description="null: unplaced", examples=["purchase"])
    entered_at: str | None = Field(examples=[_AT])
    highest_phase: str | None = Field(examples=["purchase"])
    cycle: int = Field(examples=[1])
    activity: Literal["active", "lapsed"]
    lapsed_at: str | None = Field(examples=[None])
    lapse: Literal["abandoned", "churned"] | None
    first_seen: str = Field(examples=[_AT])
    last_seen: str = Field(examples=[_AT])
    source: str | None = Field(description="of the first touchpoint", examples=["web"])
    channel: str = Field(description="of the first touchpoint", examples=["email"])


class Customers(_Shape):
    """A page of customers, in a stable order."""

    model: str = Field(examples=["seven_phase"])
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
