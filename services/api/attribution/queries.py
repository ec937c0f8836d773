"""Statements over live orders and the touches before them. The orders are kept, their touches are asked of the facts.

A path is what came before an order within the look-back, or before the end of a cycle in which nothing was ordered:
that of a cycle is seen from its last own touchpoint, because the lapse comes only long after.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    BEGINS,
    IN_JOURNEYS,
    KIND_KEY,
    KINDS,
    MAX_VALUE,
    KindTable,
    customers_parameters,
    customers_sql,
    join_counted,
    kind_table,
    prepare_to_ask,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.analytics.attribution import NONE, OTHER
from throughline.analytics.paths import BASELINE
from throughline.journey.durations import DAY_US
from throughline.journey.model import Kind, Model
from throughline.journey.touches import CHANNELS, FIRST_TOUCHES, LAST_TOUCHES, VISIT_US, kind_of_touch

Dimension = Literal["channel", "source", "medium", "campaign", "content", "referrer", "device", "message"]
Scope = Literal["customer", "cycle", "since_previous"]
NOT_SET = "(not set)"
"""The value of touches that name none."""
MAX_PATHS = 50_000
"""Maximum number of different paths that one question reads."""
LONGEST_CYCLE_US = 400 * DAY_US
"""How far before its end a cycle's touches are looked for at most."""

_RESERVED: Final = f"'{NONE}', '{OTHER}', '{BASELINE}'"
"""Names of rows of their own: a touch that names itself so names nothing."""
_TOUCH, _EXPOSURE, _CHANNEL = 1, 2, 4
"""Marks of kinds: a touch by its kind; an exposure; from this bit on the number of the channel."""

_VALUES: Final[Mapping[Dimension, str]] = {
    "channel": "f.channel",
    **{name: f"f.origin ->> '{name}'" for name in ("source", "medium", "campaign", "content", "referrer")},
    "device": "f.device",
    "message": """
        CASE WHEN f.channel IN ('email', 'push', 'sms') THEN coalesce(
            CAST(f.rest AS json) -> 'properties' ->> 'message_id',
            CAST(f.rest AS json) -> 'properties' ->> 'campaign_id',
            CAST(f.rest AS json) -> 'properties' ->> 'email_id',
            CAST(f.rest AS json) -> 'properties' ->> 'campaign_name', f.origin ->> 'campaign'
        ) END
    """,
}  # fmt: skip


_OF_KIND: Final = f"""
    SELECT i.root AS customer, t.occurred_us AS at_us, t.message_id AS name, '' AS currency, CAST(0 AS bigint) AS gross,
        CAST(0 AS bigint) AS net
    FROM ids i JOIN touchpoints t ON t.actor = i.id CROSS JOIN LATERAL (SELECT {KIND_KEY} AS key OFFSET 0) word
    WHERE i.workspace = :workspace AND {IN_JOURNEYS}
        AND word.key = ANY(CASE WHEN t.call = 'track' THEN :goal_names ELSE :goal_calls END)
        AND NOT EXISTS (
            SELECT FROM ids o JOIN touchpoints d ON d.actor = o.id AND d.message = t.message
            WHERE o.root = i.root AND o.id <> i.id AND {IN_JOURNEYS.replace("t.", "d.")}
                AND (d.occurred_us, d.place, o.name COLLATE "C") < (t.occurred_us, t.place, i.name COLLATE "C")
        )
"""
"""Events of a kind as conversions; a message id counts once for a customer."""


