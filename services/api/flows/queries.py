"""Statements over the sums of moves and of variants; variants of kinds are asked."""

from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    customers_parameters,
    customers_sql,
    join_counted,
    prepare_to_ask,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.analytics.flows import Moves
from throughline.journey.flows import MOVES
from throughline.journey.trail import FIELDS, SEPARATOR
from throughline.store.schema.analytics import flow_counts, variant_counts


async def read_moves(
    connection: AsyncConnection, generation: int, reading: int, span: tuple[int, int], customers: CustomerFilter
) -> list[Moves]:
    """The sums of a reading up to the end of a span; of moves with those before it, which say how it opens."""
    c = flow_counts.c
    before = (c.day_us < span[0]).label("before")
    keys = (before, c.kind, c.from_phase, c.to_phase, c.cycle)
    query = select(*keys, func.sum(c.number).cast(BigInteger)).where(
        c.model == generation, c.reading == reading, c.day_us < span[1], *customers.conditions(flow_counts)
    )
    if reading != MOVES:
        query = query.where(c.day_us >= span[0])
    rows = await connection.execute(query.group_by(*keys))
    return [Moves(*row) for row in rows if row[-1]]


async def read_variants(
    connection: AsyncConnection, generation: int, span: tuple[int, int], customers: CustomerFilter
) -> list[tuple[int, int, int]]:
    """(phases entered, outcome, number) of the cycles that began in a span."""
    c = variant_counts.c
    keys = (c.phases, c.outcome)
    rows = await connection.execute(
        select(*keys, func.sum(c.number).cast(BigInteger))
        .where(
            c.model == generation,
            c.day_us >= span[0],
            c.day_us < span[1],
            *customers.conditions(variant_counts),
        )
        .group_by(*keys)
    )
    return [(phases, outcome, number) for phases, outcome, number in rows if number]


MAX_PATHS = 50
"""Maximum number of paths that are shown one by one."""


class KindPath(NamedTuple):
    """Cycles that went through the same kinds; `kinds` None: all that are not shown together."""

    kinds: tuple[str, ...] | None
    """By name; repeats in a row are one."""
    cycles: int
    reached: int
    """Came to the goal or beyond."""
    lapsed: int


def _cycles_sql(customers: CustomerFilter) -> str:
    """Returns common tables, the last of which is `cycles`: the cycles with the kinds that each went through.

    A journey has those of the latest cycle; of the earlier ones the returns from them. In a cycle one moves forward
    only, so that the phase it ended in is its highest.
    """
    began_us = "CAST(nullif(split_part(split_part(split_part(j.milestones, ';', 1), ',', 1), ':', 2), '') AS bigint)"
    return f"""
        WITH cycles AS NOT MATERIALIZED (
            SELECT j.customer, j.cycle, {began_us} AS began_us, j.lapsed_us > 0 AS lapsed, j.phase >= :goal AS reached,
                split_part(j.trail, chr({ord(SEPARATOR)}), {FIELDS["path"]}) AS kinds
            FROM journeys j
            WHERE {customers_sql(customers)} AND {began_us} >= :from_us AND {began_us} < :to_us
            UNION ALL
            SELECT b.customer, b.cycle - 1, b.since_us, true, b.from_phase >= :goal, b.kinds
            FROM transitions b {join_counted(customers, "b")}
            WHERE b.model = :model AND b.kind = 2 AND b.since_us >= :from_us AND b.since_us < :to_us
        )
    """


