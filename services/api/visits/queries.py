"""Statements over visits: how many go on, and with which friction. They are cut out of the facts when asked.

PostgreSQL computes windows of rows in one process, sorts of aggregates in as many as it may. So each customer's facts
are aggregated, partition by partition, into arrays in the order of time and the union of half hours after each of them
(a multirange), whose ranges are the visits; what belongs to a visit is found in the arrays by bisection. Visits are
counted by what they have as it is, and values looked for in these few groups.
"""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    FACTS,
    IN_JOURNEYS,
    KIND_KEY,
    KIND_OF,
    KINDS,
    MAX_VALUE,
    MAX_VALUES,
    NONE,
    VISIT_US,
    KindTable,
    customers_parameters,
    customers_sql,
    prepare_to_ask,
    statement,
)
from services.api.shared.days import Days, in_calendar
from services.api.shared.queries import CustomerFilter
from throughline.analytics.strata import Stratum
from throughline.journey.durations import DAY_US
from throughline.store.admission import OTHER

_Fact = Literal["campaign", "device"]
VisitDimension = Literal["channel", _Fact]
AFTER_US = DAY_US
"""Time within which a visit has to go on beyond the phase."""
MAX_STRATA = 100_000
"""Maximum number of groups of visits that one question reads."""
AT_PHASE, BEYOND = 1, 2
"""Marks of kinds: those that make a visit one that counts; those by which it goes on."""
FRICTION = 2
"""Where the bits of the marks begin that name a friction."""
MAX_FRICTIONS = 40
"""Maximum number of names of friction that are told apart; further ones are the last one together."""
MAX_SPELLINGS = 10_000
"""Maximum number of names, as sent, that facts are compared with; of more of them the key of each fact is computed."""

# For PostgreSQL an index on customers is cheaper than it is, where all facts are read; and it takes a customer's visits
# for so many that it would have one process look at all of them.
_IN_PARALLEL: Final = {
    "enable_partitionwise_aggregate": "on", "random_page_cost": "4", "parallel_tuple_cost": "10", "work_mem": "64MB",
}  # fmt: skip
# The latest touchpoints that are looked at occur two days after the span: they say how its last visits end. Those of
# half an hour before it say whether its first ones open a visit.
_IN_SPAN: Final = f"t.occurred_us >= :from_us - {VISIT_US} AND t.occurred_us < :to_us + {2 * AFTER_US}"
_BY_TIME: Final = "t.occurred_us"
# No ids of messages: of touchpoints in one instant and place the first is the one whose channel comes first.
_BY_PLACE: Final = 't.occurred_us, t.place, t.channel COLLATE "C"'
_BEFORE: Final[Mapping[_Fact, str]] = {"campaign": '"campaign":"', "device": '"device":{"type":"'}
"""What stands before a dimension's value in an attribution as ingest writes it."""


def _fact(by: _Fact) -> str:
    """Returns the value of a dimension of a touchpoint `t`, '' for none.

    It is cut out of the text, which costs a tenth of reading the JSON; that is for what is written in another way. No
    text is taken for a name, because quotes within a string are escaped.
    """
    before = f"'{_BEFORE[by]}'"
    value = f"""
        CASE WHEN strpos(t.attribution, {before}) > 0 AND strpos(t.attribution, '\\') = 0
            THEN split_part(split_part(t.attribution, {before}, 2), '"', 1) ELSE {FACTS[by]} END
    """
    # A short text has no long value. To count the characters of a value takes as long as to find it.
    short = f"octet_length(t.attribution) <= {MAX_VALUE}"
    return f"coalesce(CASE WHEN {short} THEN {value} ELSE left({value}, {MAX_VALUE}) END, '')"


_APART: Final = "WITH apart AS (SELECT 1)"
"""Begins a subquery that PostgreSQL does not take apart: its columns are computed once, however often they are used."""
_ALL_FACTS: Final = "coalesce(facts, ARRAY[fact])"
_LETTERS: Final = [chr(ord("A") + bit) for bit in range(MAX_FRICTIONS)]
"""What stands for a friction in the text of a visit's, by bit."""
_FRICTIONS: Final = f"""
    coalesce((
        SELECT bit_or(CAST(1 AS bigint) << ascii(letter) - {ord(_LETTERS[0])})
        FROM string_to_table(frictions, NULL) letter
    ), 0)
"""


def _value_of(facts: str) -> str:
    """Returns the value of a visit: the first of its facts that is any."""
    return f"""coalesce((SELECT min(each COLLATE "C") FROM unnest({facts}) each WHERE each <> ''), '{NONE}')"""


