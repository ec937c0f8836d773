"""Statements over what customers say. All of it is computed of the facts of the span."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    IN_JOURNEYS,
    KIND_OF,
    KINDS,
    MAX_VALUE,
    MAX_VALUES,
    NONE,
    KindTable,
    customers_parameters,
    join_counted,
    kind_table,
    marked_facts_sql,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.analytics.opinions import Bucket, Measure
from throughline.journey.durations import DAY_US
from throughline.journey.model import UNPLACED, Kind, Model
from throughline.store.admission import OTHER
from throughline.store.schema.counts import phase_counts

Dimension = Literal["phase", "channel", "product"]
REPEAT_US = 90 * DAY_US
"""Time within which a later answer of a customer to the same survey replaces an earlier one."""
REVIEW_US = 30 * DAY_US
"""Time after an order within which a review counts as one of its buyer."""

_ANSWER, _ASKED, _UNLESS_NAMED = 1, 2, 4
"""Marks of kinds: answers, requests for an answer, and those of which a property may say that they are of another
measure."""
_WORDS: Mapping[str, Measure] = {
    "nps": "nps",
    "npsanswered": "nps",
    "npssent": "nps",
    "csat": "csat",
    "csatanswered": "csat",
    "csatsent": "csat",
    "ces": "ces",
    "cesanswered": "ces",
    "cessent": "ces",
}
"""Names of events, as models compare them, that name their measure."""
_SURVEYS = {"survey": _ANSWER, "survey_asked": _ASKED}
_WITH_SENTIMENT = frozenset({"survey", "review", "share", "support"})

EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "invites": ("invite", "inviteaction", "invitesent", "referral", "referralsent"),
    "mentions": ("socialmention", "endorse", "endorseaction"),
    "likes": ("like", "likeaction"),
}
"""Names of events of the kind `share` that are told apart from shares."""
_KINDS_OF_REACH = {"share": "shares", "review": "reviews", "ad_shown": "ads", "message_delivered": "messages"}
What = Literal["ads", "messages", "shares", "invites", "mentions", "likes", "reviews"]
REACH: Final[tuple[What, ...]] = get_args(What)
"""What the reach is of: the first two are done to the customer."""


def measure_marks(measure: Measure) -> Callable[[str, Kind], int]:
    """Returns the marks of names for a question about a measure."""

    def marks(word: str, kind: Kind) -> int:
        if measure == "sentiment":
            return _ANSWER if kind.name in _WITH_SENTIMENT else 0
        if measure == "rating":
            return _ANSWER if kind.name == "review" else 0
        mark = _SURVEYS.get(kind.name, 0)
        named = _WORDS.get(word)
        return mark | _UNLESS_NAMED if mark and named is None else mark if named == measure else 0

    return marks


class OpinionQuestion(NamedTuple):
    """Which answers."""

    workspace: int
    generation: int
    model: Model
    measure: Measure
    days: Days
    customers: CustomerFilter
    is_each: bool
    """Whether answers count that the customer has replaced by a later one."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the common tables."""
        return {
            **customers_parameters(self.generation, self.customers),
            **kind_table(self.model, measure_marks(self.measure)).parameters,
            "workspace": self.workspace,
            "from_us": self.days.from_us,
            "to_us": self.days.end_us,
            "measure": self.measure,
        }

    def common_tables(self, by: Dimension | None) -> str:
        """The common tables: `valued` has the answers and the requests, with the part of a dimension."""
        replaced = "false" if self.is_each else _REPLACED[self.measure]
        facts = marked_facts_sql(self.customers)
        before = _BEFORE if by == "phase" else ""
        return f"""
            WITH {KINDS}, {facts}, answers AS (
                SELECT facts.*, {_VALUES[self.measure]} AS raw FROM facts
                WHERE marks & {_UNLESS_NAMED} = 0 OR {_MEASURE} = :measure
            ), scaled AS (
                SELECT answers.*, CAST({_BUCKETS[self.measure]} AS integer) AS bucket
                FROM answers WHERE marks & {_ASKED} > 0 OR raw IS NOT NULL
            ), counted AS (
                SELECT scaled.*, marks & {_ANSWER} > 0 AND coalesce({replaced}, false) AS replaced FROM scaled
            ), valued AS MATERIALIZED (
                SELECT c.*, {_PARTS[by]} AS part FROM counted c {before}
            )
        """


