"""Statements over conversions, written with the journeys that they follow from."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.conversions import Conversion
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement, Write
from throughline.store.schema.journeys import conversions

_KEY = ("customer", "model", "order")
_COLUMNS = ("customer", "model", *Conversion._fields)
_orders = UnnestParameters("orders", {name: conversions.c[name].type for name in _COLUMNS})
_insert = insert(conversions).from_select(
    _COLUMNS,
    select(*_orders.table.c).order_by(
        _orders.table.c.customer, _orders.table.c.model, _orders.table.c.order.collate("C")
    ),
)
_write = DriverStatement(
    _insert.on_conflict_do_update(
        index_elements=[conversions.c[name] for name in _KEY],
        set_={name: _insert.excluded[name] for name in Conversion._fields if name not in _KEY},
    ).returning(conversions.c.model)
)


def conversions_to_write(rows: Sequence[tuple[Any, ...]]) -> list[Write]:
    """Returns what writes conversions: rows of (customer digest, generation id, *Conversion), sorted and distinct.

    Whoever writes holds the locks on the customers' ids.
    """
    return [(_write, _orders.parameters(rows))] if rows else []


_gone = UnnestParameters("gone_orders", {name: conversions.c[name].type for name in _KEY})
_remove = DriverStatement(
    delete(conversions)
    .where(select(_gone.table.c.model).where(*(conversions.c[name] == _gone.table.c[name] for name in _KEY)).exists())
    .returning(conversions.c.model)
)


async def remove_conversions(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Delete conversions by key: rows of (customer digest, generation id, key of the order)."""
    await _remove.fetch(connection, _gone.parameters(rows))
