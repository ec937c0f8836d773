"""Statements over the sums of funnels, flows and variants."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, and_, bindparam, delete, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.flows import FlowCell, FlowDeltas, VariantCell, VariantDeltas
from throughline.journey.funnel import FunnelCell, FunnelDeltas
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement, Write
from throughline.store.schema.analytics import MERGED, TABLES, flow_counts, funnel_counts, variant_counts
from throughline.store.schema.operations import models


class _Sums:
    """Adds to the sums of one table, whose key is a cell's fields and the shard."""

    def __init__(self, table: Table, fields: tuple[str, ...]) -> None:
        columns = (*fields, "shard", "number")
        key = [column.name for column in table.primary_key]
        self._parameters = UnnestParameters("deltas", {name: table.c[name].type for name in columns})
        deltas = self._parameters.table.c
        added = insert(table).from_select(columns, select(*deltas).order_by(*(deltas[name] for name in key)))
        self._statement = DriverStatement(
            added.on_conflict_do_update(
                index_elements=[table.c[name] for name in key],
                set_={"number": table.c.number + added.excluded.number},
            ).returning(table.c.model)
        )

    def to_add(self, shard: int, deltas: Mapping[Any, int]) -> list[Write]:
        # The statement sorts them, so that all transactions lock rows in one order.
        rows = [(*cell, shard, number) for cell, number in deltas.items() if number]
        return [(self._statement, self._parameters.parameters(rows))] if rows else []


_funnel = _Sums(funnel_counts, FunnelCell._fields)
_flows = _Sums(flow_counts, FlowCell._fields)
_variants = _Sums(variant_counts, VariantCell._fields)


def analytics_to_add(shard: int, funnel: FunnelDeltas, flows: FlowDeltas, variants: VariantDeltas) -> list[Write]:
    """Returns what adds deltas to one shard's rows; deltas of 0 are left out."""
    return [*_funnel.to_add(shard, funnel), *_flows.to_add(shard, flows), *_variants.to_add(shard, variants)]


MERGED_ROWS = 2_000
"""Maximum number of rows that one transaction looks at to merge their shards."""

SumKey = tuple[Any, ...]
"""The primary key of a row of sums."""


class _Merge:
    """Replaces the rows of a cell's shards by one, of the shard `MERGED`, a few rows of a table at a time."""

    def __init__(self, table: Table) -> None:
        key = list(table.primary_key)
        cell = [column.name for column in key[:-1]]
        after = tuple_(*(bindparam(f"after_{column.name}", type_=column.type) for column in key))
        first = select(*table.c).order_by(*key).limit(bindparam("count"))
        self._first = self._statement(table, first.cte("part"), cell)
        self._next = self._statement(table, first.where(tuple_(*key) > after).cte("part"), cell)
        self._key = [column.name for column in key]

    @staticmethod
    def _statement(table: Table, part: Any, cell: list[str]) -> Any:
        c, p = table.c, part.c
        ranked = select(*p, func.count().over(partition_by=[p[name] for name in cell]).label("rows")).subquery("ranked")
        settled = (
            select(*(ranked.c[name] for name in (*cell, "shard")))
            .join(models, and_(models.c.id == ranked.c.model, models.c.state == "live"))
            .where(
                ranked.c.day_us < bindparam("before_us"),
                # Alone in its cell a row of 0 says nothing.
                or_(
                    and_(ranked.c.rows > 1, ranked.c.shard != MERGED),
                    and_(ranked.c.rows == 1, ranked.c.shard == MERGED, ranked.c.number == 0),
                ),
            )
            .cte("settled")
        )
        taken = (
            delete(table).where(*(c[name] == settled.c[name] for name in (*cell, "shard"))).returning(*c).cte("taken")
        )
        columns = [taken.c[name] for name in cell]
        number = func.sum(taken.c.number).cast(c.number.type)
        sums = select(*columns, literal(MERGED), number).group_by(*columns).having(number != 0).order_by(*columns)
        merged = insert(table).from_select([*cell, "shard", "number"], sums)
        added = (
            merged.on_conflict_do_update(
                index_elements=list(table.primary_key), set_={"number": c.number + merged.excluded.number}
            )
            .returning(c.model)
            .cte("added")
        )
        last = select(*(p[name] for name in (*cell, "shard"))).order_by(*(p[name] for name in (*cell, "shard")))
        return last.add_cte(added).offset(bindparam("count") - 1).limit(1)

    async def run(self, connection: AsyncConnection, after: SumKey | None, before_us: int, count: int) -> SumKey | None:
        parameters: dict[str, Any] = {"before_us": before_us, "count": count}
        if after is not None:
            parameters |= {f"after_{name}": value for name, value in zip(self._key, after, strict=True)}
        row = (await connection.execute(self._first if after is None else self._next, parameters)).first()
        return None if row is None else tuple(row)


_merges = [_Merge(table) for table in TABLES]


class ShardMerger:
    """Walks through all sums, merging the shards of each settled cell: what is read stays short, however many
    partitions there are and however many months have passed. Late events write rows of their shards again, which the
    next walk adds. One process at a time should walk; two would only wait for each other."""

    def __init__(self) -> None:
        self._table = 0
        self._after: SumKey | None = None

    async def run(self, connection: AsyncConnection, before_us: int, count: int = MERGED_ROWS) -> bool:
        """Merge the next part of a table; returns whether the walk goes on.

        Args:
            connection: within a transaction.
            before_us: days before it are settled.
            count: the maximum number of rows to look at.
        """
        self._after = await _merges[self._table].run(connection, self._after, before_us, count)
        if self._after is None:
            self._table = (self._table + 1) % len(_merges)
        return self._after is not None or self._table > 0
