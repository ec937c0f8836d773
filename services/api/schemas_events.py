"""The shapes of `/v1/events/recent` as OpenAPI shows them; see `schemas.py`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.api.schemas import RejectedCount

_AT = "2026-11-23T20:28:33.120001Z"


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Warning(_Shape):
    """Something about an event that was mended or left out."""

    code: str = Field(examples=["illegal_id"])
    explanation: str | None = Field(description="for people; null: a code that this version does not know")


class Refusal(_Shape):
    """Why an event was refused, and how it begins."""

    stage: str = Field(description="`ingest` or `stager`", examples=["ingest"])
    code: str = Field(examples=["missing_field"])
    field: str = Field(description="the field at fault; empty when it is none", examples=["event"])
    message: str = Field(examples=["a track call has to name its event"])
    payload: str = Field(description="as sent; its first 2,048 bytes", examples=['{"type":"track"}'])
    payload_encoding: str = Field(description="`utf-8`, or `base64` for what is no text", examples=["utf-8"])
    payload_bytes: int = Field(description="of all of it", examples=[16])


class RecentEvent(_Shape):
    """One of the last events; long names are cut. What is not known of a refused one is null."""

    id: str = Field(description="tells it from the others", examples=["1-3-4711"])
    received_at: str = Field(examples=[_AT])
    occurred_at: str | None = Field(examples=[_AT])
    source: str | None = Field(examples=["web"])
    verdict: Literal["ok", "warning", "rejected", "dropped"]
    call: str | None = Field(examples=["track"])
    name: str = Field(examples=["Order Completed"])
    actor: str | None = Field(description="the id it came under", examples=["user-1"])
    message_id: str = Field(examples=["ajs-next-1790000000000-6f0c"])
    channel: str | None = Field(examples=["email"])
    bot: bool | None = Field(description="kept out of every journey", examples=[False])
    warnings: list[Warning]
    refused: Refusal | None = Field(description="null: it was taken")


class RecentEvents(_Shape):
    """The last events, newest first, and how many were refused or dropped in the last hour or two."""

    as_of: str | None = Field(
        description="everything received before this instant is in; null before the first", examples=[_AT]
    )
    items: list[RecentEvent]
    counts: list[RejectedCount] = Field(description="refused or dropped since counts_since")
    counts_since: str = Field(description="the start of the hour before this one", examples=["2026-11-23T19:00:00Z"])
    sampled: bool = Field(description="whether more were refused since then than are kept", examples=[False])