async def read_kind_paths(
    connection: AsyncConnection,
    generation: int,
    days: Days,
    customers: CustomerFilter,
    goal: int,
) -> list[KindPath]:
    """Returns the paths of kinds of the cycles that began in some days, the most frequent first.

    A path has what the customer did from the touchpoint that began the cycle to its end, in the kinds that the
    vocabulary knew, and ends after `MAX_KINDS` (`throughline/journey/trail.py`).

    Args:
        connection: where to read.
        generation: whose.
        days: on which cycles began.
        customers: whose.
        goal: the phase by which a cycle has succeeded.
    """
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            {_cycles_sql(customers)}, counted AS (
                SELECT kinds, count(*) AS cycles, count(*) FILTER (WHERE reached) AS reached,
                    count(*) FILTER (WHERE lapsed) AS lapsed
                FROM cycles GROUP BY 1
            ), placed AS (
                SELECT *, row_number() OVER (ORDER BY cycles DESC, kinds COLLATE "C") AS rank FROM counted
            )
            SELECT kinds, cycles, reached, lapsed FROM placed WHERE rank <= {MAX_PATHS}
            UNION ALL
            SELECT NULL, CAST(sum(cycles) AS bigint), CAST(sum(reached) AS bigint), CAST(sum(lapsed) AS bigint)
            FROM placed WHERE rank > {MAX_PATHS} HAVING count(*) > 0
        """),
        customers_parameters(generation, customers) | _span(days) | {"goal": goal},
    )
    return [KindPath(None if names is None else tuple(filter(None, names.split(","))), *sums) for names, *sums in rows]


class KindCycle(NamedTuple):
    """A cycle and how it went."""

    customer: bytes
    id: str
    cycle: int
    began_us: int
    lapsed_us: int | None
    reached: bool

    @property
    def position(self) -> "KindCyclePosition":
        """The place in the list."""
        return KindCyclePosition(self.customer, self.cycle)


class KindCyclePosition(NamedTuple):
    """The place of a cycle in the list."""

    customer: bytes
    cycle: int


KindOutcome = Literal["all", "reached", "lapsed"]


async def list_kind_cycles(
    connection: AsyncConnection,
    generation: int,
    days: Days,
    customers: CustomerFilter,
    goal: int,
    *,
    path: tuple[str, ...] | None,
    is_other: bool,
    outcome: KindOutcome,
    after: KindCyclePosition | None,
    count: int,
) -> list[KindCycle]:
    """Returns up to `count` of the cycles that `read_kind_paths` counts for the same arguments, by customer and cycle.

    Args:
        path: through which kinds, by name; None: any.
        is_other: whether only those of paths that are not shown one by one.
        outcome: all, those that came to the goal, or those that lapsed.
        after: the last of the page before.
        count: the maximum number.
    """
    conditions = ["true" if outcome == "all" else f"p.{outcome}"]
    parameters: dict[str, Any] = {"count": count, "goal": goal}
    if path is not None:
        conditions.append("p.kinds = :path")
        parameters["path"] = ",".join(path)
    if is_other:
        conditions.append("p.kinds NOT IN (SELECT kinds FROM shown)")
    if after is not None:
        conditions.append("(p.customer, p.cycle) > (:after_customer, :after_cycle)")
        parameters |= {"after_customer": after.customer, "after_cycle": after.cycle}
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            {_cycles_sql(customers)}, shown AS (
                SELECT kinds FROM cycles GROUP BY 1 ORDER BY count(*) DESC, kinds COLLATE "C" LIMIT {MAX_PATHS}
            ), page AS (
                SELECT p.* FROM cycles p WHERE {" AND ".join(conditions)} ORDER BY p.customer, p.cycle LIMIT :count
            )
            SELECT p.customer, j.id, p.cycle, p.began_us, (
                SELECT l.at_us FROM transitions l
                WHERE l.customer = p.customer AND l.model = :model AND l.cycle = p.cycle AND l.kind = 3
            ), p.reached
            FROM page p JOIN journeys j ON j.customer = p.customer AND j.model = :model ORDER BY p.customer, p.cycle
        """),
        customers_parameters(generation, customers) | _span(days) | parameters,
    )
    return [KindCycle(*row) for row in rows]


def _span(days: Days) -> dict[str, int]:
    return {"from_us": days.from_us, "to_us": days.end_us}
