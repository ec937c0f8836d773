"""The answer of messages. Pure."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from services.api.funnel.answers import Share, share
from services.api.messages.queries import After, Dimension, MessageRow, StageCount
from services.api.shared.answers import Answer
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.money import OrderMoney, order_money
from services.api.shared.workspace import LiveModel
from throughline.analytics.intervals import wilson


class MessageCount(Answer):
    """How often something was done. Unique in two ways: a customer once, and a customer once for each of its cycles."""

    events: Annotated[int, Meta(examples=[120])]
    customers: Annotated[int, Meta(examples=[100])]
    cycles: Annotated[int, Meta(examples=[104])]


class OpenedCount(MessageCount):
    """How often messages were opened."""

    inflated: Annotated[bool, Meta(description="always true: proxies of mail programs open messages that nobody reads")]


class AdvancedCount(Answer):
    """Customers who came to a further phase after their first click of the row, and not by the click itself."""

    clicked: Annotated[int, Meta(description="customers whose first click is as long ago", examples=[90])]
    advanced: Annotated[int, Meta(examples=[31])]
    rate: Share | None


class MessageItem(Answer):
    """What became of some messages."""

    value: Annotated[str, Meta(description="`(none)`: they name none; `(other)`: all further values together")]
    sent: MessageCount
    delivered: MessageCount
    opened: OpenedCount
    clicked: MessageCount
    bounced: MessageCount
    unsubscribed: MessageCount
    advanced_24h: AdvancedCount
    advanced_7d: AdvancedCount
    orders: Annotated[list[OrderMoney], Meta(description="went with a click; attribution says what else did")]


class Messages(OfDays):
    """Messages of the span. An order may follow clicks of two rows, so that rows have no sum of orders."""

    TABLE: ClassVar[str] = "items"

    by: Annotated[Dimension | None, Meta(examples=["campaign"])]
    items: list[MessageItem]


def messages_answer(live: LiveModel, days: Days, by: Dimension | None, rows: Sequence[MessageRow]) -> Messages:
    """All rows."""
    return Messages(
        **of_days(live, days),
        by=by,
        items=[_item(row) for row in rows],
    )


def _item(row: MessageRow) -> MessageItem:
    stages = row.stages
    return MessageItem(
        value=row.value,
        sent=_count(stages["sent"]),
        delivered=_count(stages["delivered"]),
        opened=OpenedCount(*stages["opened"], inflated=True),
        clicked=_count(stages["clicked"]),
        bounced=_count(stages["bounced"]),
        unsubscribed=_count(stages["unsubscribed"]),
        advanced_24h=_advanced(row.after[0]),
        advanced_7d=_advanced(row.after[1]),
        orders=[order_money(sums) for sums in row.money],
    )


def _count(count: StageCount) -> MessageCount:
    return MessageCount(*count)


def _advanced(after: After) -> AdvancedCount:
    return AdvancedCount(after.mature, after.advanced, share(wilson(after.advanced, after.mature)))