class VisitQuestion(NamedTuple):
    """Which visits are looked at."""

    workspace: int
    generation: int
    """Whose journeys say which customers are counted."""
    days: Days
    """On which the visits begin."""
    customers: CustomerFilter
    kinds: KindTable
    """With `AT_PHASE`, `BEYOND` and the bits of frictions as marks."""
    mature_until_us: int
    """Visits that are from then on may still go on."""


class _Words(NamedTuple):
    """What the facts of a question are compared with."""

    name: str
    """The expression of a track event `t` that is compared; of other calls it is the call."""
    parameters: dict[str, Any]
    is_alone: bool
    """Whether the workspace is the only one, so that all facts are its own."""

    def are(self, what: str) -> str:
        """Returns the condition that a touchpoint `t` is one of some kinds, by the prefix of their parameters."""
        names, calls = (self.parameters[f"{what}_{ending}"] for ending in ("names", "calls"))
        is_named = f"t.call = 'track' AND {self.name} = ANY(:{what}_names)" if names else "false"
        return f"({is_named} OR t.call <> 'track' AND t.call = ANY(:{what}_calls))" if calls else f"({is_named})"

    @property
    def friction(self) -> str:
        """Returns the letter of a touchpoint's friction; NULL: it has none."""
        letter = "(:friction_{0}_letters)[array_position(:friction_{0}s, {1})]".format
        return (
            f"CASE WHEN {self.are('friction')} THEN CASE WHEN t.call = 'track' THEN {letter('name', self.name)} "
            f"ELSE {letter('call', 't.call')} END END"
        )


async def _read_words(connection: AsyncConnection, question: VisitQuestion) -> _Words:
    """Returns how the facts of the span spell the kinds of the question: to compare names as sent costs little."""
    others = statement("SELECT EXISTS (SELECT FROM workspaces WHERE id <> :workspace)")
    is_alone = not await connection.scalar(others, {"workspace": question.workspace})
    facts = "touchpoints t" if is_alone else "ids i JOIN touchpoints t ON t.actor = i.id AND i.workspace = :workspace"
    rows = await connection.execute(
        statement(f"""
            WITH {KINDS}
            SELECT t.name, k.own, k.marks
            FROM (SELECT t.call, t.name FROM {facts} WHERE t.call = 'track' AND {_IN_SPAN} GROUP BY 1, 2) t
            {KIND_OF} WHERE k.marks > 0 OR NOT k.own LIMIT {MAX_SPELLINGS + 1}
        """),
        question.kinds.parameters
        | {"from_us": question.days.from_us, "to_us": question.days.end_us}
        | ({} if is_alone else {"workspace": question.workspace}),
    )
    spellings = [tuple(row) for row in rows]
    table = question.kinds.parameters
    words = list(zip(table["kind_calls"], table["kind_keys"], table["kind_own"], table["kind_marks"], strict=True))
    is_few = len(spellings) <= MAX_SPELLINGS
    names = spellings if is_few else [word[1:] for word in words if not word[0]]
    parameters: dict[str, Any] = {}
    for ending, of_ending in (("name", names), ("call", [word[1:] for word in words if word[0]])):
        by_customer = [(word, marks) for word, is_own, marks in of_ending if is_own]
        frictions = [(word, marks >> FRICTION) for word, marks in by_customer if marks >> FRICTION]
        parameters |= {
            f"foreign_{ending}s": [word for word, is_own, _ in of_ending if not is_own],
            f"at_{ending}s": [word for word, marks in by_customer if marks & AT_PHASE],
            f"beyond_{ending}s": [word for word, marks in by_customer if marks & BEYOND],
            f"friction_{ending}s": [word for word, _ in frictions],
            f"friction_{ending}_letters": [_LETTERS[bit.bit_length() - 1] for _, bit in frictions],
        }
    return _Words("t.name" if is_few else KIND_KEY, parameters, is_alone=is_alone)


