"""What requests have in common, and how answers are encoded."""

from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response


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
