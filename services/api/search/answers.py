"""The answer of `/v1/customers/search`. Pure."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from services.api.journeys.answers import phase_name
from services.api.search.queries import CustomerRow
from services.api.shared.answers import Answer, Instant, ModelName
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339


class Suggestion(Answer):
    """A customer with an id that begins as typed."""

    customer: Annotated[str, Meta(description="the customer's own id", examples=["ada"])]
    id: Annotated[str, Meta(description="the first of its ids that begins so", examples=["Ada@shop.example"])]
    phase: Annotated[str | None, Meta(description="null: unplaced", examples=["purchase"])]
    activity: Literal["active", "lapsed"]
    last_seen: Instant


class Suggestions(Answer):
    """The first customers, in the order of the ids that begin so: an id that is the text itself comes first."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[Suggestion]
    has_more: Annotated[bool, Meta(description="whether further customers may have such an id", examples=[False])]


def suggestion(model: Model, row: CustomerRow, matched: str) -> Suggestion:
    """One customer."""
    return Suggestion(
        customer=row.id,
        id=matched,
        phase=phase_name(model, row.phase),
        activity="lapsed" if row.lapsed_us else "active",
        last_seen=rfc3339(row.last_us),
    )
