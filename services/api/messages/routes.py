"""What messages do."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.asked.queries import MAX_VALUE
from services.api.auth import Token
from services.api.messages.answers import Messages, Recipients, messages_answer, recipients_answer
from services.api.messages.queries import (
    Dimension,
    MessageQuestion,
    Number,
    RecipientPosition,
    list_recipients,
    read_messages,
)
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import SpanParameters, read_days, require_conversions
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, PageParameters
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.kit.clock import rfc3339

router = APIRouter(tags=["messages"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("w", RecipientPosition)


class MessagesParameters(SpanParameters):
    """Which messages, and how to divide them."""

    by: Dimension = Field(
        "campaign",
        description="campaign: of the event's context or its `campaign_name`; message: `email_id`, `message_id`, "
        "`template_id`, `notification_id` or `email_subject`",
    )


class RecipientsParameters(MessagesParameters, PageParameters):
    """Which number of messages."""

    number: Number = Field(
        "clicked",
        description="a stage; clicked_24h, clicked_7d: first clicks as long ago; advanced_24h, advanced_7d; or orders",
    )
    value: str | None = Field(
        None,
        pattern=TEXT,
        max_length=MAX_VALUE,
        description="of the row, also `(other)`; without it all messages are one row",
        examples=["spring"],
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
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    of_days = {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us), "by": parameters.by}

    def link(value: str, number: Number) -> str:
        return lists.path("/v1/messages/customers", {**of_days, "value": value, "number": number})

    return AnswerResponse(messages_answer(live, days, parameters.by, rows, link))


@router.get("/v1/messages/customers", responses=problem_responses(400, 403, 409), summary="Customers behind a number")
async def get_message_customers(
    context: Context, token: Token, parameters: Annotated[RecipientsParameters, Query()]
) -> AnswerResponse[Recipients]:
    """Exactly those whom messages count for the same parameters, in a stable order, each once."""
    after = cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "message_customers", token.workspace, parameters.model) as (connection, live):
        days, now_us = read_days(live, parameters)
        require_conversions(live)
        question = MessageQuestion(token.workspace, live.generation.id, live.model, days, customers, now_us)
        rows = await list_recipients(
            connection,
            question,
            parameters.number,
            parameters.by,
            parameters.value,
            after=after,
            count=parameters.limit + 1,
        )
    page, last = split_page(rows, parameters.limit)
    next_cursor = None if last is None else cursors.encode(last.position)
    return AnswerResponse(recipients_answer(live, parameters.number, page, next_cursor))
