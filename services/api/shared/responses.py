"""What requests have in common, and how answers are encoded."""

from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api.phases.answers import Snapshot, names_same_state


class OfModel(BaseModel):
    """Under which phase model."""

    model_config = ConfigDict(extra="forbid")

    # PostgreSQL's text holds no NUL.
    model: str | None = Field(
        None,
        pattern=r"^[^\x00]*$",
        description="a live phase model; without it the workspace's default",
        examples=["six_stage"],
    )


class Page(OfModel):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="how many items at most")
    cursor: str | None = Field(None, description="the next_cursor of the page before")


def json_response(body: Any) -> Response:
    """200 with JSON that no cache may keep: it belongs to whoever holds the token."""
    return Response(msgspec.json.encode(body), media_type="application/json", headers={"Cache-Control": "no-store"})


def unless_seen(latest: Snapshot, if_none_match: str) -> Response:
    """The snapshot, or 304 to who has it already."""
    headers = {"ETag": latest.etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if if_none_match and names_same_state(if_none_match, latest.etag):
        return Response(status_code=304, headers=headers)
    return Response(latest.body, media_type="application/json", headers=headers)
