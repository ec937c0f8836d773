"""Statements over stays in a phase, what came before their end, and visits with friction. All of it is asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    FACTS,
    KINDS,
    MAX_VALUE,
    MAX_VALUES,
    NONE,
    VISIT_US,
    KindTable,
    ValueFilter,
    customers_parameters,
    customers_sql,
    join_counted,
    opening_sql,
    own_facts_sql,
    prepare_to_ask,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.analytics.strata import Stratum
from throughline.journey.durations import DAY_US, MINUTE_US
from throughline.store.admission import OTHER

Outcome = Literal["entered", "advanced", "lapsed", "ended", "still"]
"""How a stay ended; entered: any."""
Number = Literal[Outcome, "mature", "lapsed_within", "at_risk"]
"""A number of stays that has a list."""
VisitDimension = Literal["channel", "campaign", "device"]
AFTER_US = DAY_US
"""Time within which a visit has to go on beyond the phase."""
MAX_STRATA = 100_000
"""Maximum number of groups of visits that one question reads."""


class Position(NamedTuple):
    """The place in a list: by customer digest, instant and cycle."""

    customer: bytes
    entered_us: int
    cycle: int


class StayFilter(NamedTuple):
    """Which stays one number counts."""

    number: Number = "lapsed"
    next_phase: int | None = None
    """Of those that advanced: to which phase; None: to any."""
    mature_until_us: int = 0
    """Of `mature`, `lapsed_within` and `at_risk`: entries before it have been seen for as long as the number needs."""
    age_us: int | None = None
    """Of `lapsed_within`: they lapsed before this age; of `at_risk`: they had not ended before it. None: whenever."""

    def conditions(self) -> tuple[list[str], dict[str, Any]]:
        """Returns conditions on an entry `e` and the move `n` after it, and their parameters."""
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        outcome = "lapsed" if self.number == "lapsed_within" else self.number
        if outcome in get_args(Outcome) and outcome != "entered":
            conditions.append(f"{_OUTCOME} = :outcome")
            parameters["outcome"] = outcome
        if self.number in ("mature", "lapsed_within", "at_risk"):
            conditions.append("e.at_us < :mature_until_us")
            parameters["mature_until_us"] = self.mature_until_us
        if self.next_phase is not None:
            conditions.append("n.to_phase = :to_phase")
            parameters["to_phase"] = self.next_phase
        if self.age_us is not None:
            is_ended = "n.at_us - e.at_us < :age_us"
            conditions.append(is_ended if self.number == "lapsed_within" else f"({is_ended}) IS NOT TRUE")
            parameters["age_us"] = self.age_us
        return conditions, parameters


class Stay(NamedTuple):
    """A customer's stay in a phase."""

    customer: bytes
    id: str
    cycle: int
    entered_us: int
    end_us: int | None
    """None: it is there."""
    outcome: Outcome

    @property
    def position(self) -> Position:
        """The place in the list."""
        return Position(self.customer, self.entered_us, self.cycle)


_NEXT: Final = """
    LEFT JOIN LATERAL (
        SELECT n.at_us, n.place, n.message_id, n.actor, n.kind, n.to_phase FROM transitions n
        WHERE n.customer = e.customer AND n.model = :model
            AND (n.at_us, n.place, n.message_id, n.actor, n.kind) > (e.at_us, e.place, e.message_id, e.actor, e.kind)
        ORDER BY n.at_us, n.place, n.message_id, n.actor, n.kind LIMIT 1
    ) n ON true
"""
_OUTCOME: Final = """
    CASE WHEN n.at_us IS NULL THEN 'still' WHEN n.kind <> 3 THEN 'advanced'
        WHEN n.message_id = '' THEN 'lapsed' ELSE 'ended' END
"""
_ENTRIES: Final = """
    e.model = :model AND e.kind <> 3 AND e.to_phase = :phase AND e.at_us >= :from_us AND e.at_us < :to_us
"""