class _Visits(NamedTuple):
    """Parts of a statement about visits."""

    rows: tuple[str, ...]
    """Queries that have all visits together: `customer`, `start_us`, `end_us`, `at_us` and `beyond_us` (the first
    touchpoint of these kinds from the start on), `channel` of the first touchpoint, `facts` (values of the dimension,
    '' for none; NULL: all of the customer are one, `fact`) and `frictions` (their letters; NULL or '': none)."""
    parameters: dict[str, Any]

    def all(self) -> str:
        """Returns a query for all visits."""
        return " UNION ALL ".join(self.rows)

    def counted(self, alike: str, is_advanced: str) -> str:
        """Returns a query for the `number` of visits that are `alike`, and of those that have `advanced`."""
        # PostgreSQL takes a column of a subquery for few values, and has each of its processes count its own visits.
        return " UNION ALL ".join(
            f"""
                SELECT alike, count(*) AS number, count(*) FILTER (WHERE is_advanced) AS advanced
                FROM ({_APART} SELECT {alike} AS alike, {is_advanced} AS is_advanced FROM ({rows}) visits) each
                GROUP BY alike
            """
            for rows in self.rows
        )


async def _cut_visits(
    connection: AsyncConnection, question: VisitQuestion, by: VisitDimension | None, *, has_channel: bool
) -> _Visits:
    """Returns the visits of a question, with the facts of a dimension. `has_channel`: their channel is looked at."""
    words = await _read_words(connection, question)
    order = _BY_PLACE if has_channel else _BY_TIME
    columns = {"visits": f"range_agg(int8range(t.occurred_us, t.occurred_us + {VISIT_US - 1}))"}

    def collect(name: str, expression: str, what: str | None = None) -> None:
        """Have the customers' touchpoints of some kinds (None: of all) in an array."""
        of_kinds = "" if what is None else f"FILTER (WHERE {words.are(what)})"
        columns[name] = f"array_agg({expression} ORDER BY {order}) {of_kinds}"

    collect("ats", "t.occurred_us", "at")
    collect("beyonds", "t.occurred_us", "beyond")
    collect("times", "t.occurred_us")
    collect("channels", "t.channel")
    collect("facts", "CAST('' AS text)" if by is None or by == "channel" else _fact(by))
    collect("friction_times", "t.occurred_us", "friction")
    # PostgreSQL would sort what is computed and filtered for each customer by itself; a text leaves out what is NULL.
    columns["frictions"] = f"string_agg({words.friction}, '' ORDER BY {order})"
    selected = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    has_at = f"{columns['ats']} IS NOT NULL"
    is_counted = "" if question.customers.is_everybody else customers_sql(question.customers)

    def source(root: str, facts: str) -> str:
        counted = f"JOIN journeys j ON j.customer = {root} AND {is_counted}" if is_counted else ""
        return f"FROM {facts} {counted} WHERE {_IN_SPAN} AND {IN_JOURNEYS}"

    # Most customers have one id, which sends no message twice: only what others sent has to be looked through. If all
    # facts are the workspace's own, it costs less to leave those others out than to look up every id.
    of_ids = "ids i JOIN touchpoints t ON t.actor = i.id AND i.workspace = :workspace"
    has_others = "(i.owner IS NOT NULL OR i.members > 1)"

    def with_visits(of: str, facts: str) -> str:
        """Those who may have a visit that counts: to find them first spares sorting the facts of all others."""
        return f"{of} IN (SELECT {of} FROM {facts} WHERE {_IN_SPAN} AND {words.are('at')})"

    if words.is_alone:
        root = "t.actor"
        others = f"SELECT FROM ids i WHERE i.id = t.actor AND i.workspace = :workspace AND {has_others}"
        of_one = f"{source(root, 'touchpoints t')} AND NOT EXISTS ({others}) AND {with_visits(root, 'touchpoints t')}"
    else:
        root = "i.id"
        of_one = f"{source(root, of_ids)} AND NOT {has_others} AND {with_visits(root, of_ids)}"
    customers = (
        f"""
            SELECT {root} AS customer, {selected} {of_one} AND NOT {words.are("foreign")}
            GROUP BY {root} HAVING {has_at}
        """,
        f"""
            SELECT t.customer, {selected} FROM (
                SELECT i.root AS customer, t.occurred_us, t.place, t.channel, t.call, t.name, t.attribution,
                    row_number() OVER (
                        PARTITION BY i.root, t.message ORDER BY t.occurred_us, t.place, i.name COLLATE "C"
                    ) AS nth
                {source("i.root", of_ids)} AND {has_others} AND {with_visits("i.root", of_ids)}
            ) t WHERE t.nth = 1 AND NOT {words.are("foreign")} GROUP BY t.customer HAVING {has_at}
        """,
    )
    # PostgreSQL takes a span for few, and would sort them to count them; of a case it takes half.
    place = "width_bucket({}, {})".format
    before = "start_us - 1"
    rows = tuple(
        f"""
            SELECT customer, start_us, end_us, at_us, beyonds[{place(before, "beyonds")} + 1] AS beyond_us,
                channels[{place(before, "times")} + 1] AS channel, facts[1] AS fact,
                CASE WHEN facts[1] = ALL(facts) THEN NULL
                    ELSE facts[{place(before, "times")} + 1:{place("end_us", "times")}] END AS facts,
                substr(
                    frictions, {place(before, "friction_times")} + 1,
                    {place("end_us", "friction_times")} - {place(before, "friction_times")}
                ) AS frictions
            FROM (
                {_APART} SELECT started.*, ats[{place(before, "ats")} + 1] AS at_us
                FROM (
                    {_APART} SELECT lower(visit) AS start_us, upper(visit) - {VISIT_US - 1} AS end_us, visits.*
                    FROM (SELECT unnest(visits) AS visit, customers.* FROM ({of_some}) customers) visits
                ) started
                WHERE CASE WHEN start_us >= :from_us THEN start_us < :to_us ELSE false END
            ) visits
            WHERE CASE WHEN at_us <= end_us THEN at_us < :mature_until_us ELSE false END
        """
        for of_some in customers
    )
    return _Visits(
        rows,
        {
            **customers_parameters(question.generation, question.customers),
            **words.parameters,
            "workspace": question.workspace,
            "from_us": question.days.from_us,
            "to_us": question.days.end_us,
            "mature_until_us": question.mature_until_us,
        },
    )


