"""Statements over a customer's journeys, their transitions and checkpoints.

Whoever writes these rows of a customer holds the lock on its id (`identity.lock_ids`), so they are read without locks.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import LargeBinary, any_, bindparam, case, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.lapse import NEVER
from throughline.journey.state import Journey, Transition
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.journeys import checkpoints, journeys, transitions

JourneyKey = tuple[bytes, int]
"""(customer digest, generation id)."""

_customers = bindparam("customers", type_=ARRAY(LargeBinary))


class StoredJourney(NamedTuple):
    """A journey, and the number of touchpoints folded since its last checkpoint."""

    journey: Journey
    since: int


_read_journeys = DriverStatement(
    select(
        journeys.c.customer,
        journeys.c.model,
        journeys.c.since,
        *(journeys.c[name] for name in Journey._fields),
    ).where(journeys.c.customer == any_(_customers))
)


async def read_journeys(connection: AsyncConnection, customers: Sequence[bytes]) -> dict[JourneyKey, StoredJourney]:
    """Returns all journeys of some locked customers."""
    rows = await _read_journeys.fetch(connection, {"customers": customers})
    return {(row[0], row[1]): StoredJourney(Journey._make(row[3:]), row[2]) for row in rows}


_JOURNEY_COLUMNS = ("customer", "model", "id", "since", "look_us", *Journey._fields)
_states = UnnestParameters("states", {name: journeys.c[name].type for name in _JOURNEY_COLUMNS})
_states_insert = insert(journeys).from_select(
    _JOURNEY_COLUMNS, select(*_states.table.c).order_by(_states.table.c.customer, _states.table.c.model)
)
_new = _states_insert.excluded


def _write(next_check_us: Any) -> DriverStatement:
    return DriverStatement(
        _states_insert.on_conflict_do_update(
            index_elements=[journeys.c.customer, journeys.c.model],
            set_={"since": _new.since, "look_us": next_check_us, **{name: _new[name] for name in Journey._fields}},
        ).returning(journeys.c.model)
    )


# A check before its time costs one look, so a lapse that moves away leaves its index alone; a nearer one cannot wait.
_write_journeys = _write(case((_new.look_us == NEVER, NEVER), else_=func.least(journeys.c.look_us, _new.look_us)))
_write_journeys_exactly = _write(_new.look_us)


async def write_journeys(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]], *, exact: bool = False) -> None:
    """Write journeys, sorted and distinct.

    Args:
        connection: within a transaction that holds the customers.
        rows: (customer digest, generation id, customer id, since, due_us, *Journey).
        exact: the next check of a journey is exactly when its lapse is due, as after a check; otherwise it may stay
            where it was when that is earlier, so that the index does not change with every event.
    """
    await (_write_journeys_exactly if exact else _write_journeys).fetch(connection, _states.parameters(rows))


_delete_journeys = delete(journeys).where(journeys.c.customer == any_(_customers))
_delete_transitions = delete(transitions).where(transitions.c.customer == any_(_customers))
_delete_checkpoints = delete(checkpoints).where(checkpoints.c.customer == any_(_customers))


async def delete_customers(connection: AsyncConnection, customers: Sequence[bytes]) -> None:
    """Delete the journeys, transitions and checkpoints of customers whose ids belong to others now."""
    for statement in (_delete_journeys, _delete_transitions, _delete_checkpoints):
        await connection.execute(statement, {"customers": list(customers)})


_due = select(journeys.c.customer, journeys.c.model, journeys.c.id).where(
    journeys.c.look_us <= bindparam("watermark_us"),
    journeys.c.customer >= bindparam("first", type_=LargeBinary),
    journeys.c.customer <= bindparam("last", type_=LargeBinary),
    journeys.c.model == any_(bindparam("models", type_=ARRAY(journeys.c.model.type))),
)
_read_due = _due.order_by(journeys.c.look_us).limit(bindparam("count"))


async def read_due(
    connection: AsyncConnection, models: Sequence[int], watermark_us: int, span: tuple[bytes, bytes], count: int
) -> list[tuple[bytes, int, str]]:
    """Returns up to `count` journeys whose next check is due: (customer digest, generation id, customer id).

    Args:
        connection: where to read.
        models: generation ids.
        watermark_us: a check at it or before is due.
        span: the first and the last digest of the customers.
        count: the maximum number.
    """
    first, last = span
    parameters = {"models": list(models), "watermark_us": watermark_us, "first": first, "last": last, "count": count}
    return [(row[0], row[1], row[2]) for row in await connection.execute(_read_due, parameters)]


# --- transitions ------------------------------------------------------------------------------------------------------

_of = [transitions.c[name] for name in Transition._fields]
_since = UnnestParameters(
    "since", {"customer": LargeBinary(), "model": transitions.c.model.type, "from_us": journeys.c.last_us.type}
)
_read_transitions = DriverStatement(
    select(transitions.c.customer, transitions.c.model, *_of)
    .join(
        _since.table,
        (transitions.c.customer == _since.table.c.customer) & (transitions.c.model == _since.table.c.model),
    )
    .where(transitions.c.at_us >= _since.table.c.from_us)
)


async def read_transitions(
    connection: AsyncConnection, since: Sequence[tuple[bytes, int, int]]
) -> dict[JourneyKey, list[Transition]]:
    """Returns transitions of some journeys, sorted. `since`: (customer digest, generation id, from_us) of each."""
    by_journey: dict[JourneyKey, list[Transition]] = {}
    for row in await _read_transitions.fetch(connection, _since.parameters(since)):
        by_journey.setdefault((row[0], row[1]), []).append(Transition._make(row[2:]))
    for journey_transitions in by_journey.values():
        journey_transitions.sort()
    return by_journey


_KEY = ("customer", "model", "at_us", "place", "message_id", "actor", "kind")
_TRANSITION_COLUMNS = ("customer", "model", *Transition._fields)
_moves = UnnestParameters("moves", {name: transitions.c[name].type for name in _TRANSITION_COLUMNS})
_moves_insert = insert(transitions).from_select(
    _TRANSITION_COLUMNS,
    select(*_moves.table.c).order_by(
        *(
            _moves.table.c[name].collate("C") if name in ("message_id", "actor") else _moves.table.c[name]
            for name in _KEY
        )
    ),
)
_write_transitions = DriverStatement(
    _moves_insert.on_conflict_do_update(
        index_elements=[transitions.c[name] for name in _KEY],
        set_={name: _moves_insert.excluded[name] for name in Transition._fields if name not in _KEY},
    ).returning(transitions.c.model)
)


async def write_transitions(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write transitions: rows of (customer digest, generation id, *Transition), sorted and distinct."""
    await _write_transitions.fetch(connection, _moves.parameters(rows))


