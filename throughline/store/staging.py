"""The statements of one staged batch, in the order they run in its transaction.

1. `move_offset`: compare-and-set; false means another member has staged this batch.
2. `lock_journeys`: locks and reads in one statement, keys sorted, so that writers never deadlock or read stale state.
3. `insert_touchpoints`: duplicates fall out on the key.
4. for late touchpoints `read_history` and `read_transitions`, then `delete_transitions`.
5. `write_journeys`, `write_transitions`, `add_counts`.

Every statement takes columns (equally long lists), sorted by its key with one row per key. See docs/store.md.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import any_, bindparam, delete, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from throughline.journey.diff import Deltas
from throughline.journey.fold import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.store.arrays import Columns
from throughline.store.direct import Direct
from throughline.store.tables import journeys, models, offsets, phase_counts, touchpoints, transitions

JourneyKey = tuple[bytes, int]
"""(customer digest, model id)."""


class Offset(NamedTuple):
    """How far one partition is staged. `digest` is of the record before `next_offset`, empty at the start."""

    next_offset: int
    digest: bytes
    through_us: int


# --- models -----------------------------------------------------------------------------------------------------------


async def read_models(connection: AsyncConnection) -> dict[int, list[tuple[int, str]]]:
    """Workspace id -> the models applied in it, each (model id, model name)."""
    rows = await connection.execute(select(models.c.workspace, models.c.id, models.c.name).order_by(models.c.id))
    found: dict[int, list[tuple[int, str]]] = {}
    for workspace, model, name in rows:
        found.setdefault(workspace, []).append((model, name))
    return found


# --- offsets ----------------------------------------------------------------------------------------------------------


async def read_offset(connection: AsyncConnection, topic: str, partition: int) -> Offset | None:
    """How far a partition is staged; None when it never was."""
    row = (
        await connection.execute(
            select(offsets.c.next_offset, offsets.c.digest, offsets.c.through_us).where(
                offsets.c.topic == topic, offsets.c.partition == partition
            )
        )
    ).first()
    return None if row is None else Offset(*row)


_moved = insert(offsets).values(
    topic=bindparam("topic"),
    partition=bindparam("partition"),
    next_offset=bindparam("next_offset"),
    digest=bindparam("digest"),
    through_us=bindparam("through_us"),
)


def _compare_and_set(*names: str) -> ReturningInsert[tuple[int]]:
    return _moved.on_conflict_do_update(
        index_elements=[offsets.c.topic, offsets.c.partition],
        set_={name: _moved.excluded[name] for name in names},
        where=offsets.c.next_offset == bindparam("expected", type_=offsets.c.next_offset.type),
    ).returning(offsets.c.next_offset)


_move_offset = _compare_and_set("next_offset", "digest", "through_us")
_move_through = _compare_and_set("through_us")


async def move_offset(connection: AsyncConnection, topic: str, partition: int, *, expected: int, to: Offset) -> bool:
    """Compare-and-set: move a partition from `expected` to `to`. False when it was no longer at `expected`."""
    moved = await connection.execute(
        _move_offset, {"topic": topic, "partition": partition, "expected": expected, **to._asdict()}
    )
    return moved.first() is not None


async def move_through(
    connection: AsyncConnection, topic: str, partition: int, *, expected: int, through_us: int
) -> bool:
    """Move only `through_us` of a partition that is at `expected`. False when it no longer is."""
    values = {"next_offset": expected, "digest": b"", "through_us": through_us}
    moved = await connection.execute(
        _move_through, {"topic": topic, "partition": partition, "expected": expected, **values}
    )
    return moved.first() is not None


# --- journeys ---------------------------------------------------------------------------------------------------------

_STATE = (
    "phase",
    "highest_phase",
    "cycle",
    "entered_us",
    "source",
    "channel",
    "first_us",
    "last_us",
    "last_message",
    "last_actor",
    "transitions",
    "memory",
)
assert Journey._fields == _STATE

_JOURNEY_COLUMNS = ("customer", "model", "id", *_STATE)

# A row that only locks has cycle 0; a journey's cycles count from 1.
_BLANK: dict[str, Any] = {name: journeys.c[name].type.python_type() for name in _STATE}

_locks = Columns("locks", {name: journeys.c[name].type for name in ("customer", "model", "id")})
_lock_insert = insert(journeys).from_select(
    _JOURNEY_COLUMNS,
    select(*_locks.table.c)
    .add_columns(*(literal(_BLANK[name], journeys.c[name].type) for name in _STATE))
    .order_by(_locks.table.c.customer, _locks.table.c.model),
)
_lock_journeys = Direct(
    _lock_insert.on_conflict_do_update(
        index_elements=[journeys.c.customer, journeys.c.model], set_={"cycle": journeys.c.cycle}
    ).returning(journeys.c.customer, journeys.c.model, *(journeys.c[name] for name in _STATE))
)


async def lock_journeys(
    connection: AsyncConnection, keys: Sequence[tuple[bytes, int, str]]
) -> dict[JourneyKey, Journey | None]:
    """Lock and read journeys until the transaction ends; a new customer's is locked too and read as None.

    Args:
        connection: within a transaction.
        keys: (customer digest, model id, customer id), sorted and distinct.
    """
    rows = await _lock_journeys.fetch(connection, _locks.parameters(keys))
    return {(row[0], row[1]): Journey._make(row[2:]) if row[4] else None for row in rows}


_states = Columns("states", {name: journeys.c[name].type for name in _JOURNEY_COLUMNS})
_states_insert = insert(journeys).from_select(
    _JOURNEY_COLUMNS, select(*_states.table.c).order_by(_states.table.c.customer, _states.table.c.model)
)
_write_journeys = _states_insert.on_conflict_do_update(
    index_elements=[journeys.c.customer, journeys.c.model],
    set_={name: _states_insert.excluded[name] for name in _STATE},
)


async def write_journeys(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write states: rows of (customer digest, model id, customer id, *Journey), sorted and distinct."""
    await connection.execute(_write_journeys, _states.parameters(rows))