def _number(name: str) -> str:
    """The number that a property holds; NULL: none."""
    text = f"properties ->> '{name}'"
    return f"CASE WHEN pg_input_is_valid({text}, 'double precision') THEN CAST({text} AS double precision) END"


_NAMED: Final = "lower(coalesce(properties ->> 'measure', properties ->> 'survey_type', properties ->> 'type'))"
_MEASURE: Final = f"""
    CASE WHEN {_NAMED} IN ('nps', 'csat', 'ces') THEN {_NAMED}
        WHEN properties ?| ARRAY['csat', 'csat_score'] THEN 'csat'
        WHEN properties ?| ARRAY['ces', 'ces_score'] THEN 'ces' ELSE 'nps' END
"""
"""The measure of an answer whose name says none."""
_LABEL: Final = "lower(properties ->> 'sentiment')"
_VALUES: Mapping[Measure, str] = {
    "nps": "score",
    "csat": f"coalesce({_number('csat_score')}, {_number('csat')}, score, rating)",
    "ces": f"coalesce({_number('ces_score')}, {_number('ces')}, score, rating)",
    "rating": f"rating * 5 / CASE WHEN {_number('scale')} BETWEEN 2 AND 100 THEN {_number('scale')} ELSE 5 END",
    "sentiment": f"CASE WHEN {_LABEL} = 'positive' THEN 1 WHEN {_LABEL} = 'negative' THEN -1 "
    f"WHEN {_LABEL} IN ('neutral', 'mixed') THEN 0 ELSE {_number('sentiment')} END",
}
_SCALE: Final = f"CAST(CASE WHEN {_number('scale')} BETWEEN 2 AND 100 THEN round({_number('scale')}) END AS integer)"
_BUCKETS: Mapping[Measure, str] = {
    "nps": "CASE WHEN raw BETWEEN 0 AND 10 THEN floor(raw) END",
    "csat": f"CASE WHEN raw BETWEEN 0 AND coalesce({_SCALE}, 100) THEN round(raw) END",
    "ces": f"CASE WHEN raw BETWEEN 0 AND coalesce({_SCALE}, 100) THEN round(raw) END",
    "rating": "CASE WHEN raw BETWEEN 0 AND 5 THEN round(raw) END",
    # Within 0.05 of 0 is neutral, as with the scores of VADER.
    "sentiment": "CASE WHEN raw BETWEEN -1 AND 1 THEN CASE WHEN abs(raw) < 0.05 THEN 0 ELSE sign(raw) END END",
}
_SCALES: Mapping[Measure, str] = {
    "nps": "CAST(NULL AS integer)",
    "csat": _SCALE,
    "ces": _SCALE,
    "rating": "CAST(NULL AS integer)",
    "sentiment": "CAST(NULL AS integer)",
}
_SURVEY_NAMES: Final = "properties ->> 'survey_id', properties ->> 'survey', properties ->> 'survey_name'"
_SURVEY: Final = f"left(coalesce({_SURVEY_NAMES}, ''), {MAX_VALUE})"
_VALUE: Final = f"CASE WHEN rank <= {MAX_VALUES} THEN part ELSE '{OTHER}' END"
"""The part of a dimension as it is answered: the rarer ones are one."""
_ORDER: Final = 'occurred_us, place, message_id COLLATE "C", actor COLLATE "C"'
_LATER: Final = (
    f"lead(occurred_us) OVER (PARTITION BY customer, marks & {_ANSWER}, {_SURVEY} ORDER BY {_ORDER}) - occurred_us"
    f" < {REPEAT_US}"
)
_REPLACED: Mapping[Measure, str] = {
    "nps": _LATER,
    "csat": _LATER,
    "ces": _LATER,
    # A changed review replaces the one before.
    "rating": f"product_id <> '' AND lead(1) OVER (PARTITION BY customer, product_id ORDER BY {_ORDER}) = 1",
    "sentiment": "false",
}
_PARTS: Mapping[Dimension | None, str] = {
    None: f"'{NONE}'",
    "phase": "coalesce(CAST(b.to_phase AS text), '0')",
    "channel": f"coalesce(nullif(c.channel, ''), '{NONE}')",
    "product": f"left(coalesce(nullif(c.product_id, ''), '{NONE}'), {MAX_VALUE})",
}
_BEFORE: Final = """
    LEFT JOIN LATERAL (
        SELECT t.to_phase FROM transitions t
        WHERE t.customer = c.customer AND t.model = :model AND t.kind <> 3
            AND (t.at_us, t.place, t.message_id, t.actor)
                < (c.occurred_us, c.place, c.message_id COLLATE "C", c.actor COLLATE "C")
        ORDER BY t.at_us DESC, t.place DESC, t.message_id DESC, t.actor DESC LIMIT 1
    ) b ON true
"""
"""Where the customer stood before it said so."""


