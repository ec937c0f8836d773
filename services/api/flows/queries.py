"""Statements over the sums of moves and of variants; variants of kinds are asked."""

from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    BEGINS,
    KINDS,
    KindTable,
    customers_parameters,
    join_counted,
    own_facts_sql,
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


_WHOLE_SETS: Final = {"enable_mergejoin": "off"}
"""PostgreSQL takes the touchpoints of a cycle for many, and would walk indexes for their order."""
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
    facts = own_facts_sql(
        customers,
        {"place": "t.place", "message_id": "t.message_id", "name": "i.name", "kind": "k.kind"},
        None,
        ":from_us",
    )
    in_order = 'occurred_us, place, message_id COLLATE "C"'
    return f"""
        WITH {KINDS}, cycles AS (
            SELECT b.customer, b.cycle, b.at_us, b.place, b.message_id, b.actor,
                coalesce(max(t.at_us) FILTER (WHERE t.kind = 3), {2**63 - 1}) AS lapsed_us,
                bool_or(t.kind = 3) AS lapsed, bool_or(t.kind <> 3 AND t.to_phase >= :goal) AS reached
            FROM transitions b {join_counted(customers, "b")}
            JOIN transitions t ON t.customer = b.customer AND t.model = :model AND t.cycle = b.cycle
            WHERE b.model = :model AND {BEGINS} AND b.at_us BETWEEN :from_us AND :to_us - 1
            GROUP BY b.customer, b.cycle, b.at_us, b.place, b.message_id, b.actor
        ), steps AS (
            SELECT c.customer, c.cycle, c.at_us, c.lapsed_us, c.lapsed, c.reached, f.occurred_us, f.place,
                f.message_id, f.kind, lag(f.kind) OVER (
                    PARTITION BY c.customer, c.cycle ORDER BY f.occurred_us, f.place, f.message_id COLLATE "C"
                ) AS before
            FROM cycles c LEFT JOIN ({facts}) f ON f.customer = c.customer AND f.kind IS NOT NULL
                AND f.occurred_us >= c.at_us AND f.occurred_us < c.lapsed_us
                AND (f.occurred_us > c.at_us OR (f.place, f.message_id COLLATE "C", f.name COLLATE "C")
                    >= (c.place, c.message_id, c.actor))
        ), pathed AS (
            SELECT customer, cycle, min(at_us) AS at_us, min(lapsed_us) AS lapsed_us, bool_or(lapsed) AS lapsed,
                bool_or(reached) AS reached, coalesce(
                    (array_agg(kind ORDER BY {in_order}) FILTER (WHERE before IS DISTINCT FROM kind))[1:{MAX_KINDS}],
                    ARRAY[]::smallint[]
                ) AS kinds
            FROM steps GROUP BY customer, cycle
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
    await prepare_to_ask(connection, **_WHOLE_SETS)
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
    await prepare_to_ask(connection, **_WHOLE_SETS)
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