# --- touchpoints ------------------------------------------------------------------------------------------------------

TOUCHPOINT_COLUMNS = tuple(touchpoints.c.keys())
"""The columns of `insert_touchpoints`, in this order."""

_facts = Columns("facts", {name: touchpoints.c[name].type for name in TOUCHPOINT_COLUMNS})
_insert_touchpoints = Direct(
    insert(touchpoints)
    .from_select(TOUCHPOINT_COLUMNS, select(*_facts.table.c).order_by(_facts.table.c.actor, _facts.table.c.message))
    .on_conflict_do_nothing()
    .returning(touchpoints.c.message)
)


async def insert_touchpoints(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> set[bytes]:
    """Insert facts, rows of `TOUCHPOINT_COLUMNS` sorted by key and distinct; gives the message digests that are new."""
    return {row[0] for row in await _insert_touchpoints.fetch(connection, _facts.parameters(rows))}


_keys = Columns("keys", {"actor": touchpoints.c.actor.type, "message": touchpoints.c.message.type})
_read_facts = select(touchpoints).join(
    _keys.table,
    (touchpoints.c.actor == _keys.table.c.actor) & (touchpoints.c.message == _keys.table.c.message),
)


async def read_facts(connection: AsyncConnection, keys: Sequence[tuple[bytes, bytes]]) -> dict[bytes, tuple[Any, ...]]:
    """Stored facts by (actor digest, message digest): message digest -> row of `TOUCHPOINT_COLUMNS`."""
    rows = await connection.execute(_read_facts, _keys.parameters(keys))
    return {row.message: tuple(row) for row in rows}


_read_history = select(
    touchpoints.c.actor,
    touchpoints.c.occurred_us,
    touchpoints.c.message_id,
    touchpoints.c.call,
    touchpoints.c.name,
    touchpoints.c.source,
    touchpoints.c.channel,
    touchpoints.c.order_id,
    touchpoints.c.value,
    touchpoints.c.rating,
    touchpoints.c.score,
).where(touchpoints.c.actor == any_(bindparam("actors", type_=ARRAY(touchpoints.c.actor.type))))


async def read_history(connection: AsyncConnection, actors: dict[bytes, str]) -> dict[bytes, list[Touchpoint]]:
    """All facts of some actors (digest -> actor id) with what the fold looks at, sorted."""
    found: dict[bytes, list[Touchpoint]] = {actor: [] for actor in actors}
    rows = await connection.execute(_read_history, {"actors": list(actors)})
    for actor, occurred_us, message_id, call, name, source, channel, order_id, value, rating, score in rows:
        found[actor].append(
            Touchpoint(
                occurred_us,
                message_id,
                actors[actor],
                call,
                name,
                source=source,
                channel=channel,
                order_id=order_id or "",
                value=value,
                rating=rating,
                score=score,
            )
        )
    for history in found.values():
        history.sort()
    return found


# --- transitions ------------------------------------------------------------------------------------------------------

_of = [transitions.c[name] for name in Transition._fields]
_customers = bindparam("customers", type_=ARRAY(transitions.c.customer.type))


async def read_transitions(
    connection: AsyncConnection, customers: Sequence[bytes]
) -> dict[JourneyKey, list[Transition]]:
    """All transitions of some customers, in order, by journey."""
    rows = await connection.execute(
        select(transitions.c.customer, transitions.c.model, *_of)
        .where(transitions.c.customer == any_(_customers))
        .order_by(transitions.c.customer, transitions.c.model, transitions.c.number),
        {"customers": list(customers)},
    )
    found: dict[JourneyKey, list[Transition]] = {}
    for customer, model, *transition in rows:
        found.setdefault((customer, model), []).append(Transition(*transition))
    return found


async def delete_transitions(connection: AsyncConnection, customers: Sequence[bytes]) -> None:
    """Remove all transitions of some customers; they are written anew in the same transaction."""
    await connection.execute(
        delete(transitions).where(transitions.c.customer == any_(_customers)), {"customers": list(customers)}
    )


_TRANSITION_COLUMNS = ("customer", "model", *Transition._fields)
_moves = Columns("moves", {name: transitions.c[name].type for name in _TRANSITION_COLUMNS})
_moves_insert = insert(transitions).from_select(
    _TRANSITION_COLUMNS,
    select(*_moves.table.c).order_by(_moves.table.c.customer, _moves.table.c.model, _moves.table.c.number),
)
_write_transitions = _moves_insert.on_conflict_do_update(
    index_elements=[transitions.c.customer, transitions.c.model, transitions.c.number],
    set_={name: _moves_insert.excluded[name] for name in Transition._fields if name != "number"},
)


async def write_transitions(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write transitions: rows of (customer digest, model id, *Transition), sorted and distinct."""
    await connection.execute(_write_transitions, _moves.parameters(rows))


# --- counts -----------------------------------------------------------------------------------------------------------

_COUNT_KEY = ("model", "shard", "source", "channel", "phase")
_COUNTED = ("active", "lapsed", "entered", "left")
_deltas = Columns("deltas", {name: phase_counts.c[name].type for name in (*_COUNT_KEY, *_COUNTED)})
_counts_insert = insert(phase_counts).from_select(
    (*_COUNT_KEY, *_COUNTED), select(*_deltas.table.c).order_by(*(_deltas.table.c[name] for name in _COUNT_KEY))
)
_add_counts = _counts_insert.on_conflict_do_update(
    index_elements=[phase_counts.c[name] for name in _COUNT_KEY],
    set_={name: phase_counts.c[name] + _counts_insert.excluded[name] for name in _COUNTED},
)


async def add_counts(connection: AsyncConnection, shard: int, deltas: Deltas) -> None:
    """Add deltas to one shard's rows; cells whose delta is zero are left alone."""
    rows = sorted(
        (cell.model, shard, cell.source, cell.channel, cell.phase, *delta.as_tuple())
        for cell, delta in deltas.items()
        if any(delta.as_tuple())
    )
    if rows:
        await connection.execute(_add_counts, _deltas.parameters(rows))
