"""Statements over what customers say. All of it is computed of the facts of the span."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import BigInteger, func, select
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
from services.api.shared.queries import CustomerFilter
from throughline.analytics.opinions import Bucket, Measure
from throughline.journey.durations import DAY_US
from throughline.journey.model import UNPLACED, Kind, Model
from throughline.store.admission import OTHER
from throughline.store.schema.counts import phase_counts

Dimension = Literal["phase", "channel", "product"]
REPEAT_US = 90 * DAY_US
"""Time within which a later answer of a customer to the same survey replaces an earlier one."""

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
REACH: Final = ("ads", "messages", "shares", "invites", "mentions", "likes", "reviews")
"""What the reach is told of: the first two are done to the customer."""


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
            {question.common_tables(by)}, ranked AS (
                SELECT part, row_number() OVER (ORDER BY count(*) DESC, part COLLATE "C") AS rank
                FROM valued GROUP BY part
            )
            SELECT CASE WHEN rank <= {MAX_VALUES} THEN part ELSE '{OTHER}' END AS part,
                min(rank) AS rank, marks & {_ANSWER} > 0 AS is_answer, replaced, {_SCALES[question.measure]} AS scale,
                bucket, count(*), coalesce(sum(raw) FILTER (WHERE bucket IS NOT NULL), 0),
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
        conditions.append("part = :value")
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
            {question.common_tables(by)}
            SELECT customer, id, occurred_us, message_id, raw, part, channel, coalesce(product_id, '')
            FROM valued WHERE {" AND ".join(conditions)}
            ORDER BY occurred_us, customer, message_id COLLATE "C" LIMIT :count
        """),
        parameters,
    )
    return [Opinion(*row) for row in rows]


class ReachRow(NamedTuple):
    """How often something was shown or said, and to or by how many."""

    what: str
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


async def read_reach(
    connection: AsyncConnection, workspace: int, generation: int, model: Model, days: Days, customers: CustomerFilter
) -> list[ReachRow]:
    """Returns what was shown and said in some days, in the order of `REACH`."""
    facts = marked_facts_sql(customers)
    rows = await connection.execute(
        statement(f"""
            WITH {KINDS}, {facts}, of_customer AS (
                SELECT marks, customer, count(*) AS number, coalesce(sum(
                    CASE WHEN {_number("reach")} BETWEEN 0 AND 1e12 THEN {_number("reach")} END
                ), 0) AS audience
                FROM facts GROUP BY marks, customer
            )
            SELECT marks, CAST(sum(number) AS bigint), count(*), count(*) FILTER (WHERE number = 1),
                count(*) FILTER (WHERE number = 2), count(*) FILTER (WHERE number = 3),
                count(*) FILTER (WHERE number BETWEEN 4 AND 9), count(*) FILTER (WHERE number >= 10), sum(audience)
            FROM of_customer GROUP BY marks
        """),
        {
            **customers_parameters(generation, customers),
            **reach_table(model).parameters,
            "workspace": workspace,
            "from_us": days.from_us,
            "to_us": days.end_us,
        },
    )
    counted = {row[0]: row for row in rows}
    return [
        ReachRow(what, row[1], row[2], tuple(row[3:8]), row[8])
        if (row := counted.get(place)) is not None
        else ReachRow(what, 0, 0, (0, 0, 0, 0, 0), 0.0)
        for place, what in enumerate(REACH, 1)
    ]


async def count_placed(connection: AsyncConnection, generation: int, customers: CustomerFilter) -> int:
    """Returns how many customers stand in a phase."""
    c = phase_counts.c
    query = select(func.sum(c.entered - c.left).cast(BigInteger)).where(
        c.model == generation, c.phase > UNPLACED, *customers.conditions(phase_counts)
    )
    return int(await connection.scalar(query) or 0)
