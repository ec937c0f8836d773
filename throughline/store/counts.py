"""Statements over sums: phase counts, their history, events of unknown names, and refunds that take nothing back."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.diff import COUNTS, Deltas
from throughline.journey.rollup import KEPT_US, MARGIN_US, STEPS, bucket_of, kept_steps
from throughline.store.admission import unmapped_admitted
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement, Write, write_together
from throughline.store.schema.counts import orphan_refunds, phase_counts, phase_history, unmapped

_COUNT_KEY = ("model", "shard", "source", "channel", "phase")
_deltas = UnnestParameters("deltas", {name: phase_counts.c[name].type for name in (*_COUNT_KEY, *COUNTS)})
_counts_insert = insert(phase_counts).from_select(
    (*_COUNT_KEY, *COUNTS), select(*_deltas.table.c).order_by(*(_deltas.table.c[name] for name in _COUNT_KEY))
)
_add_counts = DriverStatement(
    _counts_insert.on_conflict_do_update(
        index_elements=[phase_counts.c[name] for name in _COUNT_KEY],
        set_={name: phase_counts.c[name] + _counts_insert.excluded[name] for name in COUNTS},
    ).returning(phase_counts.c.model)
)

_NUMBER_OF = {step: number for number, step in enumerate(STEPS)}
_MINUTE, _HOUR, _DAY = _NUMBER_OF.values()
_HISTORY_KEY = ("model", "step", "bucket_us", "shard", "source", "channel", "phase")
_changes = UnnestParameters("changes", {name: phase_history.c[name].type for name in (*_HISTORY_KEY, *COUNTS)})
_history_insert = insert(phase_history).from_select(
    (*_HISTORY_KEY, *COUNTS), select(*_changes.table.c).order_by(*(_changes.table.c[name] for name in _HISTORY_KEY))
)
_add_history = DriverStatement(
    _history_insert.on_conflict_do_update(
        index_elements=[phase_history.c[name] for name in _HISTORY_KEY],
        set_={name: phase_history.c[name] + _history_insert.excluded[name] for name in COUNTS},
    ).returning(phase_history.c.model)
)


def counts_to_add(shard: int, deltas: Deltas, zones: Mapping[int, tzinfo], watermark_us: int) -> list[Write]:
    """Returns what adds deltas to one shard's rows, in the counts and in every step of their history.

    Args:
        shard: whose rows.
        deltas: by cell and minute; those of 0 are left out.
        zones: generation id -> time zone of its workspace, which says when days begin.
        watermark_us: everything received before it is in the state; lapses due by it have happened.
    """
    minutes: list[tuple[Any, ...]] = []
    hours: dict[tuple[Any, ...], list[int]] = {}
    days: dict[tuple[Any, ...], list[int]] = {}
    sums: dict[tuple[Any, ...], list[int]] = {}
    buckets: dict[tuple[int, int], tuple[int, int, int]] = {}
    # A minute is added to its hour, an hour to its day: there are fewer of them each time.
    for (model, source, channel, phase, minute_us), delta in deltas.items():
        if not any(delta):
            continue
        steps = buckets.get((model, minute_us))
        if steps is None:
            steps = buckets[model, minute_us] = _buckets_of(minute_us, zones[model], watermark_us)
        finest, hour_us, day_us = steps
        if finest == _MINUTE:
            minutes.append((model, _MINUTE, minute_us, shard, source, channel, phase, *delta))
        if finest <= _HOUR:
            _add(hours, (model, hour_us, day_us, source, channel, phase), delta)
        else:
            _add(days, (model, day_us, source, channel, phase), delta)
    history = minutes
    for (model, hour_us, day_us, *where), delta in hours.items():
        history.append((model, _HOUR, hour_us, shard, *where, *delta))
        _add(days, (model, day_us, *where), delta)
    for (model, day_us, *where), delta in days.items():
        history.append((model, _DAY, day_us, shard, *where, *delta))
        _add(sums, (model, shard, *where), delta)
    if not sums:
        return []
    # The statements sort their rows, so that all transactions lock them in one order.
    return [
        (_add_counts, _deltas.parameters((*key, *delta) for key, delta in sums.items())),
        (_add_history, _changes.parameters(history)),
    ]


def _buckets_of(minute_us: int, zone: tzinfo, watermark_us: int) -> tuple[int, int, int]:
    """Returns the number of the finest step in which a minute is kept, and the hour and the day that it belongs to."""
    finest = _NUMBER_OF[kept_steps(minute_us, watermark_us)[0]]
    return finest, bucket_of("hour", minute_us, zone), bucket_of("day", minute_us, zone)


def _add(sums: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], delta: list[int]) -> None:
    total = sums.get(key)
    if total is None:
        sums[key] = delta[:]
    else:
        for place, number in enumerate(delta):
            if number:
                total[place] += number


_prune = delete(phase_history).where(
    phase_history.c.shard == bindparam("shard"),
    phase_history.c.step == bindparam("step"),
    phase_history.c.bucket_us < bindparam("before_us"),
)


async def prune_history(connection: AsyncConnection, shard: int, watermark_us: int) -> None:
    """Delete one shard's minutes and hours that are no longer kept."""
    for number, step in enumerate(STEPS):
        if step in KEPT_US:
            before_us = watermark_us - KEPT_US[step] - MARGIN_US
            await connection.execute(_prune, {"shard": shard, "step": number, "before_us": before_us})


