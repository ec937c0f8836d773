"""The state of the database in the types of the reference, so that the two can be compared."""

from typing import NamedTuple

import asyncpg

from tests.reference import Cell, Counts, Customer, NaiveTransition, Replayed, State
from tests.reference.funnel import OUTCOMES, WAYS, Cells
from tests.reference.replay import Unmapped
from tests.reference.trail import Told, Trail
from throughline.journey import funnel
from throughline.journey.memory import CHURNED
from throughline.journey.rollup import KEPT_US, STEPS, Step
from throughline.journey.trail import read


class Projection(NamedTuple):
    """The derived state of one generation, without what depends on the way of staging."""

    customers: dict[str, Customer]
    counts: dict[Cell, Counts]
    history: dict[tuple[str, int], dict[Cell, Counts]]
    unmapped: dict[tuple[int, str], Unmapped]
    orphan_refunds: dict[int, int]
    foreign_refunds: dict[int, int]
    cells: Cells
    conversions: dict[tuple[str, str], tuple[int, int, int, str]]
    """(customer, order) -> when placed, gross, net, currency."""


async def read_projection(url: str, model: int) -> Projection:
    """The projection: counts summed over shards, without rows that sum to zero."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            return Projection(
                await _customers(connection, model),
                {
                    tuple(row[:3]): Counts(*row[3:])
                    for row in await connection.fetch(
                        f"SELECT source, channel, phase, {_SUMS} FROM phase_counts WHERE model = $1 GROUP BY 1, 2, 3",
                        model,
                    )
                    if any(row[3:])
                },
                await _history(connection, model),
                {
                    (row["source"], row["name"]): Unmapped(row["events"], row["first_us"], row["last_us"])
                    for row in await connection.fetch(
                        "SELECT source, name, sum(events)::bigint AS events, min(first_us) AS first_us, "
                        "max(last_us) AS last_us FROM unmapped WHERE model = $1 GROUP BY 1, 2",
                        model,
                    )
                },
                await _refunds(connection, model, "events"),
                await _refunds(connection, model, "foreign_currency"),
                await _cells(connection, model),
                {
                    (row["id"], row["order"]): tuple(row[2:])
                    for row in await connection.fetch(
                        'SELECT j.id, c."order", c.at_us, c.gross, c.net, c.currency FROM conversions c '
                        "LEFT JOIN journeys j USING (customer, model) WHERE model = $1",
                        model,
                    )
                },
            )
    finally:
        await connection.close()


_SUMS = ", ".join(f'sum("{name}")::bigint' for name in Counts._fields)


async def _refunds(connection: asyncpg.Connection, model: int, column: str) -> dict[int, int]:
    rows = await connection.fetch(
        f"SELECT source, sum({column})::bigint FROM orphan_refunds WHERE model = $1 GROUP BY 1", model
    )
    return {source: events for source, events in rows if events}


async def _history(connection: asyncpg.Connection, model: int) -> dict[tuple[str, int], dict[Cell, Counts]]:
    history: dict[tuple[str, int], dict[Cell, Counts]] = {}
    for row in await connection.fetch(
        f"SELECT step, bucket_us, source, channel, phase, {_SUMS} FROM phase_history "
        "WHERE model = $1 GROUP BY 1, 2, 3, 4, 5",
        model,
    ):
        if any(row[5:]):
            history.setdefault((STEPS[row[0]], row[1]), {})[tuple(row[2:5])] = Counts(*row[5:])
    return history


async def _cells(connection: asyncpg.Connection, model: int) -> Cells:
    cells = Cells()
    for row in await connection.fetch(
        "SELECT unit, day_us, channel, source, phase, way, age, sum(number)::bigint FROM funnel_counts "
        "WHERE model = $1 GROUP BY 1, 2, 3, 4, 5, 6, 7",
        model,
    ):
        way, to_phase = divmod(row["way"], 100)
        name = "entry" if row["way"] == funnel.ENTRY else WAYS[way]
        cells.add(("cycle", "customer")[row["unit"] - 1], (*row[1:5], name, to_phase, row["age"]), row[7])
    for row in await connection.fetch(
        "SELECT reading, day_us, channel, source, kind, from_phase, to_phase, cycle, sum(number)::bigint "
        "FROM flow_counts WHERE model = $1 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
        model,
    ):
        cells.add(("move", "path")[row["reading"] - 1], tuple(row[1:8]), row[8])
    for row in await connection.fetch(
        "SELECT day_us, channel, source, phases, outcome, sum(number)::bigint FROM variant_counts "
        "WHERE model = $1 GROUP BY 1, 2, 3, 4, 5",
        model,
    ):
        phases = frozenset(phase for phase in range(1, 32) if row["phases"] & 1 << (phase - 1))
        cells.add("variant", (*row[:3], phases, OUTCOMES[row["outcome"]]), row[5])
    return cells


async def _customers(connection: asyncpg.Connection, model: int) -> dict[str, Customer]:
    owners: dict[bytes, bytes | None] = {row[0]: row[1] for row in await connection.fetch("SELECT id, owner FROM ids")}
    members: dict[bytes, set[str]] = {}
    for digest, name in await connection.fetch(
        "SELECT ids.id, ids.name FROM ids "
        "WHERE EXISTS (SELECT FROM touchpoints WHERE actor = ids.id AND NOT bot AND NOT test)"
    ):
        root = digest
        while (owner := owners[root]) is not None:
            root = owner
        members.setdefault(root, set()).add(name)
    transitions: dict[bytes, list[NaiveTransition]] = {}
    for row in await connection.fetch(
        "SELECT customer, at_us, place, message_id, actor, kind, from_phase, to_phase, cycle, name, rule, since_us, "
        "active_us, device, campaign, kinds "
        "FROM transitions WHERE model = $1 ORDER BY at_us, place, message_id, actor, kind",
        model,
    ):
        transitions.setdefault(row["customer"], []).append(NaiveTransition._make((*row[1:11], Told(*row[11:]))))
    customers: dict[str, Customer] = {}
    for row in await connection.fetch("SELECT * FROM journeys WHERE model = $1", model):
        state = State(
            phase=row["phase"],
            highest=row["highest_phase"],
            cycle=row["cycle"],
            lapsed_us=row["lapsed_us"],
            churned=bool(row["flags"] & CHURNED),
            entered_us=row["entered_us"],
            active_us=row["active_us"],
            source=row["source"],
            channel=row["channel"],
            first_us=row["first_us"],
            last=(row["last_us"], row["last_place"], row["last_message"], row["last_actor"]),
            trail=Trail(*read(row["trail"])[:4]),
        )
        digest = row["customer"]
        customers[row["id"]] = Customer(frozenset(members.get(digest, ())), state, transitions.pop(digest, []))
    assert not transitions, "transitions of customers without a journey"
    return customers


History = dict[tuple[str, int], dict[Cell, Counts]]


def assert_same(actual: Projection, expected: Replayed, watermark_us: int) -> None:
    """The projection equals the reference's; of the history, all days and the time that finer steps are stored."""
    names = sorted(actual.customers.keys() | expected.customers.keys())
    different = [name for name in names if actual.customers.get(name) != expected.customers.get(name)]
    assert not different, "\n".join(
        f"{name}: {actual.customers.get(name)}\nnot {expected.customers.get(name)}" for name in different[:3]
    )
    assert actual.counts == expected.counts
    assert actual.unmapped == expected.unmapped
    assert actual.orphan_refunds == expected.orphan_refunds
    assert actual.foreign_refunds == expected.foreign_refunds
    assert actual.cells == expected.cells
    assert actual.conversions == expected.conversions, (
        f"{actual.conversions.items() - expected.conversions.items()} "
        f"not {expected.conversions.items() - actual.conversions.items()}"
    )
    for step in STEPS:
        assert stored(actual.history, step, watermark_us) == stored(expected.history, step, watermark_us)


def stored(history: History, step: Step, watermark_us: int) -> History:
    """The buckets of one step that are not yet deleted at the watermark."""
    first_us = watermark_us - KEPT_US[step] if step in KEPT_US else None
    return {key: n for key, n in history.items() if key[0] == step and (first_us is None or key[1] >= first_us)}