class PathQuestion(NamedTuple):
    """Which orders, and what is to be known of the touches before them."""

    workspace: int
    generation: int
    days: Days
    """Of the orders, and of the ends of cycles without one."""
    customers: CustomerFilter
    kinds: KindTable
    """By `touch_table`."""
    by: Dimension
    lookback_us: int
    scope: Scope
    has_exposures: bool
    """Whether exposures are touches."""
    goal: int | str | None = None
    """The phase whose entries are the conversions, or the kind whose events are; None: live orders are."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the common tables."""
        return {
            **customers_parameters(self.generation, self.customers),
            **self.kinds.parameters,
            "workspace": self.workspace,
            "from_us": self.days.from_us,
            "to_us": self.days.end_us,
            "lookback_us": self.lookback_us,
            "touch_channels": list(CHANNELS),
            **self.goal_parameters,
        }

    @property
    def goal_parameters(self) -> dict[str, Any]:
        """Those of `conversions`, beside the generation and the span."""
        if not isinstance(self.goal, str):
            return {} if self.goal is None else {"goal": self.goal}
        words = self.kinds.words(self.goal)
        calls = [key for is_call, key in words if is_call]
        names = [key for is_call, key in words if not is_call]
        return {"workspace": self.workspace, "goal_calls": calls, "goal_names": names}

    @property
    def conversions(self) -> str:
        """Rows of all conversions: customer, at_us, name (unique of the customer), currency, gross, net."""
        if isinstance(self.goal, str):
            return _OF_KIND
        if self.goal is None:
            return """
                SELECT o.customer, o.at_us, o."order" AS name, o.currency, o.gross, o.net FROM conversions o
                WHERE o.model = :model
            """
        return """
            SELECT o.customer, o.at_us, CAST(o.cycle AS text) AS name, '' AS currency, CAST(0 AS bigint) AS gross,
                CAST(0 AS bigint) AS net
            FROM transitions o WHERE o.model = :model AND o.kind <> 3 AND o.to_phase = :goal
        """


def touch_table(model: Model) -> KindTable:
    """Returns a model's vocabulary, marked for questions about touches."""

    def marks(word: str, kind: Kind) -> int:
        touch = kind_of_touch(word, kind)
        if touch is None:
            return 0
        return (_EXPOSURE if touch.is_exposure else _TOUCH) | CHANNELS.index(touch.channel) * _CHANNEL

    return kind_table(model, marks)


_BEGAN: Final = f"""
    LEFT JOIN LATERAL (
        SELECT b.at_us FROM transitions b
        WHERE b.customer = e.customer AND b.model = :model AND b.at_us <= e.end_us AND {BEGINS}
        ORDER BY b.at_us DESC LIMIT 1
    ) began ON true
"""
_PREVIOUS: Final = """
    LEFT JOIN LATERAL (
        SELECT max(p.at_us) AS at_us FROM (/* conversions */) p WHERE p.customer = e.customer AND p.at_us < e.end_us
    ) previous ON true
"""
_BOUNDS: Final[Mapping[Scope, tuple[str, str]]] = {
    "customer": ("", "CAST(NULL AS bigint)"),
    "cycle": (_BEGAN, f"began.at_us - {VISIT_US} - 1"),
    "since_previous": (_PREVIOUS, "previous.at_us"),
}
"""How the instant after which touches count is looked up, beside the look-back."""
_IN_ORDER: Final = 'occurred_us, place, message_id COLLATE "C", actor COLLATE "C"'


def _orders_sql(question: PathQuestion) -> str:
    """Rows of the orders of the span: customer, end_us, bound_us, began_us, name, currency, gross, net."""
    join, bound = _BOUNDS[question.scope]
    join = join.replace("/* conversions */", question.conversions)
    return f"""
        SELECT e.customer, e.end_us, {bound} AS bound_us, CAST(NULL AS bigint) AS began_us, e.name, e.currency,
            e.gross, e.net
        FROM (
            SELECT c.customer, c.at_us AS end_us, c.name, c.currency, c.gross, c.net
            FROM ({question.conversions}) c {join_counted(question.customers).replace("e.customer", "c.customer")}
            WHERE c.at_us >= :from_us AND c.at_us < :to_us
        ) e {join}
    """


def _ended_sql(question: PathQuestion) -> str:
    """Rows, as of `_orders_sql`, of the cycles that ended in the span without a live order; their name is null."""
    bound = {
        "customer": "CAST(NULL AS bigint)",
        "cycle": f"began.at_us - {VISIT_US} - 1",
        "since_previous": f"(SELECT max(p.at_us) FROM ({question.conversions}) p WHERE p.customer = e.customer "
        "AND p.at_us < began.at_us)",
    }[question.scope]
    return f"""
        SELECT e.customer, e.end_us, {bound}, began.at_us, NULL, NULL, 0, 0
        FROM (
            SELECT l.customer, l.cycle, l.at_us AS end_us
            FROM transitions l JOIN journeys j ON j.customer = l.customer AND {customers_sql(question.customers)}
            WHERE l.model = :model AND l.kind = 3 AND l.at_us >= :from_us AND l.at_us < :to_us
        ) e JOIN transitions began ON began.customer = e.customer AND began.model = :model
            AND began.cycle = e.cycle AND {BEGINS.replace("b.", "began.")}
        WHERE NOT EXISTS (
            SELECT FROM ({question.conversions}) c WHERE c.customer = e.customer
                AND c.at_us >= began.at_us AND c.at_us <= e.end_us
        )
    """


