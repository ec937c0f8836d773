"""The shape of a touchpoint's attribution in the api's answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Device(_Shape):
    """What an event was sent from; what nothing tells is left out."""

    type: Literal["desktop", "mobile", "tablet", "tv", "console", "wearable"] | None = Field(None, examples=["mobile"])
    os: str | None = Field(None, examples=["iOS"])


class Attribution(_Shape):
    """Where an event came from and by what device; what nothing tells is left out."""

    source: str | None = Field(None, description="the campaign's, else what stands for it", examples=["google"])
    medium: str | None = Field(None, examples=["cpc"])
    campaign: str | None = Field(None, examples=["spring"])
    term: str | None = Field(None, examples=["running shoes"])
    content: str | None = Field(None, examples=["banner-b"])
    click_ids: dict[str, str] | None = Field(None, examples=[{"gclid": "Cj0KCQiA"}])
    referrer: str | None = Field(None, description="the other site's host", examples=["google.com"])
    referral_code: str | None = Field(None, examples=["ADA10"])
    device: Device | None = None
