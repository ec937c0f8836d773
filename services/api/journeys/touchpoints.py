"""The touchpoints in a journey's answer, as they were sent. Pure."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.api.journeys.queries import TouchpointRow
from services.api.shared.answers import Answer, Instant, NextCursor
from throughline.kit.clock import rfc3339


class Device(Answer, omit_defaults=True, forbid_unknown_fields=False):
    """What an event was sent from; what nothing tells is left out."""

    type: Annotated[
        Literal["desktop", "mobile", "tablet", "tv", "console", "wearable"] | None, Meta(examples=["mobile"])
    ] = None
    os: Annotated[str | None, Meta(examples=["iOS"])] = None


class Attribution(Answer, omit_defaults=True, forbid_unknown_fields=False):
    """Where an event came from and by what device; what nothing tells is left out."""

    source: Annotated[str | None, Meta(description="the campaign's, else what stands for it", examples=["google"])] = (
        None
    )
    medium: Annotated[str | None, Meta(examples=["cpc"])] = None
    campaign: Annotated[str | None, Meta(examples=["spring"])] = None
    term: Annotated[str | None, Meta(examples=["running shoes"])] = None
    content: Annotated[str | None, Meta(examples=["banner-b"])] = None
    click_ids: Annotated[dict[str, str] | None, Meta(examples=[{"gclid": "Cj0KCQiA"}])] = None
    referrer: Annotated[str | None, Meta(description="the other site's host", examples=["google.com"])] = None
    referral_code: Annotated[str | None, Meta(examples=["ADA10"])] = None
    device: Device | None = None


class Touchpoint(Answer):
    """One event as it was sent; null where it sent nothing."""

    message_id: Annotated[str, Meta(examples=["ajs-next-1790000000000-6f0c"])]
    call: Annotated[str, Meta(examples=["track"])]
    name: Annotated[str, Meta(examples=["Order Completed"])]
    occurred_at: Instant
    received_at: Instant
    source: Annotated[str | None, Meta(examples=["web"])]
    channel: Annotated[str, Meta(examples=["email"])]
    user_id: Annotated[str | None, Meta(examples=["user-1"])]
    anonymous_id: Annotated[str | None, Meta(examples=["4c1f"])]
    previous_id: Annotated[str | None, Meta(examples=[None])]
    order_id: Annotated[str | None, Meta(examples=["1042"])]
    value: Annotated[float | None, Meta(examples=[59.9])]
    currency: Annotated[str | None, Meta(examples=["EUR"])]
    rating: Annotated[float | None, Meta(examples=[None])]
    score: Annotated[float | None, Meta(examples=[None])]
    product_id: Annotated[str | None, Meta(examples=[None])]
    quantity: Annotated[float | None, Meta(examples=[None])]
    bot: Annotated[bool, Meta(description="kept out of every journey", examples=[False])]
    attribution: Annotated[Attribution | None, Meta(description="null: nothing is known")]
    properties: Annotated[
        msgspec.Raw,
        Meta(
            description="its properties or traits, as sent",
            examples=[{"color": "green"}],
            extra_json_schema={"type": "object", "additionalProperties": True},
        ),
    ]
    rest: Annotated[
        msgspec.Raw,
        Meta(
            description="everything else of the event, as sent; a text when it is no JSON object",
            examples=[{"context": {"locale": "de-DE"}}],
            extra_json_schema={"type": ["object", "string"]},
        ),
    ]


class Touchpoints(Answer):
    """A page of touchpoints, newest first."""

    items: list[Touchpoint]
    next_cursor: NextCursor


def touchpoint_answer(row: TouchpointRow, sources: Mapping[int, str]) -> Touchpoint:
    """One touchpoint. `sources`: names by id."""
    properties, rest = as_sent(row.rest)
    return Touchpoint(
        message_id=row.message_id,
        call=row.call,
        name=row.name,
        occurred_at=rfc3339(row.occurred_us),
        received_at=rfc3339(row.received_us),
        source=sources.get(row.source),
        channel=row.channel,
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        previous_id=row.previous_id,
        order_id=row.order_id,
        value=row.value,
        currency=row.currency,
        rating=row.rating,
        score=row.score,
        product_id=row.product_id,
        quantity=row.quantity,
        bot=row.bot,
        attribution=_attribution(row.attribution),
        properties=properties,
        rest=rest,
    )


def _attribution(facts: str | None) -> Attribution | None:
    """The facts that ingest stored; None for none, and for what ingest would not have stored."""
    try:
        return msgspec.json.decode(facts, type=Attribution) if facts else None
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def as_sent(rest: str) -> tuple[msgspec.Raw, msgspec.Raw]:
    """The event's properties (an identify's traits), and everything else of it that has no column.

    The JSON is not parsed, because parsing would change large numbers and repeated keys. What is no sound JSON object
    comes whole, as a JSON string beside empty properties.
    """
    try:
        members = msgspec.json.decode(rest, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return msgspec.Raw(b"{}"), msgspec.Raw(msgspec.json.encode(rest))
    name = "properties" if "properties" in members else "traits"
    properties = members.pop(name, msgspec.Raw(b"{}"))
    return properties, msgspec.Raw(msgspec.json.encode(members))