class VisitsByValue(NamedTuple):
    """Visits with one value of a dimension."""

    value: str
    number: int
    advanced: int
    """Went on in the visit itself."""


async def count_visits(
    connection: AsyncConnection, question: VisitQuestion, by: VisitDimension | None, values: Sequence[str] | None = None
) -> list[VisitsByValue]:
    """Returns how many visits went on, by a dimension of the visit (None: all as one), the most frequent values first.

    Args:
        connection: where to read.
        question: which visits.
        by: the dimension.
        values: those to tell apart; None: the most frequent. All others are `(other)` together.
    """
    await prepare_to_ask(connection, **_IN_PARALLEL)
    visits = await _cut_visits(connection, question, by, has_channel=by == "channel")
    alike, value = (f"'{NONE}'", "alike") if by is None else ("channel", "alike")
    if by is not None and by != "channel":
        alike, value = _ALL_FACTS, _value_of("alike")
    counted = visits.counted(alike, "beyond_us <= end_us")
    rows = await connection.execute(
        statement(
            f"""
            WITH of_value AS (
                SELECT {value} AS value, sum(number) AS number, sum(advanced) AS advanced
                FROM ({counted}) counted GROUP BY 1
            ), ranked AS (
                SELECT *, row_number() OVER (ORDER BY value = '{OTHER}', number DESC, value COLLATE "C") AS rank
                FROM of_value
            ), summed AS (
                SELECT CASE WHEN {f"rank <= {MAX_VALUES}" if values is None else "value = ANY(:values)"}
                    THEN value ELSE '{OTHER}' END AS value, CAST(sum(number) AS bigint) AS number,
                    CAST(sum(advanced) AS bigint) AS advanced
                FROM ranked GROUP BY 1
            )
            SELECT * FROM summed ORDER BY value = '{OTHER}', number DESC, value COLLATE "C"
        """
        ),
        visits.parameters | ({} if values is None else {"values": list(values)}),
    )
    return [VisitsByValue(*row) for row in rows]


class Visits(NamedTuple):
    """Visits that are alike."""

    stratum: tuple[str, str, int]
    """Channel, device and start of the week, or of its first day in the question."""
    frictions: int
    """Those of the visit, as bits."""
    number: int
    advanced: int
    """Of the number, those that went on."""


