"""Statements over marks: journeys that are recomputed aside, because their transaction had no time for it.

Whoever writes a mark holds the lock on its customer, as for the customer's journeys. What a pass has recomputed so far
stands beside the journey, in the same tables under the negative number of its model.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from sqlalchemy import BigInteger, LargeBinary, any_, bindparam, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.lapse import EVER, NEVER
from throughline.journey.touchpoint import OrderKey
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.journeys import JourneyKey
from throughline.store.schema.identity import ids
from throughline.store.schema.journeys import recomputations


class Phase(IntEnum):
    """How far a pass has come."""

    WAITING = 0
    """It begins with the next slice."""
    FOLDING = 1
    """It folds touchpoints, in order, into a journey beside the old one."""
    REMOVING = 2
    """It removes the old transitions, in order."""
    ADDING = 3
    """It puts the new transitions in their place, in order."""
    VANISHING = 4
    """It removes a journey of which nothing is left: its ids belong to another customer."""


class Mark(NamedTuple):
    """A journey that is recomputed aside."""

    customer: bytes
    model: int
    workspace: int
    changed_us: int
    """From here on the history has changed since the pass began; NEVER when it has not."""
    phase: Phase
    from_us: int
    """Where the pass began: what is folded, removed and added comes after the last checkpoint before it."""
    cursor: OrderKey
    """Place of the last touchpoint that the pass has folded."""
    milestones: str
    """Those after the transitions that the pass has removed or added so far."""

    @property
    def key(self) -> JourneyKey:
        """The journey."""
        return (self.customer, self.model)


class OpenMarks(NamedTuple):
    """How many journeys are being recomputed aside, and since when the oldest has waited."""

    number: int
    oldest_us: int | None


_c = recomputations.c
_CURSOR = ("cursor_us", "cursor_place", "cursor_message", "cursor_actor")
_in_span = _c.customer.between(bindparam("first", type_=LargeBinary), bindparam("last", type_=LargeBinary))
_of_customers = _c.customer == any_(bindparam("customers", type_=ARRAY(LargeBinary)))
_of_journey = (_c.customer == bindparam("of_customer")) & (_c.model == bindparam("of_model"))

_NEW = ("customer", "model", "workspace", "changed_us")
_START = {
    "phase": int(Phase.WAITING),
    "from_us": NEVER,
    **dict(zip(_CURSOR, (EVER, 0, "", ""), strict=True)),
    "milestones": "",
}
_marks = UnnestParameters("marks", {name: _c[name].type for name in _NEW})
_now = bindparam("now_us", type_=BigInteger)
_marks_insert = insert(recomputations).from_select(
    [*_NEW, "marked_us", "turn_us", *_START],
    select(*_marks.table.c, _now, _now, *(literal(value) for value in _START.values())).order_by(
        _marks.table.c.customer, _marks.table.c.model
    ),
)
_write_marks = _marks_insert.on_conflict_do_update(
    index_elements=[_c.customer, _c.model],
    set_={"changed_us": func.least(_c.changed_us, _marks_insert.excluded.changed_us)},
)
_flag = (
    update(ids)
    .where(
        ids.c.workspace == bindparam("of_workspace"), ids.c.id == any_(bindparam("digests", type_=ARRAY(LargeBinary)))
    )
    .values(marked=True)
)


async def mark(connection: AsyncConnection, rows: Iterable[tuple[bytes, int, int, int]], now_us: int) -> None:
    """Leave journeys to be recomputed aside, from the earliest change on.

    Args:
        connection: within a transaction that holds the customers.
        rows: (customer digest, generation id, workspace, instant of the first change), distinct.
        now_us: when; a journey that is marked already stays marked since then.
    """
    distinct = sorted(rows)
    await connection.execute(_write_marks, {**_marks.parameters(distinct), "now_us": now_us})
    for workspace in sorted({row[2] for row in distinct}):
        digests = sorted({row[0] for row in distinct if row[2] == workspace})
        await connection.execute(_flag, {"of_workspace": workspace, "digests": digests})


_SLICED = ("changed_us", "phase", "from_us", *_CURSOR, "milestones")
_read_marks = select(*(_c[name] for name in ("customer", "model", "workspace", *_SLICED))).where(_of_customers)
_read_next = DriverStatement(
    select(_c.workspace, _c.customer, _c.model).where(_in_span).order_by(_c.turn_us).limit(bindparam("count"))
)
_read_open = select(func.count(), func.min(_c.marked_us)).where(_in_span)


async def read_marks(connection: AsyncConnection, customers: Iterable[bytes]) -> dict[JourneyKey, Mark]:
    """Returns the marks of some customers."""
    rows = await connection.execute(_read_marks, {"customers": sorted(customers)})
    marks = (
        Mark(customer, model, workspace, changed_us, Phase(phase), from_us, (*cursor,), milestones)
        for customer, model, workspace, changed_us, phase, from_us, *cursor, milestones in rows
    )
    return {mark.key: mark for mark in marks}


async def read_next(connection: AsyncConnection, span: tuple[bytes, bytes], count: int) -> list[tuple[int, bytes, int]]:
    """Returns (workspace, customer digest, generation id) of marked journeys: those first that have waited longest.

    Args:
        span: the first and the last digest of the customers.
        count: the maximum number.
    """
    first, last = span
    rows = await _read_next.fetch(connection, {"first": first, "last": last, "count": count})
    return [(row[0], row[1], row[2]) for row in rows]


async def read_open(connection: AsyncConnection, span: tuple[bytes, bytes]) -> OpenMarks:
    """Returns how many journeys are marked. `span`: the first and the last digest of their customers."""
    first, last = span
    row = (await connection.execute(_read_open, {"first": first, "last": last})).one()
    return OpenMarks(row[0], row[1])


_write_progress = (
    update(recomputations)
    .where(_of_journey)
    .values(turn_us=bindparam("now_us"), **{name: bindparam(f"new_{name}") for name in _SLICED})
)
_delete_mark = delete(recomputations).where(_of_journey)
_unflag = (
    update(ids)
    .where(ids.c.workspace == bindparam("of_workspace"), ids.c.id == bindparam("of_customer"))
    .values(marked=False)
)


async def write_progress(connection: AsyncConnection, mark: Mark, now_us: int) -> None:
    """Note how far the pass of a mark has come, and that it had its turn."""
    values = (mark.changed_us, int(mark.phase), mark.from_us, *mark.cursor, mark.milestones)
    progress = {f"new_{name}": value for name, value in zip(_SLICED, values, strict=True)}
    await connection.execute(
        _write_progress, {"of_customer": mark.customer, "of_model": mark.model, "now_us": now_us, **progress}
    )


async def remove_mark(connection: AsyncConnection, mark: Mark) -> None:
    """Remove a mark: the journey is as its facts say."""
    key = {"of_customer": mark.customer, "of_model": mark.model}
    await connection.execute(_delete_mark, key)
    if not await read_marks(connection, [mark.customer]):
        await connection.execute(_unflag, {"of_workspace": mark.workspace, "of_customer": mark.customer})


_left = select(func.count()).where(_c.model == bindparam("of_model"))


async def count_marks(connection: AsyncConnection, generation: int) -> int:
    """Returns how many journeys of a generation are recomputed aside."""
    return int(await connection.scalar(_left, {"of_model": generation}) or 0)