Unmapped = dict[tuple[int, int, str], list[int]]
"""(generation id, source id, event name) -> [events, first_us, last_us]."""

_UNMAPPED_KEY = ("model", "shard", "source", "name")
_unmapped = UnnestParameters(
    "new_unmapped", {name: unmapped.c[name].type for name in (*_UNMAPPED_KEY, "events", "first_us", "last_us")}
)
_unmapped_insert = insert(unmapped).from_select(
    [*_UNMAPPED_KEY, "events", "first_us", "last_us"],
    select(*_unmapped.table.c).order_by(*(_unmapped.table.c[name] for name in _UNMAPPED_KEY)),
)
_excluded = _unmapped_insert.excluded
_add_unmapped = DriverStatement(
    _unmapped_insert.on_conflict_do_update(
        index_elements=[unmapped.c[name] for name in _UNMAPPED_KEY],
        set_={
            "events": unmapped.c.events + _excluded.events,
            "first_us": func.least(unmapped.c.first_us, _excluded.first_us),
            "last_us": func.greatest(unmapped.c.last_us, _excluded.last_us),
        },
    ).returning(unmapped.c.model)
)


async def add_unmapped(connection: AsyncConnection, shard: int, events: Unmapped) -> None:
    """Count events whose name the vocabulary of a model does not have, under names that are admitted."""
    await write_together(connection, await unmapped_to_add(connection, shard, events))


async def unmapped_to_add(connection: AsyncConnection, shard: int, events: Unmapped) -> list[Write]:
    """Returns what counts events whose name the vocabulary of a model does not have, under names admitted here."""
    if not events:
        return []
    names = await unmapped_admitted(connection, events)
    sums: dict[tuple[int, int, int, str], tuple[int, int, int]] = {}
    for key, (number, first_us, last_us) in events.items():
        row = (key[0], shard, key[1], names[key])
        before = sums.get(row, (0, first_us, last_us))
        sums[row] = (before[0] + number, min(before[1], first_us), max(before[2], last_us))
    return [(_add_unmapped, _unmapped.parameters(sorted((*row, *sums[row]) for row in sums)))]


RefundSums = dict[tuple[int, int], list[int]]
"""(generation id, source id) -> what to add to the refunds and cancellations of no order, and to those in another
currency than that of their order."""

_REFUNDS_KEY = ("model", "shard", "source")
_REFUNDS = ("events", "foreign_currency")
_refunds = UnnestParameters("refunds", {name: orphan_refunds.c[name].type for name in (*_REFUNDS_KEY, *_REFUNDS)})
_refunds_insert = insert(orphan_refunds).from_select(
    [*_REFUNDS_KEY, *_REFUNDS],
    select(*_refunds.table.c).order_by(*(_refunds.table.c[name] for name in _REFUNDS_KEY)),
)
_add_refunds = DriverStatement(
    _refunds_insert.on_conflict_do_update(
        index_elements=[orphan_refunds.c[name] for name in _REFUNDS_KEY],
        set_={name: orphan_refunds.c[name] + _refunds_insert.excluded[name] for name in _REFUNDS},
    ).returning(orphan_refunds.c.model)
)


def refunds_to_add(shard: int, refunds: RefundSums) -> list[Write]:
    """Returns what adds to the refunds of no order, and to those in another currency than that of their order."""
    rows = sorted((model, shard, source, *added) for (model, source), added in refunds.items() if any(added))
    return [(_add_refunds, _refunds.parameters(rows))] if rows else []