async def read_visits(connection: AsyncConnection, question: VisitQuestion, zone: tzinfo) -> list[Visits]:
    """Returns visits in groups, up to `MAX_STRATA` of them and one more. `zone`: in which weeks begin.

    Their order is that of the strata, so that sums of them are the same to the last digit whatever the plan.
    """
    await prepare_to_ask(connection, **_IN_PARALLEL)
    visits = await _cut_visits(connection, question, "device", has_channel=True)
    weeks = [week.from_us for week in in_calendar(question.days, "week", zone)]
    stratum = "channel, CAST(width_bucket(start_us, :starts) AS text), coalesce(frictions, '')"
    counted = visits.counted(
        f"CASE WHEN facts IS NULL THEN ARRAY[{stratum}, fact] ELSE ARRAY[{stratum}] || facts END",
        f"beyond_us <= at_us + {AFTER_US}",
    )
    rows = await connection.execute(
        statement(f"""
            SELECT channel, {_value_of("facts")} AS value, week, {_FRICTIONS} AS bits,
                CAST(sum(number) AS bigint), CAST(sum(advanced) AS bigint)
            FROM (
                SELECT alike[1] AS channel, CAST(alike[2] AS integer) AS week, alike[3] AS frictions,
                    alike[4:] AS facts, number, advanced
                FROM ({counted}) counted
            ) groups GROUP BY channel, value, week, bits
            ORDER BY channel, value, week, bits LIMIT {MAX_STRATA + 1}
        """),
        visits.parameters | {"starts": weeks},
    )
    return [
        Visits((channel, device, weeks[week - 1]), frictions, number, advanced)
        for channel, device, week, frictions, number, advanced in rows
    ]


class VisitPosition(NamedTuple):
    """The place in a list: by customer digest and instant."""

    customer: bytes
    start_us: int


class Visit(NamedTuple):
    """One visit."""

    customer: bytes
    id: str
    start_us: int
    end_us: int
    channel: str
    advanced: bool

    @property
    def position(self) -> VisitPosition:
        """The place in the list."""
        return VisitPosition(self.customer, self.start_us)


class VisitFilter(NamedTuple):
    """Which visits of a question are listed."""

    by: VisitDimension | None = None
    """The dimension of `values`; None: whatever their value is."""
    values: tuple[str, ...] = ()
    is_other: bool = False
    """Those with any other value."""
    friction: int | None = None
    """The bit of a friction; None: with or without any."""
    has_friction: bool = True
    has_advanced: bool = False
    """Only those that went on."""
    within_visit: bool = True
    """To have gone on is to have done so in the visit itself, else within a day."""


async def list_visits(
    connection: AsyncConnection, question: VisitQuestion, which: VisitFilter, *, after: VisitPosition | None, count: int
) -> list[Visit]:
    """Returns up to `count` of the visits that `count_visits` or `read_visits` counts, by customer and time.

    Args:
        connection: where to read.
        question: which visits.
        which: those that one number counts.
        after: the last of the page before.
        count: the maximum number.
    """
    conditions = []
    if which.has_advanced:
        conditions.append(f"v.beyond_us <= {'v.end_us' if which.within_visit else f'v.at_us + {AFTER_US}'}")
    parameters: dict[str, Any] = {"count": count}
    if which.by is not None:
        value = "v.channel" if which.by == "channel" else _value_of(_ALL_FACTS)
        conditions.append(f"{value} {'<> ALL' if which.is_other else '= ANY'}(:values)")
        parameters["values"] = list(which.values)
    if which.friction is not None:
        has_it = f"strpos(coalesce(frictions, ''), '{_LETTERS[which.friction]}') > 0"
        conditions.append(f"({has_it}) IS {which.has_friction}")
    if after is not None:
        conditions.append("(v.customer, v.start_us) > (:after_customer, :after_us)")
        parameters |= {"after_customer": after.customer, "after_us": after.start_us}
    await prepare_to_ask(connection, **_IN_PARALLEL)
    visits = await _cut_visits(connection, question, which.by, has_channel=True)
    beyond = "v.end_us" if which.within_visit else f"v.at_us + {AFTER_US}"
    rows = await connection.execute(
        statement(f"""
            SELECT v.customer, i.name, v.start_us, v.end_us, v.channel, coalesce(v.beyond_us <= {beyond}, false)
            FROM ({visits.all()}) v JOIN ids i ON i.workspace = :workspace AND i.id = v.customer
            WHERE {" AND ".join(conditions) or "true"} ORDER BY v.customer, v.start_us LIMIT :count
        """),
        visits.parameters | parameters,
    )
    return [Visit(*row) for row in rows]


def strata_of(visits: Sequence[Visits], bit: int) -> list[Stratum]:
    """Returns the strata of a friction: visits with it and without it."""
    sums: dict[tuple[str, str, int], list[int]] = {}
    for stratum, frictions, number, advanced in visits:
        of_stratum = sums.setdefault(stratum, [0, 0, 0, 0])
        place = 0 if frictions & 1 << bit else 2
        of_stratum[place] += number
        of_stratum[place + 1] += advanced
    return [Stratum(*of_stratum) for of_stratum in sums.values()]