async def list_stays(
    connection: AsyncConnection,
    generation: int,
    phase: int,
    days: Days,
    customers: CustomerFilter,
    which: StayFilter,
    *,
    valued: ValueFilter | None,
    after: Position | None,
    count: int,
) -> list[Stay]:
    """Returns up to `count` of the stays that began in some days, after a position, by customer and time.

    Args:
        connection: where to read.
        generation: whose.
        phase: where the stays are.
        days: the days of entry.
        customers: whose.
        which: those that one number counts.
        valued: under which values of a dimension.
        after: the last of the page before.
        count: the maximum number.
    """
    conditions, parameters = which.conditions()
    conditions.append(_ENTRIES)
    parameters |= customers_parameters(generation, customers) | _span(phase, days) | {"count": count}
    by = None if valued is None else valued.opening
    if valued is not None and by is not None:
        conditions.append(f"{opening_sql(by)} {valued.comparison}")
        parameters["values"] = list(valued.values)
    elif valued is not None and not valued.customers.is_everybody:
        is_counted = customers_sql(valued.customers, "value_")
        conditions.append(f"NOT ({is_counted})" if valued.is_other else is_counted)
        parameters |= customers_parameters(generation, valued.customers, "value_")
    if after is not None:
        conditions.append("(e.customer, e.at_us, e.cycle) > (:after_customer, :after_us, :after_cycle)")
        parameters |= {"after_customer": after.customer, "after_us": after.entered_us, "after_cycle": after.cycle}
    rows = await connection.execute(
        statement(f"""
            SELECT e.customer, j.id, e.cycle, e.at_us, n.at_us, {_OUTCOME}
            FROM transitions e JOIN journeys j ON j.customer = e.customer AND {customers_sql(customers)}
            {_NEXT}
            WHERE {" AND ".join(conditions)}
            ORDER BY e.customer, e.at_us, e.cycle LIMIT :count
        """),
        parameters,
    )
    return [Stay(*row) for row in rows]


class Ends(NamedTuple):
    """What came before stays ended, by the kind's name, or `UNKNOWN`."""

    lapsed: int
    """Number of stays of which a touchpoint before the lapse is there."""
    advanced: int
    """Number of stays of which a touchpoint before the one that led on is there."""
    kinds: Mapping[tuple[str, str], int]
    """(outcome, kind) -> stays with the kind among their last touchpoints."""
    last: Mapping[str, int]
    """Kind of the last touchpoint -> lapsed stays."""
    days: Mapping[int, int]
    """Start of the day of the last touchpoint -> lapsed stays."""


def _ends_sql(customers: CustomerFilter, *columns: str) -> str:
    """Returns a query for columns of the moves `n` that ended stays: a lapse, or the move on; with what came before."""
    return f"""
        SELECT {", ".join(columns)}, {_OUTCOME} AS outcome FROM transitions n {join_counted(customers, "n")}
        WHERE n.model = :model AND n.from_phase = :phase AND n.since_us >= :from_us AND n.since_us < :to_us
            AND (n.kind = 1 OR n.kind = 3 AND n.message_id = '') AND n.kinds <> ''
    """


class EndFilter(NamedTuple):
    """Which of the stays that `read_ends` counts are listed."""

    outcome: Literal["lapsed", "advanced"] = "lapsed"
    kind: str | None = None
    """Those with the kind among their last touchpoints; None: whichever these are."""
    last: str | None = None
    """Those whose last touchpoint has the kind."""
    left_us: tuple[int, int] | None = None
    """Those whose last touchpoint occurred from the one instant on and before the other."""


