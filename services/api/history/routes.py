"""The history of the counts, step by step."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated
from services.api.history.answers import history_body, span
from services.api.history.queries import past_counts
from services.api.phases.routes import CountsFilter
from services.api.shared.responses import json_response
from services.api.shared.steps import MOST_STEPS, USUAL_STEPS, parse_instant

router = APIRouter(tags=["phases"])

_AT = "2026-11-23T20:28:00Z"


class HistoryFilter(CountsFilter):
    """Which customers, when, and in which steps."""

    from_: str | None = Field(
        None,
        alias="from",
        description=f"the first step is the one this instant (RFC 3339) lies in; {USUAL_STEPS} steps without it",
        examples=[_AT],
    )
    to: str | None = Field(
        None, description="steps that begin before this instant; without it up to settled_until", examples=[_AT]
    )
    step: Literal["minute", "hour", "day"] = Field(
        "hour",
        description=f"minutes are kept for two days, hours for 90, days for ever; at most {MOST_STEPS} steps",
    )


@router.get(
    "/v1/phases/history",
    response_model=schemas.History,
    responses=schemas.responses(400),
    summary="How the counts came about",
)
async def get_history(readers: AllReaders, reader: Authenticated, which: Annotated[HistoryFilter, Query()]) -> Response:
    """Per step and phase: what stood at its start, what changed, what stood at its end.
    `opening.now + entered = closing.now + left` holds in each. The past is what is known of it now."""
    from_us = None if which.from_ is None else parse_instant(which.from_, "from")
    to_us = None if which.to is None else parse_instant(which.to, "to")
    source = await readers.source_id(reader.workspace, which.source)
    async with readers.reading("history", reader.workspace, which.model) as (connection, applied):
        workspace, zone = applied.workspace, applied.zone
        steps = span(
            which.step,
            from_us,
            to_us,
            applied_watermark_us=workspace.applied_watermark_us or 0,
            latest_watermark_us=workspace.latest_watermark_us,
            zone=zone,
        )
        past = await past_counts(
            connection,
            applied.id,
            readers.topic,
            source,
            which.channel,
            later=steps.later(zone),
            inside=steps.inside,
        )
    return json_response(
        history_body(
            applied.model,
            steps,
            closing=past.closing,
            changes=past.changes,
            applied_watermark_us=past.applied_watermark_us,
            retention_cutoff_us=workspace.retention_cutoff_us,
            zone_name=workspace.time_zone,
        )
    )
