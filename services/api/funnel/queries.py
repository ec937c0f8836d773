"""Statements over funnel sums, and over the transitions of those behind a number."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    and_,
    any_,
    case,
    func,
    literal,
    not_,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import ValueFilter, opening_sql, statement
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter, counted_journeys
from throughline.analytics.funnel import Count
from throughline.journey.funnel import CYCLE
from throughline.journey.state import LAPSE
from throughline.kit.errors import ServiceError
from throughline.store.schema.analytics import funnel_counts
from throughline.store.schema.journeys import journeys, transitions

MAX_CELLS = 200_000
"""Maximum number of sums that one question reads: days, ways on, ages and values of a dimension multiply."""

Dimension = Literal["source", "channel"]
Outcome = Literal["cohort", "mature", "immature", "reached", "entered", "within", "lapsed", "ended", "still"]


class Position(NamedTuple):
    """The place in a list: by customer digest and cycle."""

    customer: bytes
    cycle: int


class CustomerInFunnel(NamedTuple):
    """A customer (or one of its cycles) that a number of a funnel counts."""

    customer: bytes
    id: str
    cycle: int
    """0 of customers."""
    entered_us: int
    reached_us: int | None

    @property
    def position(self) -> Position:
        """The place in the list."""
        return Position(self.customer, self.cycle)


async def read_funnel(
    connection: AsyncConnection,
    generation: int,
    unit: int,
    phase: int,
    days: Days,
    customers: CustomerFilter,
    by: Dimension | None = None,
    bins: Sequence[int] | None = None,
    ways: Sequence[int] | None = None,
) -> dict[int | str | None, list[Count]]:
    """The sums of the entries into a phase, by value of a dimension; without one, all under None.

    Args:
        generation: whose.
        unit: CYCLE or CUSTOMER.
        phase: the phase that was come to.
        days: of entry, or groups of days: each with sums of its own.
        customers: whose.
        by: the dimension.
        bins: bins of age that begin groups of them, each with sums of its own; None: each bin has.
        ways: the ways on that are read; None: all.

    Raises:
        ServiceError: 400 `invalid_parameter`: these would be more than `MAX_CELLS`.
    """
    c = funnel_counts.c
    value = null() if by is None else c[by]
    age = c.age if bins is None else _group(c.age, bins)
    keys = (_group(c.day_us, days.starts).label("day"), c.way, age.label("age"))
    sums = (
        select(value.label("value"), *keys, func.sum(c.number).cast(BigInteger).label("number"))
        .where(
            c.model == generation,
            c.unit == unit,
            c.phase == phase,
            c.day_us >= days.from_us,
            c.day_us < days.end_us,
            *([] if ways is None else [c.way == any_(literal(list(ways), ARRAY(c.way.type)))]),
            *customers.conditions(funnel_counts),
        )
        .group_by(*keys, *([] if by is None else [value]))
        .limit(MAX_CELLS + 1)
        .subquery("sums")
    )
    # An array for each day: a row takes ten times as long to read as a number in one.
    s = sums.c
    arrays = (func.array_agg(column) for column in (s.way, s.age, s.number))
    rows = (
        await connection.execute(select(s.value, s.day, *arrays).where(s.number != 0).group_by(s.value, s.day))
    ).all()
    if sum(len(numbers) for *_, numbers in rows) > MAX_CELLS:
        raise ServiceError(
            400,
            "invalid_parameter",
            "from: too much is counted in this span; ask for fewer days or without by",
            field="from",
        )
    counts: dict[int | str | None, list[Count]] = {}
    for value_, day_number, ways, ages, numbers in rows:
        of_bins = ages if bins is None else [bins[group - 1] for group in ages]
        of_day = map(Count, repeat(days.starts[day_number - 1]), repeat(phase), ways, of_bins, numbers)
        counts.setdefault(value_, []).extend(of_day)
    return counts


def _group(column: ColumnElement[int], starts: Sequence[int]) -> ColumnElement[int]:
    """The number, from 1, of the last of ascending `starts` that is not after a column."""
    if len(starts) == 1:
        return literal(1)
    if len(starts) == 2:
        return case((column < starts[1], 1), else_=2)  # costs a fifth of a bucket
    return func.width_bucket(column, literal(list(starts), ARRAY(column.type)))


async def list_customers(
    connection: AsyncConnection,
    generation: int,
    unit: int,
    steps: tuple[int, int],
    span: tuple[int, int],
    customers: CustomerFilter,
    outcome: Outcome,
    *,
    window_us: int | None,
    mature_until_us: int,
    after: Position | None,
    count: int,
    valued: ValueFilter | None = None,
) -> list[CustomerInFunnel]:
    """Up to `count` of those whom a funnel counts, after a position, in the order of customer and cycle.

    Args:
        generation: whose.
        unit: CYCLE or CUSTOMER.
        steps: the first and the last phase.
        span: first instant, and the first after the span.
        customers: whose.
        outcome: which number of the last step.
        window_us: within which `within` has to be; None: without an end.
        mature_until_us: entries from then on are immature.
        after: the last of the page before.
        count: the maximum number.
        valued: under which values of a dimension.
    """
    first, last = steps
    t = transitions.c
    moves = transitions.alias("moves")
    is_entry = t.kind != LAPSE
    j = journeys.c
    if unit == CYCLE:
        entries = (
            select(t.customer, t.cycle, t.at_us.label("entered_us"), t.device, t.campaign)
            .where(t.model == generation, is_entry, t.to_phase == first)
            .subquery("e")
        )
        same = and_(
            moves.c.customer == entries.c.customer, moves.c.model == generation, moves.c.cycle == entries.c.cycle
        )
    else:
        entries = (
            select(t.customer, literal(0).label("cycle"), func.min(t.at_us).label("entered_us"))
            .where(t.model == generation, is_entry, t.to_phase >= first)
            .group_by(t.customer)
            .subquery("e")
        )
        same = and_(moves.c.customer == entries.c.customer, moves.c.model == generation)
    way = (
        select(
            func.min(moves.c.at_us).filter(moves.c.kind != LAPSE, moves.c.to_phase >= last).label("reached_us"),
            func.bool_or(and_(moves.c.kind != LAPSE, moves.c.to_phase == last)).label("entered"),
            func.bool_or(moves.c.kind == LAPSE).label("lapsed"),
            func.bool_or(and_(moves.c.kind == LAPSE, moves.c.message_id != "")).label("ended"),
        )
        .where(same)
        .lateral("way")
    )
    entered_us, reached_us = entries.c.entered_us, way.c.reached_us
    silent = func.coalesce(way.c.lapsed, False) if unit == CYCLE else j.lapsed_us > 0
    ended = func.coalesce(way.c.ended, False) if unit == CYCLE else literal(False)
    conditions: dict[Outcome, ColumnElement[bool]] = {
        "cohort": true(),
        "mature": entered_us < mature_until_us,
        "immature": entered_us >= mature_until_us,
        "entered": func.coalesce(way.c.entered, False),
        "reached": reached_us.is_not(None),
        "within": and_(
            reached_us.is_not(None),
            entered_us < mature_until_us,
            true() if window_us is None else reached_us - entered_us < window_us,
        ),
        "lapsed": and_(reached_us.is_(None), silent, ~ended),
        "ended": and_(reached_us.is_(None), ended),
        "still": and_(reached_us.is_(None), ~silent),
    }
    query = (
        select(entries.c.customer, j.id, entries.c.cycle, entered_us, reached_us)
        .select_from(entries)
        .join(journeys, and_(j.customer == entries.c.customer, j.model == generation))
        .join(way, true())
        .where(
            entered_us >= span[0], entered_us < span[1], conditions[outcome], *counted_journeys(generation, customers)
        )
    )
    if valued is not None:
        query = query.where(_of_value(generation, valued))
    if after is not None:
        query = query.where(tuple_(entries.c.customer, entries.c.cycle) > tuple_(after.customer, after.cycle))
    rows = await connection.execute(query.order_by(entries.c.customer, entries.c.cycle).limit(count))
    return [CustomerInFunnel(*row) for row in rows]


def _of_value(generation: int, valued: ValueFilter) -> ColumnElement[bool]:
    """The condition on an entry `e` that it is counted under values of a dimension."""
    if valued.opening is None:
        is_counted = and_(true(), *counted_journeys(generation, valued.customers))
        return not_(is_counted) if valued.is_other and not valued.customers.is_everybody else is_counted
    condition: Any = statement(f"{opening_sql(valued.opening)} {valued.comparison}")
    condition = condition.bindparams(values=list(valued.values))
    return cast("ColumnElement[bool]", condition)