async def list_ends(
    connection: AsyncConnection,
    generation: int,
    phase: int,
    days: Days,
    customers: CustomerFilter,
    which: EndFilter,
    *,
    after: Position | None,
    count: int,
) -> list[Stay]:
    """Returns up to `count` of the stays that `read_ends` counts, after a position, by customer and time."""
    conditions = ["n.outcome = :outcome"]
    parameters: dict[str, Any] = {"outcome": which.outcome, "count": count}
    if which.kind is not None:
        conditions.append("CAST(:end_kind AS text) = ANY(string_to_array(n.kinds, ','))")
        parameters["end_kind"] = which.kind
    if which.last is not None:
        conditions.append("split_part(n.kinds, ',', -1) = :last_kind")
        parameters["last_kind"] = which.last
    if which.left_us is not None:
        conditions.append("n.active_us >= :since_us AND n.active_us < :until_us")
        parameters |= {"since_us": which.left_us[0], "until_us": which.left_us[1]}
    if after is not None:
        conditions.append("(n.customer, n.since_us, n.cycle) > (:after_customer, :after_us, :after_cycle)")
        parameters |= {"after_customer": after.customer, "after_us": after.entered_us, "after_cycle": after.cycle}
    columns = ("n.customer", "n.cycle", "n.since_us", "n.at_us", "n.active_us", "n.kinds")
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            SELECT n.customer, j.id, n.cycle, n.since_us, n.at_us, n.outcome
            FROM ({_ends_sql(customers, *columns)}) n JOIN journeys j ON j.customer = n.customer AND j.model = :model
            WHERE {" AND ".join(conditions)} ORDER BY n.customer, n.since_us, n.cycle LIMIT :count
        """),
        customers_parameters(generation, customers) | _span(phase, days) | parameters,
    )
    return [Stay(*row) for row in rows]


async def read_ends(
    connection: AsyncConnection, generation: int, phase: int, days: Days, customers: CustomerFilter, time_zone: str
) -> Ends:
    """Returns what came before stays lapsed or went on; arguments as of `list_stays`."""
    # Days begin with a minute everywhere: a few instants are put into the calendar, not one of each stay.
    minute = f"n.active_us - (n.active_us % {MINUTE_US} + {MINUTE_US}) % {MINUTE_US}"
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            WITH alike AS MATERIALIZED (
                SELECT outcome, kinds, count(*) AS number FROM ({_ends_sql(customers, "n.kinds")}) n GROUP BY 1, 2
            ), minutes AS (
                SELECT at_us, count(*) AS number FROM ({_ends_sql(customers, f"{minute} AS at_us")}) n
                WHERE outcome = 'lapsed' GROUP BY 1
            )
            SELECT 'kind', outcome, kind, CAST(NULL AS bigint) AS day, CAST(sum(number) AS bigint) FROM (
                SELECT DISTINCT outcome, kinds, number, kind
                FROM alike CROSS JOIN LATERAL unnest(string_to_array(kinds, ',')) kind
            ) each GROUP BY outcome, kind
            UNION ALL
            SELECT 'last', outcome, split_part(kinds, ',', -1) AS kind, NULL, CAST(sum(number) AS bigint)
            FROM alike GROUP BY outcome, split_part(kinds, ',', -1)
            UNION ALL
            SELECT 'day', NULL, NULL,
                CAST(extract(epoch FROM date_trunc('day', to_timestamp(at_us / 1e6) AT TIME ZONE :zone)
                    AT TIME ZONE :zone) * 1000000 AS bigint) AS day, CAST(sum(number) AS bigint)
            FROM minutes GROUP BY day
        """),
        customers_parameters(generation, customers) | _span(phase, days) | {"zone": time_zone},
    )
    of_kind: dict[tuple[str, str], int] = {}
    last: dict[str, int] = {}
    by_day: dict[int, int] = {}
    totals = {"lapsed": 0, "advanced": 0}
    for what, outcome, kind, day, number in rows:
        if what == "kind":
            of_kind[outcome, kind] = number
        elif what == "day":
            by_day[day] = number
        else:
            totals[outcome] += number
            if outcome == "lapsed":
                last[kind] = number
    return Ends(totals["lapsed"], totals["advanced"], of_kind, last, by_day)


AT_PHASE, BEYOND = 1, 2
"""Marks of kinds: those that make a visit one that counts; those by which it goes on."""
FRICTION = 2
"""Where the bits of the marks begin that name a friction."""
MAX_FRICTIONS = 40
"""Maximum number of names of friction that are told apart; further ones are the last one together."""

# The latest come first, so that one pass knows what follows. What is sorted is small: no ids of messages, so of
# touchpoints in one instant and place the first is the one whose channel comes first.
_LATEST_FIRST: Final = 'PARTITION BY customer ORDER BY occurred_us DESC, place DESC, channel COLLATE "C" DESC'


_CHANNEL: Final = "min(channel) FILTER (WHERE opens)"
_VALUE: Final = f"coalesce(min(value), '{NONE}')"


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

    def visits_sql(self, by: VisitDimension | None, *columns: str) -> str:
        """Returns a query for the visits.

        Args:
            by: the dimension that their `value` is of; None: of none.
            columns: further aggregates over the touchpoints of a visit; see the query for what these have.
        """
        value = f"left({FACTS[by]}, {MAX_VALUE})" if by == "campaign" or by == "device" else None
        # Touchpoints of half an hour before the span say whether its first ones open a visit; those of two days after
        # it, how its last visits end.
        facts = own_facts_sql(
            self.customers,
            {"place": "t.place", "channel": "t.channel", "marks": "coalesce(k.marks, 0)"},
            value,
            f":from_us - {VISIT_US}",
            f":to_us + {2 * AFTER_US}",
        )
        start_us, at_us = "min(occurred_us)", f"min(occurred_us) FILTER (WHERE marks & {AT_PHASE} > 0)"
        return f"""
            SELECT {", ".join((f"{start_us} AS start_us", f"{at_us} AS at_us", *columns))} FROM (
                SELECT *, count(*) FILTER (WHERE opens) OVER latest_first - CAST(opens AS integer) AS visit,
                    min(occurred_us) FILTER (WHERE marks & {BEYOND} > 0) OVER latest_first AS beyond_us
                FROM (
                    SELECT *, coalesce(
                        occurred_us - lead(occurred_us) OVER ({_LATEST_FIRST}) >= {VISIT_US}, true
                    ) AS opens FROM ({facts}) facts
                ) following WINDOW latest_first AS ({_LATEST_FIRST} ROWS UNBOUNDED PRECEDING)
            ) numbered
            GROUP BY customer, visit
            HAVING {start_us} >= :from_us AND {start_us} < :to_us AND {at_us} < :mature_until_us
        """

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of `visits_sql`."""
        return {
            **customers_parameters(self.generation, self.customers),
            **self.kinds.parameters,
            "workspace": self.workspace,
            "from_us": self.days.from_us,
            "to_us": self.days.end_us,
            "mature_until_us": self.mature_until_us,
        }


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
    value = _VALUE if by is not None else f"'{NONE}'"
    value = f"{_CHANNEL if by == 'channel' else value} AS value"
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(
            f"""
            WITH {KINDS}, of_value AS (
                SELECT value, count(*) AS number, count(*) FILTER (WHERE advanced) AS advanced
                FROM ({question.visits_sql(by, value, f"bool_or(marks & {BEYOND} > 0) AS advanced")}) visits GROUP BY 1
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
        question.parameters | ({} if values is None else {"values": list(values)}),
    )
    return [VisitsByValue(*row) for row in rows]


