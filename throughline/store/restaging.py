"""Statements over the walk through all ids that restages a generation."""

from typing import NamedTuple, Protocol

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.generations import SLOTS as SLOTS
from throughline.store.schema.counts import phase_counts, phase_history, unmapped
from throughline.store.schema.identity import ids
from throughline.store.schema.journeys import checkpoints, journeys, snapshots, transitions
from throughline.store.schema.operations import models, restage_slots


class SlotTakenError(Exception):
    """Another lane has moved the slot's cursor: nothing of the chunk was written."""


class Slot(NamedTuple):
    """How far one slot of a generation is walked."""

    workspace: int
    model: int
    slot: int
    cursor: bytes
    """Ids up to it are done."""


_open = (
    select(models.c.workspace, restage_slots.c.model, restage_slots.c.slot, restage_slots.c.cursor)
    .join(models, models.c.id == restage_slots.c.model)
    .where(~restage_slots.c.done, models.c.state != "retired")
    .order_by(restage_slots.c.model, restage_slots.c.slot)
)


async def read_open(connection: AsyncConnection) -> list[Slot]:
    """The slots that are not done, oldest generation first."""
    return [Slot(*row) for row in await connection.execute(_open)]


class Walked(Protocol):
    """A slot of the ids of a workspace, done up to the cursor."""

    @property
    def workspace(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def cursor(self) -> bytes: ...


async def read_ids(connection: AsyncConnection, slot: Walked, count: int) -> list[tuple[bytes, str]]:
    """The next ids of a slot, in order: (digest, id)."""
    first = bytes([slot.slot << 4]) + b"\0" * 15
    last = bytes([slot.slot << 4 | 0xF]) + b"\xff" * 15
    rows = await connection.execute(
        select(ids.c.id, ids.c.name)
        .where(
            ids.c.workspace == slot.workspace,
            ids.c.id > slot.cursor if slot.cursor else ids.c.id >= first,
            ids.c.id <= last,
        )
        .order_by(ids.c.id)
        .limit(count)
    )
    return [(row.id, row.name) for row in rows]


_move_slot = (
    update(restage_slots)
    .where(
        restage_slots.c.model == bindparam("of_model"),
        restage_slots.c.slot == bindparam("of_slot"),
        restage_slots.c.cursor == bindparam("expected"),
        ~restage_slots.c.done,
    )
    .values(
        cursor=bindparam("to"),
        done=bindparam("is_done"),
        customers=restage_slots.c.customers + bindparam("more_customers"),
        touchpoints=restage_slots.c.touchpoints + bindparam("more_touchpoints"),
    )
    .returning(restage_slots.c.slot)
)


async def move_slot(
    connection: AsyncConnection, slot: Slot, *, cursor: bytes, done: bool, customers: int, touchpoints: int
) -> bool:
    """Compare-and-set the cursor; false when another lane has moved it."""
    moved = await connection.execute(
        _move_slot,
        {
            "of_model": slot.model,
            "of_slot": slot.slot,
            "expected": slot.cursor,
            "to": cursor,
            "is_done": done,
            "more_customers": customers,
            "more_touchpoints": touchpoints,
        },
    )
    return moved.first() is not None


async def drop_retired(connection: AsyncConnection, count: int) -> int:
    """Delete some of what retired generations left behind; how many journeys that was."""
    retired = await connection.scalar(
        select(models.c.id).where(models.c.state == "retired").order_by(models.c.id).limit(1)
    )
    if retired is None:
        return 0
    found = await connection.scalars(select(journeys.c.customer).where(journeys.c.model == retired).limit(count))
    customers = found.all()
    for table in (transitions, checkpoints, journeys):
        await connection.execute(delete(table).where(table.c.customer.in_(customers), table.c.model == retired))
    if not customers:
        for table in (snapshots, phase_counts, phase_history, unmapped, restage_slots):
            await connection.execute(delete(table).where(table.c.model == retired))
        await connection.execute(delete(models).where(models.c.id == retired))
    return len(customers)
