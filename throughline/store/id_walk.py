"""Walks through all ids of a workspace, in sixteen slots: to restage a generation, or to delete what is too old.

A chunk of ids is worked on and its slot's cursor moved in one transaction, by compare-and-set. So a walk may be killed
at any moment, and of two partitions that take the same slot only one does its work.
"""

from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, Select, Table, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.digest import DIGEST_BYTES
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.identity import ids
from throughline.store.schema.operations import models, restage_slots, retention_slots

SLOTS = 16
"""Number of slots: a slot holds the ids whose digest begins with its number, a half-byte."""
_SLOT_WIDTH = 1 << (8 * DIGEST_BYTES - 4)


class SlotTakenError(Exception):
    """Another partition has moved the slot's cursor: nothing of the chunk is written."""


class Slot(NamedTuple):
    """One slot of a walk."""

    workspace: int
    owner: int
    """Whom the walk is for: the generation that is restaged, or the workspace whose old facts are deleted."""
    number: int
    cursor: bytes
    """Ids up to the cursor are done; empty at the start."""


class IdWalk:
    """The statements of one kind of walk.

    Args:
        slots: the table of slots; whatever it has beside owner, slot, cursor and done are sums over the chunks done.
        owner: the column of the table that says whom a walk is for.
        workspace: the workspace of a row of the table.
        is_needed: holds for the rows of walks that are to go on.
    """

    def __init__(
        self, slots: Table, *, owner: str, workspace: ColumnElement[int], is_needed: ColumnElement[bool] | None = None
    ) -> None:
        self._slots = slots
        self._owner = slots.c[owner]
        self._sums = [name for name in slots.c.keys() if name not in (owner, "slot", "cursor", "done")]  # noqa: SIM118
        self._open: Select[Any] = (
            select(workspace, self._owner, slots.c.slot, slots.c.cursor)
            .where(~slots.c.done)
            .order_by(self._owner, slots.c.slot)
        )
        if is_needed is not None:
            self._open = self._open.where(is_needed)
        self._move = (
            update(slots)
            .where(
                self._owner == bindparam("of_owner"),
                slots.c.slot == bindparam("of_slot"),
                slots.c.cursor == bindparam("expected"),
                ~slots.c.done,
            )
            .values(
                cursor=bindparam("to"),
                done=bindparam("is_done"),
                **{name: slots.c[name] + bindparam(f"more_{name}") for name in self._sums},
            )
            .returning(slots.c.slot)
        )

    async def start(self, connection: AsyncConnection, owner: int) -> None:
        """Set every slot of an owner to its start."""
        start = {self._owner.name: owner, "cursor": b"", "done": False, **dict.fromkeys(self._sums, 0)}
        statement = insert(self._slots).values([{**start, "slot": number} for number in range(SLOTS)])
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[self._owner, self._slots.c.slot],
                set_={name: statement.excluded[name] for name in ("cursor", "done", *self._sums)},
            )
        )

    async def read_open(self, connection: AsyncConnection) -> list[Slot]:
        """Returns the slots that are not done, by owner and number."""
        return [Slot(*row) for row in await connection.execute(self._open)]

    async def move(self, connection: AsyncConnection, slot: Slot, *, cursor: bytes, done: bool, **sums: int) -> None:
        """Compare-and-set a slot's cursor, and add what the chunk did to each of the slot's sums.

        Raises:
            SlotTakenError: the cursor is no longer where `slot` says.
        """
        moved = await connection.execute(
            self._move,
            {
                "of_owner": slot.owner,
                "of_slot": slot.number,
                "expected": slot.cursor,
                "to": cursor,
                "is_done": done,
                **{f"more_{name}": count for name, count in sums.items()},
            },
        )
        if moved.first() is None:
            raise SlotTakenError(
                f"slot {slot.number} of {self._owner.name} {slot.owner} was taken by another partition"
            )


RESTAGE = IdWalk(
    restage_slots,
    owner="model",
    workspace=models.c.workspace,
    is_needed=(models.c.id == restage_slots.c.model) & (models.c.state != "retired"),
)
"""Walks that compute the journeys of a generation; they sum up `customers` and `touchpoints`."""

RETENTION = IdWalk(retention_slots, owner="workspace", workspace=retention_slots.c.workspace)
"""Walks that delete what occurred before a workspace's retention cutoff; they sum up the `touchpoints` deleted."""


_next_ids = (
    select(ids.c.id, ids.c.name)
    .where(
        ids.c.workspace == bindparam("of_workspace", type_=BigInteger),
        ids.c.id > bindparam("after", type_=LargeBinary),
        ids.c.id < bindparam("before", type_=LargeBinary),
    )
    .order_by(ids.c.id)
    .limit(bindparam("count", type_=BigInteger))
)
_read_ids = DriverStatement(_next_ids)
_read_roots = DriverStatement(_next_ids.where(ids.c.owner.is_(None)))


async def read_ids(
    connection: AsyncConnection, slot: Slot, count: int, *, only_roots: bool = False
) -> list[tuple[bytes, str]]:
    """Returns the next ids of a slot, at most `count`, in order: (digest, id).

    `only_roots`: those that belong to another id are left out.
    """
    parameters = {
        "of_workspace": slot.workspace,
        "after": slot.cursor or bytes([slot.number << 4]),  # shorter than all that begin with it
        "before": bytes([(slot.number << 4) + 15]) + b"\xff" * DIGEST_BYTES,
        "count": count,
    }
    rows = await (_read_roots if only_roots else _read_ids).fetch(connection, parameters)
    return [(row[0], row[1]) for row in rows]


def walked_fraction(number: int, cursor: bytes) -> float:
    """Returns how far a slot's cursor has come, from 0 to 1: digests are spread evenly."""
    if not cursor:
        return 0.0
    distance = int.from_bytes(cursor.ljust(DIGEST_BYTES, b"\0")[:DIGEST_BYTES]) - number * _SLOT_WIDTH
    return min(1.0, max(0.0, distance / _SLOT_WIDTH))