def _ranked(parts: str) -> str:
    """A common table of the parts of a dimension, the most frequent first."""
    return f"""
        ranked AS (
            SELECT part, row_number() OVER (ORDER BY count(*) DESC, part COLLATE "C") AS rank FROM {parts} GROUP BY part
        )
    """


class OpinionPart(NamedTuple):
    """The answers with one value of a dimension."""

    value: str
    """Of the dimension `phase` its number as text."""
    buckets: list[Bucket]
    answered: int
    """Number of answers, with those that were replaced."""
    requests: int
    """Number of requests for an answer."""


async def read_opinions(
    connection: AsyncConnection, question: OpinionQuestion, by: Dimension | None
) -> list[OpinionPart]:
    """Returns the answers by a dimension (None: all as one), the most frequent values first and the others together."""
    rows = await connection.execute(
        statement(f"""
            {question.common_tables(by)}, {_ranked("valued")}
            SELECT {_VALUE} AS part, min(rank) AS rank, marks & {_ANSWER} > 0 AS is_answer, replaced,
                {_SCALES[question.measure]} AS scale, bucket, count(*),
                coalesce(sum(raw) FILTER (WHERE bucket IS NOT NULL), 0),
                coalesce(sum(raw * raw) FILTER (WHERE bucket IS NOT NULL), 0)
            FROM valued JOIN ranked USING (part)
            GROUP BY 1, 3, 4, 5, 6 ORDER BY 2, 4, 5, 6
        """),
        question.parameters,
    )
    parts: dict[str, OpinionPart] = {}
    for value, _, is_answer, replaced, scale, bucket, number, total, squares in rows:
        part = parts.setdefault(value, OpinionPart(value, [], 0, 0))
        if not is_answer:
            part = part._replace(requests=part.requests + number)
        else:
            part = part._replace(answered=part.answered + number)
            if not replaced:
                part.buckets.append(Bucket(scale, bucket, number, total, squares))
        parts[value] = part
    other = parts.pop(OTHER, None)
    return [*parts.values(), *([] if other is None else [other])]


class OpinionPosition(NamedTuple):
    """The place in a list of answers."""

    occurred_us: int
    customer: bytes
    message_id: str


class Opinion(NamedTuple):
    """One answer."""

    customer: bytes
    id: str
    occurred_us: int
    message_id: str
    value: float
    part: str
    channel: str
    product_id: str

    @property
    def position(self) -> OpinionPosition:
        """The place in the list."""
        return OpinionPosition(self.occurred_us, self.customer, self.message_id)