def _paths_sql(question: PathQuestion, *, has_nulls: bool, of_orders: str = "") -> str:
    """Common tables, each computed once: `ends` (orders, and cycles that ended without one), and `touches` with the
    number of their end.

    `of_orders`: a further condition on the orders and their order.
    """
    orders = f"SELECT * FROM ({_orders_sql(question)}) o {of_orders}"
    both = f"({orders}) UNION ALL {_ended_sql(question)}" if has_nulls else orders
    earliest = (
        f"min(CASE WHEN name IS NULL THEN greatest(began_us - :lookback_us, end_us - {LONGEST_CYCLE_US}) "
        "ELSE end_us - :lookback_us END)"
    )
    exposure = f"coalesce(k.marks & {_EXPOSURE} > 0, false)"
    taken = f"(coalesce(k.own, true) OR {exposure})" if question.has_exposures else "coalesce(k.own, true)"
    return f"""
        WITH {KINDS}, ended AS MATERIALIZED (
            SELECT row_number() OVER () AS path, both_kinds.* FROM ({both}) both_kinds
        ), spans AS MATERIALIZED (
            SELECT customer, {earliest} AS from_us, max(end_us) AS to_us FROM ended GROUP BY customer
        ), named AS MATERIALIZED (
            SELECT s.customer, i.name AS actor, t.message, t.occurred_us, t.place, t.message_id, t.rest, t.attribution,
                t.channel, t.call <> 'track' AS is_call, {KIND_KEY} AS key
            FROM spans s JOIN ids i ON i.root = s.customer AND i.workspace = :workspace
            JOIN touchpoints t ON t.actor = i.id AND t.occurred_us > s.from_us - {VISIT_US}
                AND t.occurred_us <= s.to_us
            WHERE {IN_JOURNEYS}
        ), facts AS (
            SELECT t.customer, t.actor, t.occurred_us, t.place, t.message_id, t.rest, t.attribution,
                CASE WHEN t.channel = 'direct' THEN coalesce(
                    nullif((:touch_channels)[CAST(coalesce(k.marks, 0) / {_CHANNEL} + 1 AS integer)], ''), t.channel
                ) ELSE t.channel END AS channel,
                coalesce(k.own, true) AS own, coalesce(k.marks & {_TOUCH} > 0, false) AS by_kind,
                {exposure} AS exposure, t.channel AS own_channel,
                row_number() OVER (
                    PARTITION BY t.customer, t.message ORDER BY t.occurred_us, t.place, t.actor COLLATE "C"
                ) AS nth
            FROM named t LEFT JOIN kinds k ON k.is_call = t.is_call AND k.key = t.key
            WHERE {taken}
        ), origins AS (
            SELECT f.customer, f.actor, f.occurred_us, f.place, f.message_id, f.rest, f.channel, f.own, f.by_kind,
                f.exposure, a.facts - 'device' AS origin, a.facts -> 'device' ->> 'type' AS device,
                CASE WHEN f.own_channel <> 'direct' OR a.facts - 'device' <> '{{}}'
                    THEN f.own_channel || coalesce(CAST(a.facts - 'device' AS text), '') END AS comes_from,
                f.own AND coalesce(f.occurred_us - max(f.occurred_us) FILTER (WHERE f.own) OVER (
                    PARTITION BY f.customer ORDER BY {_IN_ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) >= {VISIT_US}, true) AS opens
            FROM facts f CROSS JOIN LATERAL (SELECT CAST(f.attribution AS jsonb) AS facts) a WHERE f.nth = 1
        ), visits AS (
            SELECT f.*, count(*) FILTER (WHERE f.opens) OVER (PARTITION BY f.customer ORDER BY {_IN_ORDER}) AS visit
            FROM origins f
        ), all_touches AS MATERIALIZED (
            SELECT f.*, f.exposure OR f.own AND (
                f.opens OR f.by_kind OR f.comes_from IS NOT NULL AND f.comes_from IS DISTINCT FROM lag(f.comes_from)
                OVER (PARTITION BY f.customer, f.visit, f.own AND f.comes_from IS NOT NULL ORDER BY {_IN_ORDER})
            ) AS is_touch
            FROM visits f
        ), ends AS MATERIALIZED (
            SELECT e.*, greatest(e.bound_us, e.last_us - :lookback_us) AS after_us FROM (
                SELECT e.*, coalesce(greatest(l.last_us, e.began_us), e.end_us) AS last_us FROM ended e LEFT JOIN (
                    SELECT e.path, max(f.occurred_us) AS last_us FROM ended e JOIN origins f
                        ON f.customer = e.customer AND f.own AND f.occurred_us <= e.end_us
                    WHERE e.name IS NULL GROUP BY e.path
                ) l USING (path)
            ) e
        ), before AS (
            SELECT e.path, e.last_us - f.occurred_us AS age_us, f.channel, f.exposure, f.occurred_us,
                CASE WHEN v.value IN ('', {_RESERVED}) THEN '{NOT_SET}'
                    ELSE coalesce(left(v.value, {MAX_VALUE}), '{NOT_SET}') END AS value,
                row_number() OVER (PARTITION BY e.path ORDER BY {_IN_ORDER}) AS nth,
                count(*) OVER (PARTITION BY e.path) AS count
            FROM ends e JOIN all_touches f ON f.customer = e.customer AND f.is_touch
                AND f.occurred_us > e.after_us AND f.occurred_us <= e.last_us
            CROSS JOIN LATERAL (SELECT {_VALUES[question.by]} AS value) v
        ), touches AS MATERIALIZED (
            SELECT * FROM before WHERE nth <= {FIRST_TOUCHES} OR nth > count - {LAST_TOUCHES}
        )
    """


