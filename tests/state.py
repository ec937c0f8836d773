"""The database's state as the naive replay states it, for comparing the two."""

from typing import NamedTuple

import asyncpg

from tests.reference import NAMES, Counts

PHASES = ("", *NAMES)


class State(NamedTuple):
    """The canonical projection: moves per customer, and (source, channel, phase) -> (now, entered, left)."""

    moves: dict[str, list[tuple[int, str, str, str]]]
    counts: Counts


async def read_state(url: str, model: int) -> State:
    """Everything derived of one model, straight from the tables."""
    connection = await asyncpg.connect(url)
    try:
        journeys = await connection.fetch("select customer, id, phase from journeys where model = $1", model)
        transitions = await connection.fetch(
            "select customer, at_us, from_phase, to_phase, message_id from transitions where model = $1 "
            "order by customer, number",
            model,
        )
        counts = await connection.fetch(
            "select source, channel, phase, sum(active + lapsed)::bigint as now, sum(entered)::bigint as entered, "
            'sum("left")::bigint as "left" from phase_counts where model = $1 group by 1, 2, 3',
            model,
        )
    finally:
        await connection.close()
    ids = {row["customer"]: row["id"] for row in journeys}
    moves: dict[str, list[tuple[int, str, str, str]]] = {customer_id: [] for customer_id in ids.values()}
    for row in transitions:
        step = (row["at_us"], PHASES[row["from_phase"]], PHASES[row["to_phase"]], row["message_id"])
        moves[ids[row["customer"]]].append(step)
    for row in journeys:
        steps = moves[row["id"]]
        assert PHASES[row["phase"]] == (steps[-1][2] if steps else ""), f"{row['id']} is not where its moves end"
    found = {
        (row["source"], row["channel"], PHASES[row["phase"]]): (row["now"], row["entered"], row["left"])
        for row in counts
        if any((row["now"], row["entered"], row["left"]))
    }
    return State(moves, found)
