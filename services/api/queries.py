"""What the api asks about a workspace as a whole: its model, sources, channels and phase counts."""

from typing import NamedTuple

from sqlalchemy import BigInteger, ScalarSelect, and_, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.counts import Sums
from throughline.store.tables import models, offsets, phase_counts, sources


class AppliedModel(NamedTuple):
    """A phase model as applied in a workspace: the id its rows carry, and its shipped name."""

    id: int
    name: str


class Source(NamedTuple):
    """A source of a workspace."""

    id: int
    name: str
    enabled: bool


async def applied_model(connection: AsyncConnection, workspace: int) -> AppliedModel | None:
    """The workspace's model; None when it has none."""
    row = (
        await connection.execute(
            select(models.c.id, models.c.name).where(models.c.workspace == workspace).order_by(models.c.id).limit(1)
        )
    ).one_or_none()
    return None if row is None else AppliedModel(row.id, row.name)


async def workspace_sources(connection: AsyncConnection, workspace: int) -> list[Source]:
    """The workspace's sources, by name."""
    rows = await connection.execute(
        select(sources.c.id, sources.c.name, sources.c.enabled)
        .where(sources.c.workspace == workspace)
        .order_by(sources.c.name.collate("C"))
    )
    return [Source(row.id, row.name, row.enabled) for row in rows]


async def channels(connection: AsyncConnection, model: int) -> list[str]:
    """The acquisition channels under which the model counts a customer now."""
    present = func.sum(phase_counts.c.active + phase_counts.c.lapsed)
    rows = await connection.execute(
        select(phase_counts.c.channel)
        .where(phase_counts.c.model == model)
        .group_by(phase_counts.c.channel)
        .having(present > 0)
        .order_by(phase_counts.c.channel.collate("C"))
    )
    return [row.channel for row in rows]


def consumed_through(topic: str) -> ScalarSelect[int]:
    """The instant through which everything received is in the state: the least over the topic's partitions."""
    return select(func.min(offsets.c.through_us)).where(offsets.c.topic == topic).scalar_subquery()


async def phase_sums(
    connection: AsyncConnection, model: int, topic: str, source: int | None, channel: str | None
) -> tuple[int | None, dict[int, Sums]]:
    """(as_of in microseconds or None before anything was consumed, sums by phase number).

    One statement over counts and offsets, so that both are of the same cut.
    """
    c = phase_counts.c
    which = [c.model == model]
    if source is not None:
        which.append(c.source == source)
    if channel is not None:
        which.append(c.channel == channel)
    sums = (
        select(
            c.phase,
            # sum() of bigint is numeric
            func.sum(c.active).cast(BigInteger).label("active"),
            func.sum(c.lapsed).cast(BigInteger).label("lapsed"),
            func.sum(c.entered).cast(BigInteger).label("entered"),
            func.sum(c.left).cast(BigInteger).label("left"),
        )
        .where(and_(*which))
        .group_by(c.phase)
        .subquery("sums")
    )
    one = select(literal(1).label("one")).subquery("one")
    rows = await connection.execute(
        select(consumed_through(topic).label("through_us"), sums).select_from(one.outerjoin(sums, true()))
    )
    as_of_us: int | None = None
    found: dict[int, Sums] = {}
    for through_us, phase, *values in rows:
        as_of_us = through_us
        if phase is not None:
            found[phase] = Sums(*values)
    return as_of_us, found