class Visits(NamedTuple):
    """Visits that are alike."""

    stratum: tuple[str, str, int]
    """Channel, device and start of the week."""
    frictions: int
    """Those of the visit, as bits."""
    advanced: bool
    number: int


async def read_visits(connection: AsyncConnection, question: VisitQuestion, time_zone: str) -> list[Visits]:
    """Returns visits in groups, up to `MAX_STRATA` of them and one more. `time_zone`: in which weeks begin."""
    columns = (
        "min(beyond_us) AS beyond_us",
        f"{_CHANNEL} AS channel",
        f"{_VALUE} AS value",
        f"bit_or(marks) >> {FRICTION} AS frictions",
    )
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            WITH {KINDS}
            SELECT channel, value, CAST(extract(epoch FROM week) AS bigint), frictions, advanced, number FROM (
                SELECT channel, value, date_trunc('week', to_timestamp(start_us / 1000000) AT TIME ZONE :zone) AS week,
                    frictions, coalesce(beyond_us <= at_us + {AFTER_US}, false) AS advanced, count(*) AS number
                FROM ({question.visits_sql("device", *columns)}) visits GROUP BY 1, 2, 3, 4, 5 LIMIT {MAX_STRATA + 1}
            ) groups
        """),
        question.parameters | {"zone": time_zone},
    )
    return [
        Visits((channel, device, week), frictions, advanced, number)
        for channel, device, week, frictions, advanced, number in rows
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
    value: str
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
    by = "device" if which.by is None else which.by
    beyond = "min(beyond_us)"
    at = f"min(occurred_us) FILTER (WHERE marks & {AT_PHASE} > 0) + {AFTER_US}"
    columns = (
        "customer",
        "max(occurred_us) AS end_us",
        f"{_CHANNEL} AS channel",
        f"{_CHANNEL if by == 'channel' else _VALUE} AS value",
        f"bit_or(marks) >> {FRICTION} AS frictions",
        f"coalesce({beyond} <= {'max(occurred_us)' if which.within_visit else at}, false) AS advanced",
    )
    conditions = ["v.advanced"] if which.has_advanced else []
    parameters: dict[str, Any] = {"count": count}
    if which.by is not None:
        conditions.append(f"v.value {'<> ALL' if which.is_other else '= ANY'}(:values)")
        parameters["values"] = list(which.values)
    if which.friction is not None:
        conditions.append(f"(v.frictions & {1 << which.friction} > 0) IS {which.has_friction}")
    if after is not None:
        conditions.append("(v.customer, v.start_us) > (:after_customer, :after_us)")
        parameters |= {"after_customer": after.customer, "after_us": after.start_us}
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            WITH {KINDS}
            SELECT v.customer, i.name, v.start_us, v.end_us, v.channel, v.value, v.advanced
            FROM ({question.visits_sql(by, *columns)}) v
            JOIN ids i ON i.workspace = :workspace AND i.id = v.customer
            WHERE {" AND ".join(conditions) or "true"} ORDER BY v.customer, v.start_us LIMIT :count
        """),
        question.parameters | parameters,
    )
    return [Visit(*row) for row in rows]


def strata_of(visits: Sequence[Visits], bit: int) -> list[Stratum]:
    """Returns the strata of a friction: visits with it and without it."""
    sums: dict[tuple[str, str, int], list[int]] = {}
    for stratum, frictions, advanced, number in visits:
        of_stratum = sums.setdefault(stratum, [0, 0, 0, 0])
        place = 0 if frictions & 1 << bit else 2
        of_stratum[place] += number
        of_stratum[place + 1] += number * advanced
    return [Stratum(*of_stratum) for of_stratum in sums.values()]


def _span(phase: int, days: Days) -> dict[str, int]:
    return {"phase": phase, "from_us": days.from_us, "to_us": days.end_us}
