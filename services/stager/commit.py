"""The one transaction of a staged batch: facts, derived state, count deltas and the partition's next offset."""

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.batch import Batch, content
from services.stager.plan import Plan
from throughline.models import load_model
from throughline.store import staging
from throughline.store.unit_of_work import transaction


class StaleOffsetError(Exception):
    """Another member has moved this partition's offset: nothing of the batch was written."""


class Staged(NamedTuple):
    """What became of one batch's records."""

    staged: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    refolded: int = 0


async def commit(
    engine: AsyncEngine, batch: Batch, *, topic: str, partition: int, expected: int, to: staging.Offset
) -> Staged:
    """Stage a batch: all of it or nothing.

    Args:
        engine: where to.
        batch: one partition's records, prepared.
        topic: with `partition`, whose offset moves.
        partition: also the shard of the counts.
        expected: the offset the batch starts at.
        to: the offset after it.

    Raises:
        StaleOffsetError: the stored offset is not `expected`.
    """
    async with transaction(engine) as connection:
        if not await staging.move_offset(connection, topic, partition, expected=expected, to=to):
            raise StaleOffsetError(f"{topic}/{partition} is no longer at {expected}")
        return await _write(connection, batch, partition)


async def advance(engine: AsyncEngine, *, topic: str, partition: int, expected: int, through_us: int) -> None:
    """Note that nothing more was received before `through_us`: an idle partition moves with the clock.

    Raises:
        StaleOffsetError: the stored offset is not `expected`.
    """
    async with transaction(engine) as connection:
        if not await staging.move_through(connection, topic, partition, expected=expected, through_us=through_us):
            raise StaleOffsetError(f"{topic}/{partition} is no longer at {expected}")


async def _write(connection: AsyncConnection, batch: Batch, shard: int) -> Staged:
    if not batch.rows:
        return Staged(rejected=len(batch.rejected))
    keys = sorted((digest, model, who.id) for digest, who in batch.customers.items() for model, _ in who.models)
    states = await staging.lock_journeys(connection, keys)
    new = await staging.insert_touchpoints(connection, batch.rows)
    plan = Plan(load_model)
    plan.fold_on(batch, states, new)
    if plan.late:
        late = sorted(plan.late)
        histories = await staging.read_history(connection, {digest: plan.late[digest] for digest in late})
        before = await staging.read_transitions(connection, late)
        plan.fold_again(batch, states, before, histories)
        if before:
            await staging.delete_transitions(connection, late)
    if plan.journeys:
        await staging.write_journeys(connection, sorted(plan.journeys))
    if plan.transitions:
        await staging.write_transitions(connection, sorted(plan.transitions))
    await staging.add_counts(connection, shard, plan.deltas)
    conflicts, repeated = await _conflicts(connection, batch, new)
    return Staged(
        staged=len(new),
        duplicates=repeated - conflicts,
        conflicts=conflicts,
        rejected=len(batch.rejected),
        refolded=len(plan.late),
    )


async def _conflicts(connection: AsyncConnection, batch: Batch, new: set[bytes]) -> tuple[int, int]:
    """How many of the repeated events differ from the first with their message id, and how many were repeated."""
    if len(new) == len(batch.rows) and not batch.repeats:
        return 0, 0
    again = [row for row in batch.rows if row[1] not in new]
    first = await staging.read_facts(connection, [row[:2] for row in again]) if again else {}
    repeats = {row[1] for row in batch.repeats}
    first |= {row[1]: row for row in batch.rows if row[1] in repeats and row[1] in new}
    repeated = again + batch.repeats
    return sum(content(first[row[1]]) != content(row) for row in repeated), len(repeated)
