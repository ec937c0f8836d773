"""The answer of `/v1/workspace`. Pure."""

from typing import Annotated

from msgspec import Meta

from services.api.shared.answers import Answer, HistoryFrom, MinCell, SettledUntil


class Workspace(Answer):
    """The workspace that the token opens."""

    name: Annotated[str, Meta(examples=["shop"])]
    time_zone: Annotated[str, Meta(description="in which hours and days begin", examples=["Europe/Berlin"])]
    default_model: Annotated[str, Meta(examples=["seven_phase"])]
    min_cell: MinCell
    settled_until: SettledUntil
    history_from: HistoryFrom
    ingest_url: Annotated[
        str | None,
        Meta(description="where browsers reach ingest; null: unknown", examples=["https://events.shop.example"]),
    ]
