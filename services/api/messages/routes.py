"""What messages do."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.messages.answers import Messages, messages_answer
from services.api.messages.queries import Dimension, MessageQuestion, read_messages
from services.api.shared.context import Context
from services.api.shared.days import SpanParameters, read_days, require_conversions
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL

router = APIRouter(tags=["messages"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])


class MessagesParameters(SpanParameters):
    """Which messages, and how to divide them."""

    by: Dimension | None = Field(
        "campaign",
        description="campaign: of the event's context or its `campaign_name`; message: `email_id`, `message_id`, "
        "`template_id`, `notification_id` or `email_subject`",
    )


@router.get("/v1/messages", responses=problem_responses(400, 403, 409), summary="What messages do")
async def get_messages(
    context: Context, token: Token, parameters: Annotated[MessagesParameters, Query()]
) -> AnswerResponse[Messages]:
    """E-mails, push notifications and SMS of the span: sent, delivered, opened, clicked, bounced, unsubscribed, and
    what customers did after their first click."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "messages", token.workspace, parameters.model) as (connection, live):
        days, now_us = read_days(live, parameters)
        require_conversions(live)
        question = MessageQuestion(token.workspace, live.generation.id, live.model, days, customers, now_us)
        rows = await read_messages(connection, question, parameters.by)
    return AnswerResponse(messages_answer(live, days, parameters.by, rows))
