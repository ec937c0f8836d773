"""What there is to maintain: one look at small tables, so that a process with nothing to do finds that out cheaply."""

from typing import NamedTuple

from sqlalchemy import BigInteger, bindparam, cast, distinct, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.access import workspaces
from throughline.store.schema.operations import models, offsets, restage_slots, retention_slots
from throughline.store.schema.rights import erasures


class Agenda(NamedTuple):
    """What a look has found."""

    received_watermark_us: int
    """Everything received before it is in the state, on all partitions; 0 while one was never staged."""
    versions: tuple[int, ...]
    """Changes with the models of any workspace."""
    erasures: frozenset[int]
    """The shards with an erasure that is not done."""
    has_walks: bool
    """Whether a generation is being restaged, or old facts are being deleted."""
    has_retired: bool
    """Whether there are retired generations, whose rows are to be deleted."""
    has_retention: bool
    """Whether a workspace keeps its facts for so many days only."""


_of_topic = offsets.c.topic == bindparam("topic")
_open_erasures = select(erasures.c.shard).where(erasures.c.state != literal_column("'done'")).distinct()
_read_agenda = DriverStatement(
    select(
        select(func.coalesce(func.min(offsets.c.through_us), 0)).where(_of_topic).scalar_subquery(),
        select(func.count()).select_from(offsets).where(_of_topic).scalar_subquery(),
        select(func.count()).select_from(workspaces).scalar_subquery(),
        select(cast(func.coalesce(func.sum(workspaces.c.version), 0), BigInteger)).scalar_subquery(),
        select(func.coalesce(func.max(models.c.id), 0)).scalar_subquery(),
        select(func.count()).where(models.c.has_funnels).scalar_subquery(),
        select(func.count(distinct(restage_slots.c.model))).where(~restage_slots.c.done).scalar_subquery(),
        func.array(
            select(distinct(erasures.c.shard)).where(erasures.c.state != literal_column("'done'")).scalar_subquery()
        ),
        select(restage_slots.c.model).where(~restage_slots.c.done).exists()
        | select(retention_slots.c.workspace).where(~retention_slots.c.done).exists(),
        select(models.c.id).where(models.c.state == "retired").exists(),
        select(workspaces.c.id).where(workspaces.c.retention_days.is_not(None)).exists(),
    )
)


async def read_agenda(connection: AsyncConnection, topic: str, partitions: int) -> Agenda:
    """Returns what there is to do for a topic with so many partitions."""
    ((watermark_us, staged, *versions, shards, has_walks, has_retired, has_retention),) = await _read_agenda.fetch(
        connection, {"topic": topic}
    )
    return Agenda(
        watermark_us if staged >= partitions else 0,
        tuple(versions),
        frozenset(shards),
        has_walks,
        has_retired,
        has_retention,
    )
