"""A walk through all ids of a workspace, a chunk in each transaction, while live traffic goes on.

A chunk locks its ids, processes them and moves the cursor of its slot, all in one transaction. See `store.id_walk`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.models import ModelsByWorkspace, lock_models
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.id_walk import SLOTS, IdWalk, Slot, read_ids

CHUNK = 400
"""Maximum number of ids in a transaction."""


EVERYBODY = (b"\0" * 16, b"\xff" * 16)
"""The first and the last digest there can be."""


class Share(NamedTuple):
    """The part of all customers that one partition of several maintains."""

    partition: int
    partitions: int

    def digests(self) -> tuple[bytes, bytes]:
        """Returns the first and the last digest of the partition's customers: an equal range for each partition."""
        first = self.partition * 2**128 // self.partitions
        last = (self.partition + 1) * 2**128 // self.partitions - 1
        return first.to_bytes(16), last.to_bytes(16)

    def has_slot(self, number: int) -> bool:
        """Whether the partition walks the slot of that number."""
        return number % min(SLOTS, self.partitions) == self.partition


class WalkedId(NamedTuple):
    """One id of a chunk."""

    digest: bytes
    name: str


class Processed(NamedTuple):
    """What became of a chunk."""

    ids: int
    """Number of ids, from the first on, that are done. The others are in the next chunk again."""
    sums: dict[str, int]
    """What to add to each of the walk's sums."""


Process = Callable[[AsyncConnection, Slot, Sequence[WalkedId]], Awaitable[Processed]]
"""Processes the next ids of a slot (none at its end) in a transaction."""


async def walk_chunk(
    engine: AsyncEngine,
    models: ModelsByWorkspace,
    share: Share,
    walk: IdWalk,
    process: Process,
    *,
    is_ready: Callable[[Slot], bool],
    count: int = CHUNK,
    only_roots: bool = False,
) -> dict[str, int] | None:
    """Process the next chunk of one slot of a partition.

    Args:
        walk: where the cursors are.
        process: what is done with the ids.
        is_ready: whether `models` has what a slot is about. If not, the models will have it when they are read again.
        count: the maximum number of ids in the chunk.
        only_roots: whether ids that belong to another id are passed by.

    Returns:
        what was added to each of the walk's sums; None when the partition has nothing to do.

    Raises:
        ModelsChangedError: read the models again.
        SlotTakenError: another partition has processed the chunk.
    """
    async with reading(engine) as connection:
        slots = await walk.read_open(connection)
    slot = next((slot for slot in slots if share.has_slot(slot.number) and is_ready(slot)), None)
    if slot is None:
        return None
    async with transaction(engine) as connection:
        await lock_models(connection, {slot.workspace}, models)
        ids = [WalkedId(*row) for row in await read_ids(connection, slot, count, only_roots=only_roots)]
        done, sums = await process(connection, slot, ids)
        cursor = ids[done - 1].digest if done else slot.cursor
        await walk.move(connection, slot, cursor=cursor, done=len(ids) < count and done == len(ids), **sums)
    return sums