class PathRow(NamedTuple):
    """Orders, and cycles without one, that have one path."""

    values: tuple[str, ...]
    are_direct: tuple[bool, ...]
    ages_us: tuple[int, ...]
    """Empty where these were not asked for."""
    currency: str | None
    """None: of cycles without an order."""
    number: int
    gross: int
    net: int


async def read_path_rows(
    connection: AsyncConnection, question: PathQuestion, *, has_nulls: bool, has_ages: bool
) -> list[PathRow]:
    """Returns the distinct paths before the orders of a span, up to `MAX_PATHS` and one more.

    Args:
        connection: where to read.
        question: which orders.
        has_nulls: whether to read the paths of cycles too that ended without an order.
        has_ages: whether to tell paths apart by how long before the order each touch was.
    """
    await prepare_to_ask(connection)
    ages_sql = "array_agg(age_us ORDER BY nth)" if has_ages else "CAST('{}' AS bigint[])"
    rows = await connection.execute(
        statement(f"""
            {_paths_sql(question, has_nulls=has_nulls)}, paths AS MATERIALIZED (
                SELECT path, array_agg(value ORDER BY nth) AS values,
                    array_agg(channel = 'direct' ORDER BY nth) AS are_direct, {ages_sql} AS ages
                FROM touches GROUP BY path
            )
            SELECT p.values, p.are_direct, p.ages, e.currency, count(*), CAST(sum(e.gross) AS text),
                CAST(sum(e.net) AS text)
            FROM ends e LEFT JOIN paths p USING (path) GROUP BY 1, 2, 3, 4 LIMIT {MAX_PATHS + 1}
        """),
        question.parameters,
    )
    return [
        PathRow(tuple(values or ()), tuple(are_direct or ()), tuple(ages or ()), currency, number, int(gross), int(net))
        for values, are_direct, ages, currency, number, gross, net in rows
    ]


class OrderPosition(NamedTuple):
    """The place in the list of orders."""

    at_us: int
    customer: bytes
    order: str


class OrderTouch(NamedTuple):
    """One touch before an order."""

    at_us: int
    age_us: int
    value: str
    channel: str
    is_exposure: bool