async def list_opinions(
    connection: AsyncConnection,
    question: OpinionQuestion,
    by: Dimension | None,
    value: str | None,
    between: tuple[int | None, int | None],
    *,
    after: OpinionPosition | None,
    count: int,
) -> list[Opinion]:
    """Returns up to `count` answers after a position, by time.

    Args:
        connection: where to read.
        question: which answers.
        by: the dimension of `value`.
        value: only answers with it; None: all.
        between: the least and the greatest value; None: without.
        after: the last of the page before.
        count: the maximum number.
    """
    conditions = [f"marks & {_ANSWER} > 0", "NOT replaced", "bucket IS NOT NULL"]
    parameters = question.parameters | {"count": count}
    if value is not None:
        conditions.append(f"{_VALUE} = :value")
        parameters["value"] = value
    for limit, sign in zip(between, (">=", "<="), strict=True):
        if limit is not None:
            name = "least" if sign == ">=" else "most"
            conditions.append(f"bucket {sign} CAST(:{name} AS integer)")
            parameters[name] = limit
    if after is not None:
        conditions.append(
            '(occurred_us, customer, message_id COLLATE "C") > (:after_us, :after_customer, :after_message)'
        )
        parameters |= {
            "after_us": after.occurred_us,
            "after_customer": after.customer,
            "after_message": after.message_id,
        }
    rows = await connection.execute(
        statement(f"""
            {question.common_tables(by)}, {_ranked("valued")}
            SELECT customer, id, occurred_us, message_id, raw, part, channel, coalesce(product_id, '')
            FROM valued JOIN ranked USING (part) WHERE {" AND ".join(conditions)}
            ORDER BY occurred_us, customer, message_id COLLATE "C" LIMIT :count
        """),
        parameters,
    )
    return [Opinion(*row) for row in rows]


class ReachRow(NamedTuple):
    """How often something was shown or said, and to or by how many."""

    what: str
    value: str
    """Of the dimension; of the dimension `phase` its number as text."""
    events: int
    customers: int
    frequency: tuple[int, int, int, int, int]
    """Customers with 1, 2, 3, 4 to 9, and 10 events or more."""
    audience: float
    """Sum of the property `reach` of mentions: how many people others say that these reached."""


def reach_table(model: Model) -> KindTable:
    """Returns the vocabulary, marked by what it is to the reach."""
    of_word = {word: what for what, words in EXPRESSIONS.items() for word in words}

    def marks(word: str, kind: Kind) -> int:
        what = _KINDS_OF_REACH.get(kind.name)
        if what == "shares":
            what = of_word.get(word, what)
        return 0 if what is None else 1 + REACH.index(what)

    return kind_table(model, marks)


