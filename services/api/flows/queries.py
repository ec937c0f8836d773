"""Statements over the sums of moves and of variants; variants of kinds are asked."""

from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    BEGINS,
    IN_JOURNEYS,
    IS_OWN,
    KIND_OF,
    KINDS,
    KindTable,
    customers_parameters,
    join_counted,
    prepare_to_ask,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.analytics.flows import Moves
from throughline.journey.flows import MOVES
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


MAX_KINDS = 40
"""Maximum number of kinds of a path that are told apart."""
MAX_PATHS = 50
"""Maximum number of paths that are shown one by one."""


class KindPath(NamedTuple):
    """Cycles that went through the same kinds; `kinds` None: all that are not shown together."""

    kinds: tuple[int, ...] | None
    """By number; repeats in a row are one."""
    cycles: int
    reached: int
    """Came to the goal or beyond."""
    lapsed: int


def _pathed_sql(customers: CustomerFilter) -> str:
    """Returns common tables, the last of which is `pathed`: the cycles with the kinds that each went through."""
    return f"""
        WITH {KINDS}, begun AS (
            SELECT e.customer, e.cycle, e.at_us, e.place, e.message_id, e.actor
            FROM transitions e {join_counted(customers)}
            WHERE e.model = :model AND {BEGINS.replace("b.", "e.")} AND e.at_us BETWEEN :from_us AND :to_us - 1
        ), cycles AS MATERIALIZED (
            SELECT row_number() OVER () AS number, b.customer, b.cycle, b.at_us, b.place, b.message_id,
                b.actor, coalesce(max(t.at_us) FILTER (WHERE t.kind = 3), {2**63 - 1}) AS lapsed_us,
                bool_or(t.kind = 3) AS lapsed, bool_or(t.kind <> 3 AND t.to_phase >= :goal) AS reached
            FROM begun b
            JOIN transitions t ON t.customer = b.customer AND t.model = :model AND t.cycle = b.cycle
            GROUP BY b.customer, b.cycle, b.at_us, b.place, b.message_id, b.actor
        ), steps AS (
            SELECT c.number, k.kind, t.occurred_us, t.place, t.message_id, i.name, row_number() OVER (
                PARTITION BY c.number, t.message ORDER BY t.occurred_us, t.place, i.name COLLATE "C"
            ) AS nth
            FROM cycles c JOIN ids i ON i.root = c.customer AND i.workspace = :workspace
            JOIN touchpoints t ON t.actor = i.id AND t.occurred_us BETWEEN c.at_us AND c.lapsed_us {KIND_OF}
            WHERE t.occurred_us >= :from_us AND {IN_JOURNEYS} AND {IS_OWN} AND k.kind IS NOT NULL
                AND t.occurred_us < c.lapsed_us
                AND (t.occurred_us, t.place, t.message_id COLLATE "C", i.name COLLATE "C")
                    >= (c.at_us, c.place, c.message_id, c.actor)
        ), changes AS (
            SELECT *, lag(kind) OVER (
                PARTITION BY number ORDER BY occurred_us, place, message_id COLLATE "C", name COLLATE "C"
            ) AS before
            FROM steps WHERE nth = 1
        ), ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY number ORDER BY occurred_us, place, message_id COLLATE "C", name COLLATE "C"
            ) AS rank
            FROM changes WHERE before IS DISTINCT FROM kind
        ), paths AS (
            SELECT number, array_agg(kind ORDER BY rank) AS kinds FROM ranked WHERE rank <= {MAX_KINDS}
            GROUP BY number
        ), pathed AS MATERIALIZED (
            SELECT cycles.*, coalesce(paths.kinds, ARRAY[]::smallint[]) AS kinds
            FROM cycles LEFT JOIN paths USING (number)
        )
    """


async def read_kind_paths(
    connection: AsyncConnection,
    generation: int,
    workspace: int,
    days: Days,
    customers: CustomerFilter,
    kinds: KindTable,
    goal: int,
) -> list[KindPath]:
    """Returns the paths of kinds of the cycles that began in some days, the most frequent first.

    A path has what the customer did from the touchpoint that began the cycle until its lapse, in the kinds that the
    vocabulary knows, and ends after `MAX_KINDS`.

    Args:
        connection: where to read.
        generation: whose.
        workspace: whose facts.
        days: on which cycles began.
        customers: whose.
        kinds: the vocabulary.
        goal: the phase by which a cycle has succeeded.
    """
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            {_pathed_sql(customers)}, counted AS (
                SELECT kinds, count(*) AS cycles, count(*) FILTER (WHERE reached) AS reached,
                    count(*) FILTER (WHERE lapsed) AS lapsed
                FROM pathed GROUP BY 1
            ), placed AS (
                SELECT *, row_number() OVER (ORDER BY cycles DESC, kinds) AS rank FROM counted
            )
            SELECT kinds, cycles, reached, lapsed FROM placed WHERE rank <= {MAX_PATHS}
            UNION ALL
            SELECT NULL, CAST(sum(cycles) AS bigint), CAST(sum(reached) AS bigint), CAST(sum(lapsed) AS bigint)
            FROM placed WHERE rank > {MAX_PATHS} HAVING count(*) > 0
        """),
        customers_parameters(generation, customers)
        | kinds.parameters
        | _span(days)
        | {"workspace": workspace, "goal": goal},
    )
    return [KindPath(None if numbers is None else tuple(numbers), *sums) for numbers, *sums in rows]


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
    workspace: int,
    days: Days,
    customers: CustomerFilter,
    kinds: KindTable,
    goal: int,
    *,
    path: tuple[int, ...] | None,
    is_other: bool,
    outcome: KindOutcome,
    after: KindCyclePosition | None,
    count: int,
) -> list[KindCycle]:
    """Returns up to `count` of the cycles that `read_kind_paths` counts for the same arguments, by customer and cycle.

    Args:
        path: through which kinds, by number; None: any.
        is_other: whether only those of paths that are not shown one by one.
        outcome: all, those that came to the goal, or those that lapsed.
        after: the last of the page before.
        count: the maximum number.
    """
    conditions = ["true" if outcome == "all" else f"p.{outcome}"]
    parameters: dict[str, Any] = {"count": count, "workspace": workspace, "goal": goal}
    if path is not None:
        conditions.append("p.kinds = :path")
        parameters["path"] = list(path)
    if is_other:
        conditions.append("p.kinds NOT IN (SELECT kinds FROM shown)")
    if after is not None:
        conditions.append("(p.customer, p.cycle) > (:after_customer, :after_cycle)")
        parameters |= {"after_customer": after.customer, "after_cycle": after.cycle}
    await prepare_to_ask(connection)
    rows = await connection.execute(
        statement(f"""
            {_pathed_sql(customers)}, shown AS (
                SELECT kinds FROM pathed GROUP BY 1 ORDER BY count(*) DESC, kinds LIMIT {MAX_PATHS}
            )
            SELECT p.customer, j.id, p.cycle, p.at_us, CASE WHEN p.lapsed THEN p.lapsed_us END, p.reached
            FROM pathed p JOIN journeys j ON j.customer = p.customer AND j.model = :model
            WHERE {" AND ".join(conditions)} ORDER BY p.customer, p.cycle LIMIT :count
        """),
        customers_parameters(generation, customers) | kinds.parameters | _span(days) | parameters,
    )
    return [KindCycle(*row) for row in rows]


def _span(days: Days) -> dict[str, int]:
    return {"from_us": days.from_us, "to_us": days.end_us}
