"""Statements over messages. All of it is computed of the facts of the span, and of what followed clicks."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    KINDS,
    MAX_VALUE,
    MAX_VALUES,
    NONE,
    KindTable,
    customers_parameters,
    kind_table,
    marked_facts_sql,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.money import OrderSums
from services.api.shared.queries import CustomerFilter
from throughline.journey.durations import DAY_US
from throughline.journey.model import Kind, Model
from throughline.store.admission import OTHER

Dimension = Literal["campaign", "message", "channel"]
Stage = Literal["sent", "delivered", "opened", "clicked", "bounced", "unsubscribed"]
STAGES: Final[tuple[Stage, ...]] = ("sent", "delivered", "opened", "clicked", "bounced", "unsubscribed")
Number = Literal[
    "sent", "delivered", "opened", "clicked", "bounced", "unsubscribed", "clicked_24h", "advanced_24h", "clicked_7d",
    "advanced_7d", "orders",
]  # fmt: skip
"""A number of a row."""
NUMBERS: Final[tuple[Number, ...]] = get_args(Number)
AFTER_US: Final = (DAY_US, 7 * DAY_US)
"""Times after a click within which an advance counts; orders count within the longer one."""

_KINDS: Mapping[str, Stage] = {
    "message_sent": "sent",
    "message_delivered": "delivered",
    "message_opened": "opened",
    "message_clicked": "clicked",
    "message_failed": "bounced",
}
_WORDS: Mapping[str, Stage] = {"unsubscribed": "unsubscribed", "emailmarkedasspam": "unsubscribed"}
_CLICKED: Final = STAGES.index("clicked") + 1


def stage_table(model: Model) -> KindTable:
    """Returns a model's vocabulary, marked by the number of the stage, from 1."""

    def marks(word: str, kind: Kind) -> int:
        stage = _WORDS.get(word) if kind.name == "leaving" else _KINDS.get(kind.name)
        return 0 if stage is None else 1 + STAGES.index(stage)

    return kind_table(model, marks)


class StageCount(NamedTuple):
    """How often something was done with messages."""

    events: int
    customers: int
    cycles: int
    """Customers once for each of their cycles."""


class After(NamedTuple):
    """What came of clicks within a time: of customers whose first click is as long ago."""

    mature: int
    advanced: int


class MessageRow(NamedTuple):
    """What became of the messages with one value of a dimension."""

    value: str
    stages: Mapping[Stage, StageCount]
    after: tuple[After, After]
    """For each of `AFTER_US`."""
    money: list[OrderSums]
    """Of orders within the longer time after a click, each once."""


class MessageQuestion(NamedTuple):
    """Which messages."""

    workspace: int
    generation: int
    model: Model
    days: Days
    customers: CustomerFilter
    now_us: int
    """The applied watermark."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the statements."""
        return {
            **customers_parameters(self.generation, self.customers),
            **stage_table(self.model).parameters,
            "workspace": self.workspace,
            "from_us": self.days.from_us,
            "to_us": self.days.end_us,
            "now_us": self.now_us,
        }


def _property(*names: str) -> str:
    return ", ".join(f"nullif(properties ->> '{name}', '')" for name in names)


_VALUES: Mapping[Dimension | None, str] = {
    None: "NULL",
    "campaign": "nullif(CAST(attribution AS json) ->> 'campaign', ''), "
    + _property("campaign_name", "campaign_id")
    + ", nullif(properties -> 'campaign' ->> 'name', '')",
    "message": _property("email_id", "message_id", "template_id", "notification_id", "email_subject"),
    "channel": "CASE WHEN word LIKE 'email%' THEN 'email' WHEN word LIKE 'push%' THEN 'push' "
    "WHEN word LIKE 'sms%' THEN 'sms' END, nullif(channel, '')",
}
_ORDER: Final = 'm.occurred_us, m.place, m.message_id COLLATE "C", m.actor COLLATE "C"'
_TABLES: Final = f"""
    valued AS (
        SELECT f.*, left(coalesce(/* value */, '{NONE}'), {MAX_VALUE}) AS value FROM facts f
    ), ranked AS (
        SELECT value, row_number() OVER (ORDER BY count(*) DESC, value COLLATE "C") AS rank FROM valued GROUP BY value
    ), messages AS MATERIALIZED (
        SELECT v.customer, v.id, v.actor, v.occurred_us, v.place, v.message_id, v.marks AS stage,
            CASE WHEN rank <= {MAX_VALUES} THEN value ELSE '{OTHER}' END AS value, rank
        FROM valued v JOIN ranked USING (value)
    )
"""
_CYCLE: Final = f"""
    LEFT JOIN LATERAL (
        SELECT t.cycle FROM transitions t
        WHERE t.customer = m.customer AND t.model = :model AND t.kind <> 3
            AND (t.at_us, t.place, t.message_id, t.actor) <= ({_ORDER})
        ORDER BY t.at_us DESC, t.place DESC, t.message_id DESC, t.actor DESC LIMIT 1
    ) c ON true
"""
"""The cycle in which the customer stood."""


_CLICKS: Final = f"""
    clicks AS MATERIALIZED (
        SELECT DISTINCT ON (m.value, m.customer) m.* FROM messages m WHERE m.stage = {_CLICKED}
        ORDER BY m.value, m.customer, {_ORDER}
    )
"""
_ORDERED: Final = f"""
    ordered AS (
        SELECT DISTINCT m.value, o.customer, m.id, o."order", o.at_us, o.currency, o.gross, o.net
        FROM messages m JOIN conversions o ON o.customer = m.customer AND o.model = :model
            AND o.at_us > m.occurred_us AND o.at_us <= m.occurred_us + {AFTER_US[1]}
        WHERE m.stage = {_CLICKED}
    )
"""