class OrderRow(NamedTuple):
    """A live order with the touches before it."""

    customer: bytes
    id: str
    """Of the customer."""
    order: str
    """Its key; of an entry into a phase the number of the cycle, of an event its message id."""
    at_us: int
    currency: str
    gross: int
    net: int
    nth: int
    """Which live order of the customer it is, from 1."""
    touch_count: int
    """All touches, however many are kept."""
    touches: Sequence[OrderTouch]

    @property
    def position(self) -> OrderPosition:
        """The place in the list."""
        return OrderPosition(self.at_us, self.customer, self.order)


async def list_orders(
    connection: AsyncConnection,
    question: PathQuestion,
    value: str | None,
    after: OrderPosition | None,
    count: int,
    *,
    but: Sequence[str] = (),
) -> list[OrderRow]:
    """Returns up to `count` of the orders of a span, after a position, by time.

    Args:
        connection: where to read.
        question: which orders.
        value: only those with a touch of this value; `(none)`: those without any touch; `(other)`: see `but`.
        after: the last of the page before.
        count: the maximum number.
        but: with the value `(other)` those with a touch of none of these.
    """
    await prepare_to_ask(connection)
    parameters = question.parameters | {"count": count}
    of_orders = ""
    if after is not None:
        of_orders = "WHERE (end_us, customer, name) > (:after_us, :after_customer, :after_order)"
        parameters |= {"after_us": after.at_us, "after_customer": after.customer, "after_order": after.order}
    condition = ""
    if value is None:
        of_orders += " ORDER BY end_us, customer, name LIMIT :count"
    elif value == NONE:
        condition = "WHERE p.path IS NULL"
    elif value == OTHER:
        condition = "WHERE EXISTS (SELECT FROM unnest(p.values) v WHERE v <> ALL(:values))"
        parameters["values"] = list(but)
    else:
        condition = "WHERE :value = ANY(p.values)"
        parameters["value"] = value
    rows = await connection.execute(
        statement(f"""
            {_paths_sql(question, has_nulls=False, of_orders=of_orders)}, paths AS MATERIALIZED (
                SELECT path, max(count) AS count, array_agg(occurred_us ORDER BY nth) AS times,
                    array_agg(age_us ORDER BY nth) AS ages, array_agg(value ORDER BY nth) AS values,
                    array_agg(channel ORDER BY nth) AS channels, array_agg(exposure ORDER BY nth) AS exposures
                FROM touches GROUP BY path
            ), page AS (
                SELECT e.customer, e.name, e.end_us, e.currency, e.gross, e.net, p.count, p.times, p.ages, p.values,
                    p.channels, p.exposures
                FROM ends e LEFT JOIN paths p USING (path) {condition}
                ORDER BY e.end_us, e.customer, e.name LIMIT :count
            )
            SELECT e.customer, j.id, e.name, e.end_us, e.currency, e.gross, e.net, (
                SELECT count(*) FROM ({question.conversions}) c
                WHERE c.customer = e.customer AND (c.at_us, c.name) <= (e.end_us, e.name)
            ), coalesce(e.count, 0), e.times, e.ages, e.values, e.channels, e.exposures
            FROM page e JOIN journeys j ON j.customer = e.customer AND j.model = :model
            ORDER BY e.end_us, e.customer, e.name
        """),
        parameters,
    )
    return [OrderRow._make((*row[:9], [*map(OrderTouch, *(part or () for part in row[9:]))])) for row in rows]


async def count_open_cycles(connection: AsyncConnection, question: PathQuestion) -> int:
    """Returns the number of cycles that go on without a live order, of customers last seen in the span."""
    number = await connection.scalar(
        statement(f"""
            SELECT count(*) FROM journeys j JOIN LATERAL (
                SELECT b.at_us FROM transitions b
                WHERE b.customer = j.customer AND b.model = j.model AND b.cycle = j.cycle AND {BEGINS}
            ) began ON true
            WHERE {customers_sql(question.customers)} AND j.last_us >= :from_us AND j.last_us < :to_us
                AND j.last_day >= :from_us / {DAY_US} AND j.last_day <= :to_us / {DAY_US}
                AND j.lapsed_us = 0 AND j.phase > 0 AND NOT EXISTS (
                    SELECT FROM ({question.conversions}) c WHERE c.customer = j.customer AND c.at_us >= began.at_us
                )
        """),
        customers_parameters(question.generation, question.customers)
        | {"from_us": question.days.from_us, "to_us": question.days.end_us}
        | question.goal_parameters,
    )
    return int(number or 0)
