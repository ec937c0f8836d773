"""The history of the counts, step by step."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.history.answers import History, history_answer
from services.api.history.queries import read_past_counts
from services.api.history.span import find_span
from services.api.shared.context import Context
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import CustomerParameters, InstantText, parse_optional_instant
from services.api.shared.responses import AnswerResponse
from services.api.shared.steps import DEFAULT_STEPS, MAX_PHASE_STEPS, MAX_STEPS
from services.api.shared.workspace import customer_filter, min_cell_of, reading_model
from throughline.journey.rollup import Step

router = APIRouter(tags=["phases"], route_class=AnswerRoute)


class HistoryParameters(CustomerParameters):
    """Which customers, when, and in which steps."""

    from_: InstantText | None = Field(
        None,
        alias="from",
        description="the first step is the one that holds this instant (RFC 3339); without it there are "
        f"{DEFAULT_STEPS} steps",
    )
    to: InstantText | None = Field(
        None,
        description="steps that begin before this instant; without it up to settled_until",
    )
    step: Step = Field(
        "hour",
        description=f"minutes are kept for two days, hours for 90, days for ever; at most {MAX_STEPS} steps, "
        f"and {MAX_PHASE_STEPS:,} phases in all steps together",
    )


@router.get("/v1/phases/history", responses=problem_responses(400, 403), summary="How the counts came about")
async def get_history(
    context: Context, token: Token, parameters: Annotated[HistoryParameters, Query()]
) -> AnswerResponse[History]:
    """Per step and phase: what stood at its start, what changed, what stood at its end.
    `opening.now + entered = closing.now + left` holds in each. The past is what is known of it now."""
    from_us = parse_optional_instant(parameters.from_, "from")
    to_us = parse_optional_instant(parameters.to, "to")
    customers = await customer_filter(context, token.workspace, parameters)
    min_cell = await min_cell_of(context, token.workspace, parameters.model)
    async with reading_model(context, "history", token.workspace, parameters.model) as (connection, live):
        workspace = live.workspace
        span = find_span(
            parameters.step,
            from_us,
            to_us,
            applied_watermark_us=workspace.applied_watermark_us or 0,
            latest_watermark_us=workspace.latest_watermark_us,
            zone=live.zone,
            max_steps=min(MAX_STEPS, MAX_PHASE_STEPS // len(live.model.phases)),
        )
        past = await read_past_counts(
            connection,
            live.generation.id,
            context.topic,
            customers,
            later=span.later(live.zone),
            inside=span.inside,
            min_cell=min_cell,
            starts=span.starts,
        )
        # Thousands of steps take long: in a thread, so that the event loop goes on, and within the workspace's share of
        # the database, so that no workspace has more than a few answers in the making.
        return await asyncio.to_thread(
            lambda: AnswerResponse(
                history_answer(
                    live.model,
                    span,
                    closing=past.closing,
                    changes=past.changes,
                    applied_watermark_us=past.applied_watermark_us,
                    retention_cutoff_us=workspace.retention_cutoff_us,
                    time_zone=workspace.time_zone,
                    min_cell=min_cell,
                    lists=ListLinks(live.model.name, parameters.source, parameters.channel),
                )
            )
        )
