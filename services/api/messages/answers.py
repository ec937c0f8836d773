"""The answer of messages. Pure."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from services.api.funnel.answers import Share, share
from services.api.messages.queries import NUMBERS, After, Dimension, MessageRow, Number, Recipient, StageCount
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.links import Links
from services.api.shared.money import OrderMoney, order_money
from services.api.shared.workspace import LiveModel
from throughline.analytics.intervals import wilson
from throughline.kit.clock import rfc3339

Link = Callable[[str, Number], str]
"""Returns the path of the list of the customers of a row whom a number counts."""


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
    links: Links


class Messages(OfDays):
    """Messages of the span. An order may follow clicks of two rows, so that rows have no sum of orders."""

    TABLE: ClassVar[str] = "items"

    by: Annotated[Dimension | None, Meta(examples=["campaign"])]
    items: list[MessageItem]


class RecipientItem(Answer):
    """A customer whom a number counts."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    first_at: Instant
    events: Annotated[int, Meta(description="how often the number counts it; of `orders` the orders", examples=[2])]
    cycles: Annotated[int, Meta(description="in how many of its cycles; 0 of `orders`", examples=[1])]


class Recipients(Answer):
    """A page of the customers behind a number of messages."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    number: Annotated[str, Meta(examples=["clicked"])]
    items: list[RecipientItem]
    next_cursor: NextCursor


def recipients_answer(
    live: LiveModel, number: Number, page: Sequence[Recipient], next_cursor: str | None
) -> Recipients:
    """One page."""
    items = [RecipientItem(each.id, rfc3339(each.first_us), each.events, each.cycles) for each in page]
    return Recipients(live.model.name, number, items, next_cursor)


def messages_answer(
    live: LiveModel, days: Days, by: Dimension | None, rows: Sequence[MessageRow], link: Link
) -> Messages:
    """All rows."""
    return Messages(
        **of_days(live, days),
        by=by,
        items=[_item(row, link) for row in rows],
    )


def _item(row: MessageRow, link: Link) -> MessageItem:
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
        links={number: link(row.value, number) for number in NUMBERS},
    )


def _count(count: StageCount) -> MessageCount:
    return MessageCount(*count)


def _advanced(after: After) -> AdvancedCount:
    return AdvancedCount(after.mature, after.advanced, share(wilson(after.advanced, after.mature)))
