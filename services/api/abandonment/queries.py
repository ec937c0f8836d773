"""Statements over stays in a phase, and what came before their end."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    ValueFilter,
    customers_parameters,
    customers_sql,
    join_counted,
    opening_sql,
    prepare_to_ask,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.journey.durations import MINUTE_US

Outcome = Literal["entered", "advanced", "lapsed", "ended", "still"]
"""How a stay ended; entered: any."""
Number = Literal[Outcome, "mature", "lapsed_within", "at_risk"]
"""A number of stays that has a list."""


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


def _span(phase: int, days: Days) -> dict[str, int]:
    return {"phase": phase, "from_us": days.from_us, "to_us": days.end_us}
