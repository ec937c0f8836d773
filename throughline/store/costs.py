"""Statements over what was spent to bring customers."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import BigInteger, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.engine.arrays import UnnestParameters
from throughline.store.schema.costs import costs


class Cost(NamedTuple):
    """What was spent on a day for one value of a dimension."""

    dimension: str
    day: int
    """Days since 1970-01-01."""
    value: str
    currency: str
    amount: int
    """Minor units of the currency."""


_KEY = ("workspace", "dimension", "day", "value", "currency")
_COLUMNS = (*_KEY, "amount")
_rows = UnnestParameters("spent", {name: costs.c[name].type for name in _COLUMNS})
_insert = insert(costs).from_select(
    _COLUMNS,
    select(*_rows.table.c).order_by(
        *(_rows.table.c[name].collate("C") if name in ("dimension", "value") else _rows.table.c[name] for name in _KEY)
    ),
)
_write = _insert.on_conflict_do_update(
    index_elements=[costs.c[name] for name in _KEY], set_={"amount": _insert.excluded.amount}
)


async def write_costs(connection: AsyncConnection, workspace: int, rows: Iterable[Cost]) -> None:
    """Write costs in the place of those of the same day, value and currency. The rows are distinct."""
    await connection.execute(_write, _rows.parameters(sorted((workspace, *row) for row in rows)))


async def read_costs(
    connection: AsyncConnection, workspace: int, dimension: str, days: tuple[int, int], count: int
) -> list[tuple[str, str, int]]:
    """Returns (value, currency, amount) of the values of a dimension, the dearest first, at most `count`.

    Args:
        connection: where to read.
        workspace: whose costs.
        dimension: of the values.
        days: the first day and the last.
        count: the maximum number.
    """
    c = costs.c
    amount = func.sum(c.amount).cast(BigInteger)
    rows = await connection.execute(
        select(c.value, c.currency, amount)
        .where(c.workspace == workspace, c.dimension == dimension, c.day.between(*days))
        .group_by(c.value, c.currency)
        .order_by(amount.desc(), c.value, c.currency)
        .limit(count)
    )
    return [(value, currency, spent) for value, currency, spent in rows]