class ReachQuestion(NamedTuple):
    """What was shown and said."""

    workspace: int
    generation: int
    model: Model
    days: Days
    customers: CustomerFilter
    by: Dimension | None

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the common tables."""
        return {
            **customers_parameters(self.generation, self.customers),
            **reach_table(self.model).parameters,
            "workspace": self.workspace,
            "from_us": self.days.from_us,
            "to_us": self.days.end_us,
        }

    @property
    def common_tables(self) -> str:
        """The common tables: `of_customer` has what each customer was shown and said, by value of the dimension."""
        reach = _number("reach")
        return f"""
            WITH {KINDS}, {marked_facts_sql(self.customers)}, parted AS MATERIALIZED (
                SELECT c.marks, c.customer, c.id, c.occurred_us, {_PARTS[self.by]} AS part,
                    coalesce(CASE WHEN {reach} BETWEEN 0 AND 1e12 THEN {reach} END, 0) AS audience
                FROM facts c {_BEFORE if self.by == "phase" else ""}
            ), {_ranked("parted")}, of_customer AS (
                SELECT marks, {_VALUE} AS value, min(rank) AS rank, customer, id, min(occurred_us) AS first_us,
                    count(*) AS number, sum(audience) AS audience
                FROM parted JOIN ranked USING (part) GROUP BY 1, 2, customer, id
            )
        """


async def read_reach(connection: AsyncConnection, question: ReachQuestion) -> list[ReachRow]:
    """Returns what was shown and said, in the order of `REACH`; of each the most frequent values first."""
    rows = await connection.execute(
        statement(f"""
            {question.common_tables}
            SELECT marks, value, CAST(sum(number) AS bigint), count(*), count(*) FILTER (WHERE number = 1),
                count(*) FILTER (WHERE number = 2), count(*) FILTER (WHERE number = 3),
                count(*) FILTER (WHERE number BETWEEN 4 AND 9), count(*) FILTER (WHERE number >= 10), sum(audience)
            FROM of_customer GROUP BY marks, value ORDER BY marks, value = '{OTHER}', min(rank)
        """),
        question.parameters,
    )
    counted = [
        ReachRow(REACH[mark - 1], value, events, customers, tuple(frequency), audience)
        for mark, value, events, customers, *frequency, audience in rows
    ]
    if question.by is not None:
        return counted
    by_what = {row.what: row for row in counted}
    return [by_what.get(what, ReachRow(what, NONE, 0, 0, (0, 0, 0, 0, 0), 0.0)) for what in REACH]


class ReachedPosition(NamedTuple):
    """The place in a list of customers."""

    customer: bytes


class Reached(NamedTuple):
    """A customer to whom something was shown, or who said it."""

    customer: bytes
    id: str
    first_us: int
    events: int

    @property
    def position(self) -> ReachedPosition:
        """The place in the list."""
        return ReachedPosition(self.customer)


async def list_reached(
    connection: AsyncConnection,
    question: ReachQuestion,
    what: What,
    value: str | None,
    *,
    after: ReachedPosition | None,
    count: int,
) -> list[Reached]:
    """Returns up to `count` of the customers of a row, in a stable order.

    Args:
        connection: where to read.
        question: which rows.
        what: was shown or said.
        value: of the question's dimension; None without one.
        after: the last of the page before.
        count: the maximum number.
    """
    parameters = question.parameters | {"what": REACH.index(what) + 1, "value": value or NONE, "count": count}
    condition = "marks = :what AND value = :value"
    if after is not None:
        condition += " AND customer > :after_customer"
        parameters["after_customer"] = after.customer
    rows = await connection.execute(
        statement(f"""
            {question.common_tables}
            SELECT customer, id, first_us, number FROM of_customer WHERE {condition} ORDER BY customer LIMIT :count
        """),
        parameters,
    )
    return [Reached(*row) for row in rows]


class ReviewCounts(NamedTuple):
    """Reviews and orders of some days, and who wrote one after its order."""

    reviews: int
    """With stars or without."""
    orders: int
    """Live orders."""
    buyers: int
    """Customers whose first order of these days is `REVIEW_US` ago."""
    reviewers: int
    """Of these, wrote a review within that time."""


async def read_review_counts(connection: AsyncConnection, question: OpinionQuestion, now_us: int) -> ReviewCounts:
    """Returns the reviews and orders of the days of a question about ratings. `now_us`: the applied watermark."""
    row = await connection.execute(
        statement(f"""
            WITH {KINDS}, {marked_facts_sql(question.customers)}, bought AS MATERIALIZED (
                SELECT e.customer, min(e.at_us) AS at_us, count(*) AS orders
                FROM conversions e {join_counted(question.customers)}
                WHERE e.model = :model AND e.at_us >= :from_us AND e.at_us < :to_us GROUP BY e.customer
            ), reviewed AS (
                SELECT DISTINCT b.customer FROM bought b JOIN ids i ON i.root = b.customer
                    AND i.workspace = :workspace
                JOIN touchpoints t ON t.actor = i.id AND t.occurred_us >= b.at_us
                    AND t.occurred_us <= b.at_us + {REVIEW_US} {KIND_OF}
                WHERE {IN_JOURNEYS} AND k.marks > 0
            )
            SELECT (SELECT count(*) FROM facts), CAST(coalesce(sum(orders), 0) AS bigint),
                count(*) FILTER (WHERE at_us + {REVIEW_US} < :now_us),
                count(*) FILTER (WHERE at_us + {REVIEW_US} < :now_us AND customer IN (SELECT customer FROM reviewed))
            FROM bought
        """),
        question.parameters | {"now_us": now_us},
    )
    return ReviewCounts(*row.one())


async def count_placed(connection: AsyncConnection, generation: int, customers: CustomerFilter) -> dict[int, int]:
    """Returns how many customers stand in each phase, by its number."""
    c = phase_counts.c
    query = (
        select(c.phase, func.sum(c.entered - c.left).cast(BigInteger))
        .where(c.model == generation, c.phase > UNPLACED, *customers.conditions(phase_counts))
        .group_by(c.phase)
    )
    return {phase: int(number) for phase, number in await connection.execute(query)}