_removed = UnnestParameters("removed", {name: transitions.c[name].type for name in _KEY})
_remove_transitions = delete(transitions).where(
    select(_removed.table.c.model).where(*(transitions.c[name] == _removed.table.c[name] for name in _KEY)).exists()
)


async def remove_transitions(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Delete transitions by key: rows of (customer digest, generation id, at_us, place, message id, actor, kind)."""
    await connection.execute(_remove_transitions, _removed.parameters(rows))


# --- checkpoints ------------------------------------------------------------------------------------------------------

_read_checkpoints = DriverStatement(
    select(checkpoints.c.customer, checkpoints.c.model, *(checkpoints.c[name] for name in Journey._fields)).where(
        checkpoints.c.customer == any_(_customers)
    )
)


async def read_checkpoints(connection: AsyncConnection, customers: Sequence[bytes]) -> dict[JourneyKey, list[Journey]]:
    """Returns the checkpoints of some customers, in order."""
    by_journey: dict[JourneyKey, list[Journey]] = {}
    for row in await _read_checkpoints.fetch(connection, {"customers": customers}):
        by_journey.setdefault((row[0], row[1]), []).append(Journey._make(row[2:]))
    for states in by_journey.values():
        states.sort(key=lambda state: state.last_key)
    return by_journey


_CHECKPOINT_KEY = ("customer", "model", "last_us", "last_place", "last_message", "last_actor")
_CHECKPOINT_COLUMNS = ("customer", "model", *Journey._fields)
_kept_states = UnnestParameters("kept_states", {name: checkpoints.c[name].type for name in _CHECKPOINT_COLUMNS})
_kept_states_insert = insert(checkpoints).from_select(
    _CHECKPOINT_COLUMNS,
    select(*_kept_states.table.c).order_by(_kept_states.table.c.customer, _kept_states.table.c.model),
)
_write_checkpoints = _kept_states_insert.on_conflict_do_update(
    index_elements=[checkpoints.c[name] for name in _CHECKPOINT_KEY],
    set_={name: _kept_states_insert.excluded[name] for name in Journey._fields if name not in _CHECKPOINT_KEY},
)


async def write_checkpoints(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write checkpoints: rows of (customer digest, generation id, *Journey), distinct."""
    await connection.execute(_write_checkpoints, _kept_states.parameters(rows))


_removed_states = UnnestParameters("removed_states", {name: checkpoints.c[name].type for name in _CHECKPOINT_KEY})
_remove_checkpoints = delete(checkpoints).where(
    select(_removed_states.table.c.model)
    .where(*(checkpoints.c[name] == _removed_states.table.c[name] for name in _CHECKPOINT_KEY))
    .exists()
)


async def remove_checkpoints(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Delete checkpoints by key: rows of (customer digest, generation id, *order key of the last touchpoint)."""
    await connection.execute(_remove_checkpoints, _removed_states.parameters(rows))