def _tables(question: MessageQuestion, by: Dimension | None) -> str:
    """The common tables, the last of which is `messages`."""
    facts = marked_facts_sql(question.customers)
    return f"WITH {KINDS}, {facts}, {_TABLES}".replace("/* value */", _VALUES[by])


def _is_mature(after_us: int) -> str:
    return f"m.occurred_us + {after_us} < :now_us"


def _advanced(after_us: int) -> str:
    """Whether the customer came to a further phase within a time after the click, and not by the click itself."""
    return f"""
        EXISTS (
            SELECT FROM transitions t
            WHERE t.customer = m.customer AND t.model = :model AND t.kind = 1 AND t.from_phase > 0
                AND (t.at_us, t.place, t.message_id, t.actor) > ({_ORDER}) AND t.at_us <= m.occurred_us + {after_us}
        )
    """


async def read_messages(
    connection: AsyncConnection, question: MessageQuestion, by: Dimension | None
) -> list[MessageRow]:
    """Returns what became of messages by a dimension (None: all as one), the most frequent values first."""
    tables = _tables(question, by)
    stages = await connection.execute(
        statement(f"""
            {tables}
            SELECT m.value, min(m.rank) AS rank, m.stage, count(*), count(DISTINCT m.customer),
                count(DISTINCT (m.customer, coalesce(c.cycle, 0)))
            FROM messages m {_CYCLE} GROUP BY m.value, m.stage ORDER BY m.value = '{OTHER}', 2, m.stage
        """),
        question.parameters,
    )
    rows: dict[str, MessageRow] = {}
    none = StageCount(0, 0, 0)
    for value, _, stage, *counts in stages:
        row = rows.setdefault(value, MessageRow(value, dict.fromkeys(STAGES, none), (After(0, 0), After(0, 0)), []))
        rows[value] = row._replace(stages={**row.stages, STAGES[stage - 1]: StageCount(*counts)})
    day_us, week_us = AFTER_US
    followed = await connection.execute(
        statement(f"""
            {tables}, {_CLICKS}
            SELECT m.value, count(*) FILTER (WHERE {_is_mature(day_us)}),
                count(*) FILTER (WHERE {_is_mature(day_us)} AND {_advanced(day_us)}),
                count(*) FILTER (WHERE {_is_mature(week_us)}),
                count(*) FILTER (WHERE {_is_mature(week_us)} AND {_advanced(week_us)})
            FROM clicks m GROUP BY m.value
        """),
        question.parameters,
    )
    for value, *numbers in followed:
        rows[value] = rows[value]._replace(after=(After(*numbers[:2]), After(*numbers[2:])))
    orders = await connection.execute(
        statement(f"""
            {tables}, {_ORDERED}
            SELECT value, currency, count(*), CAST(sum(gross) AS bigint), CAST(sum(net) AS bigint)
            FROM ordered GROUP BY value, currency ORDER BY value, currency
        """),
        question.parameters,
    )
    for value, *money in orders:
        rows[value].money.append(OrderSums(*money))
    return list(rows.values())


class RecipientPosition(NamedTuple):
    """The place in a list of customers."""

    customer: bytes


class Recipient(NamedTuple):
    """A customer whom a number counts."""

    customer: bytes
    id: str
    first_us: int
    """When it did so first."""
    events: int
    """How often."""
    cycles: int
    """In how many of its cycles."""

    @property
    def position(self) -> RecipientPosition:
        """The place in the list."""
        return RecipientPosition(self.customer)


async def list_recipients(
    connection: AsyncConnection,
    question: MessageQuestion,
    number: Number,
    by: Dimension,
    value: str | None,
    *,
    after: RecipientPosition | None,
    count: int,
) -> list[Recipient]:
    """Returns up to `count` of the customers whom a number counts, in a stable order.

    Args:
        connection: where to read.
        question: which messages.
        number: of a row.
        by: the dimension of the row.
        value: of the row; None: of all messages as one.
        after: the last of the page before.
        count: the maximum number.
    """
    parameters = question.parameters | {"count": count, "value": value or NONE}
    condition = "m.value = :value"
    if after is not None:
        condition += " AND m.customer > :after_customer"
        parameters["after_customer"] = after.customer
    tables = _tables(question, by if value is not None else None)
    if number == "orders":
        rows_sql = f"""
            {tables}, {_ORDERED} SELECT m.customer, m.id, min(m.at_us), count(DISTINCT m."order"), 0
            FROM ordered m WHERE {condition}
        """
    elif number in STAGES:
        rows_sql = f"""
            {tables}
            SELECT m.customer, m.id, min(m.occurred_us), count(*), count(DISTINCT coalesce(c.cycle, 0))
            FROM messages m {_CYCLE} WHERE m.stage = {STAGES.index(number) + 1} AND {condition}
        """
    else:
        after_us = AFTER_US[number.endswith("_7d")]
        advanced = f" AND {_advanced(after_us)}" if number.startswith("advanced") else ""
        rows_sql = f"""
            {tables}, {_CLICKS} SELECT m.customer, m.id, min(m.occurred_us), count(*), 1
            FROM clicks m WHERE {_is_mature(after_us)} AND {condition}{advanced}
        """
    rows = await connection.execute(
        statement(f"{rows_sql} GROUP BY m.customer, m.id ORDER BY m.customer LIMIT :count"), parameters
    )
    return [Recipient(*row) for row in rows]
