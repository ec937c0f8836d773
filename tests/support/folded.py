"""Customers as staging would have left them, folded and written at once: for pages and figures that need many."""

from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from throughline.journey import flows, funnel
from throughline.journey.conversions import Conversion, conversions_of
from throughline.journey.durations import DAY_US
from throughline.journey.fold import fold
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import follow
from throughline.models import load_model
from throughline.store.digest import id_digest, message_digest
from throughline.store.facts import TOUCHPOINT_COLUMNS, row_of

CHUNK = 20_000
PARTITIONS = 4
COLUMNS = {
    "ids": ("workspace", "id", "name", "is_user", "members", "links", "root"),
    "journeys": ("customer", "model", "id", "since", "look_us", *Journey._fields),
    "transitions": ("customer", "model", *Transition._fields),
    "conversions": ("customer", "model", *Conversion._fields),
    "touchpoints": TOUCHPOINT_COLUMNS,
}


def day_of(at_us: int) -> int:
    """The start of a day in UTC."""
    return at_us - at_us % DAY_US


async def write_folded(
    connection: "asyncpg.Connection[asyncpg.Record]",
    customers: Iterable[tuple[str, list[Touchpoint]]],
    *,
    workspace: int,
    model: int,
    topic: str,
    now_us: int,
) -> None:
    """Write facts, journeys, moves and sums of customers under the seven phases, and the watermark `now_us`."""
    rules = load_model("seven_phase")
    funnels: funnel.FunnelDeltas = {}
    moves: flows.FlowDeltas = {}
    variants: flows.VariantDeltas = {}
    records: dict[str, list[tuple[Any, ...]]] = {}
    for number, (name, touchpoints) in enumerate(customers, start=1):
        folded = fold(rules, None, touchpoints, now_us, follow)
        assert folded.journey is not None
        digest = id_digest(workspace, name)
        funnel.contribute(funnels, model, folded.journey, None, folded.transitions, day_of)
        flows.contribute(moves, variants, model, folded.journey, None, folded.transitions, day_of)
        records.setdefault("ids", []).append((workspace, digest, name, True, 1, 0, digest))
        records.setdefault("journeys", []).append((digest, model, name, 1, 2**62, *folded.journey))
        records.setdefault("transitions", []).extend((digest, model, *transition) for transition in folded.transitions)
        conversions = conversions_of(folded.journey.memory)
        records.setdefault("conversions", []).extend((digest, model, *conversion) for conversion in conversions)
        records.setdefault("touchpoints", []).extend(
            row_of(digest, message_digest(touchpoint.message_id), touchpoint) for touchpoint in touchpoints
        )
        if number % CHUNK == 0:
            await _copy(connection, records)
            records = {}
    await _copy(connection, records)
    sums: list[tuple[str, tuple[str, ...], Mapping[Any, int]]] = [
        ("funnel_counts", funnel.FunnelCell._fields, funnels),
        ("flow_counts", flows.FlowCell._fields, moves),
        ("variant_counts", flows.VariantCell._fields, variants),
    ]
    for table, fields, cells in sums:
        rows = [(*cell, 0, number) for cell, number in cells.items() if number]
        await connection.copy_records_to_table(table, columns=(*fields, "shard", "number"), records=rows)
    for partition in range(PARTITIONS):
        await connection.execute(
            "INSERT INTO offsets VALUES ($1, $2, 1, '', $3, $3) ON CONFLICT (topic, partition) "
            "DO UPDATE SET through_us = excluded.through_us, swept_us = excluded.swept_us",
            topic,
            partition,
            now_us,
        )
    await connection.execute("ANALYZE")


async def _copy(connection: "asyncpg.Connection[asyncpg.Record]", records: Mapping[str, list[tuple[Any, ...]]]) -> None:
    for table, rows in records.items():
        await connection.copy_records_to_table(table, columns=COLUMNS[table], records=rows)
