"""The answer of messages. Pure."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from services.api.funnel.answers import Share, share
from services.api.messages.queries import After, Dimension, MessageRow, StageCount
from services.api.shared.answers import Answer, HistoryFrom, Instant, ModelName, SettledUntil, instant
from services.api.shared.days import Days
from services.api.shared.workspace import LiveModel
from throughline.analytics.intervals import wilson
from throughline.kit.clock import rfc3339


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


class OrderMoney(Answer):
    """Orders that stand, within 7 days after a click of the customer, each once in a row."""

    currency: Annotated[str | None, Meta(description="null: the orders name none", examples=["EUR"])]
    orders: Annotated[int, Meta(examples=[12])]
    gross: Annotated[int, Meta(description="in minor units of the currency", examples=[118000])]
    net: Annotated[int, Meta(description="less refunds", examples=[112000])]


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


class Messages(Answer):
    """Messages of the span. An order may follow clicks of two rows, so that rows have no sum of orders."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    by: Annotated[Dimension | None, Meta(examples=["campaign"])]
    time_zone: Annotated[str, Meta(description="in which days begin", examples=["Europe/Berlin"])]
    from_: Instant = msgspec.field(name="from")
    to: Instant
    settled_until: SettledUntil
    history_from: HistoryFrom
    items: list[MessageItem]


def messages_answer(live: LiveModel, days: Days, by: Dimension | None, rows: Sequence[MessageRow]) -> Messages:
    """All rows."""
    return Messages(
        model=live.model.name,
        by=by,
        time_zone=live.workspace.time_zone,
        from_=rfc3339(days.from_us),
        to=rfc3339(days.end_us),
        settled_until=instant(live.workspace.applied_watermark_us),
        history_from=instant(live.workspace.retention_cutoff_us),
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
        orders=[OrderMoney(money.currency or None, money.orders, money.gross, money.net) for money in row.money],
    )


def _count(count: StageCount) -> MessageCount:
    return MessageCount(*count)


def _advanced(after: After) -> AdvancedCount:
    return AdvancedCount(after.mature, after.advanced, share(wilson(after.advanced, after.mature)))
