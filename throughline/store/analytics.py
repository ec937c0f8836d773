"""Statements over the sums of funnels, flows and variants."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.flows import FlowCell, FlowDeltas, VariantCell, VariantDeltas
from throughline.journey.funnel import FunnelCell, FunnelDeltas
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.analytics import flow_counts, funnel_counts, variant_counts


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

    async def add(self, connection: AsyncConnection, shard: int, deltas: Mapping[Any, int]) -> None:
        rows = sorted((*cell, shard, number) for cell, number in deltas.items() if number)
        if rows:
            await self._statement.fetch(connection, self._parameters.parameters(rows))


_funnel = _Sums(funnel_counts, FunnelCell._fields)
_flows = _Sums(flow_counts, FlowCell._fields)
_variants = _Sums(variant_counts, VariantCell._fields)


async def add_analytics(
    connection: AsyncConnection, shard: int, funnel: FunnelDeltas, flows: FlowDeltas, variants: VariantDeltas
) -> None:
    """Add deltas to one shard's rows; deltas of 0 are left out."""
    await _funnel.add(connection, shard, funnel)
    await _flows.add(connection, shard, flows)
    await _variants.add(connection, shard, variants)
