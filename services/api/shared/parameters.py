"""Query parameters that several features take, and how an instant among them is read."""

from datetime import datetime
from re import compile as pattern
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from throughline.journey.durations import DAY_US
from throughline.kit.clock import MAX_US, MIN_US, to_us
from throughline.kit.errors import ServiceError

EXAMPLE_INSTANT = "2026-11-23T20:28:00Z"
TEXT = r"^[^\x00]*$"
"""Any text without NUL, which PostgreSQL's text cannot hold."""

MAX_NAME = 512
"""Maximum number of characters of a model, a source or a channel: answers are cached by them."""

MAX_VALUES = 50
"""Maximum number of values of a parameter that may be repeated."""

InstantText = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=[EXAMPLE_INSTANT])]
"""RFC 3339, read by `parse_instant`."""
Name = Annotated[str, Field(pattern=TEXT, max_length=MAX_NAME)]
Limit = Annotated[int, Field(ge=1, le=200, description="Maximum number of items")]

# Days before and after these cannot be told in every zone. Nothing happened there.
_FIRST_US, _LAST_US = MIN_US + 3 * DAY_US, MAX_US - 3 * DAY_US

# A + of a zone offset that was not escaped in a query string arrives as a space.
_BARE_PLUS = pattern(r" (?=\d\d:\d\d$)")


class Parameters(BaseModel):
    """The query parameters of one endpoint; any other parameter is refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid")


class ModelParameters(Parameters):
    """Which phase model."""

    model: str | None = Field(
        None,
        pattern=TEXT,
        max_length=MAX_NAME,
        description="a live phase model; without it the workspace's default model",
        examples=["six_stage"],
    )


class CustomerParameters(ModelParameters):
    """Which customers to count, under which phase model."""

    source: list[Name] = Field(
        [],
        max_length=MAX_VALUES,
        description="only customers whose first touchpoint came through this source; repeated: any of these",
    )
    channel: list[Name] = Field(
        [],
        max_length=MAX_VALUES,
        description="only customers whose first touchpoint came through this channel, or `(other)`; repeated: any of "
        "these",
    )


class PageParameters(Parameters):
    """Which page of a list."""

    limit: Limit = 50
    cursor: str | None = Field(None, description="`next_cursor` of the page before; without it the first page")


class NamesParameters(PageParameters):
    """Which page of a list of names: a list of usual length is one page."""

    limit: Limit = 200


class ModelPageParameters(ModelParameters, PageParameters):
    """Which page of a list under which phase model."""


def parse_instant(text: str, field: str) -> int:
    """Microseconds since the epoch of an RFC 3339 instant with a zone.

    Raises:
        ServiceError: 400 `invalid_parameter`, which names `field`.
    """
    try:
        upper = text.upper()
        parsed = datetime.fromisoformat(_BARE_PLUS.sub("+", upper, count=1) if "T" in upper else upper)
        if parsed.tzinfo is None:
            raise ValueError
        return max(_FIRST_US, min(_LAST_US, to_us(parsed)))
    except (ValueError, OverflowError):
        raise ServiceError(
            400,
            "invalid_parameter",
            f"{field}: {text[:100]!r} is not an RFC 3339 instant with a zone, such as {EXAMPLE_INSTANT}",
            field=field,
        ) from None


def parse_optional_instant(text: str | None, field: str) -> int | None:
    """As `parse_instant`; None when the parameter was left out."""
    return None if text is None else parse_instant(text, field)
