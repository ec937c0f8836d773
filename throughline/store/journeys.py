"""Statements over a customer's journeys, their transitions and checkpoints.

Whoever writes these rows of a customer holds the lock on its id (`identity.lock_ids`), so they are read without locks.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Select,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.lapse import NEVER
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import OrderKey
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement, Write
from throughline.store.schema.journeys import checkpoints, journeys, recomputations, transitions

JourneyKey = tuple[bytes, int]
"""(customer digest, generation id)."""

_customers = UnnestParameters("customers", {"customer": LargeBinary()})


def beside_of(model: int) -> int:
    """Returns the number under which a journey stands beside the one of a generation until it is whole."""
    return -model


class StoredJourney(NamedTuple):
    """A journey, and the number of touchpoints folded since its last checkpoint."""

    journey: Journey
    since: int


JourneyMap = dict[JourneyKey, StoredJourney]
"""Stored journeys by their keys."""

_read_journeys = DriverStatement(
    select(
        journeys.c.customer,
        journeys.c.model,
        journeys.c.since,
        *(journeys.c[name] for name in Journey._fields),
    ).join(_customers.table, journeys.c.customer == _customers.table.c.customer)
)


async def read_journeys(connection: AsyncConnection, customers: Sequence[bytes]) -> dict[JourneyKey, StoredJourney]:
    """Returns all journeys of some locked customers, those that are recomputed beside them too (`beside_of`)."""
    rows = await _read_journeys.fetch(connection, _customers.parameters((customer,) for customer in customers))
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
# Constants as they are: a shard's statement would lack the types of the parameters that it does not need.
_never = literal_column(str(NEVER), BigInteger)
_write_journeys = _write(case((_new.look_us == _never, _never), else_=func.least(journeys.c.look_us, _new.look_us)))
_write_journeys_exactly = _write(_new.look_us)


def journeys_to_write(rows: Sequence[tuple[Any, ...]], *, exact: bool = False) -> list[Write]:
    """Returns what writes journeys, sorted and distinct, in a transaction that holds the customers.

    Args:
        rows: (customer digest, generation id, customer id, since, due_us, *Journey).
        exact: the next check of a journey is exactly when its lapse is due, as after a check; otherwise it may stay
            where it was when that is earlier, so that the index does not change with every event.
    """
    return [(_write_journeys_exactly if exact else _write_journeys, _states.parameters(rows))] if rows else []


_gone = UnnestParameters("gone", {"customer": LargeBinary(), "model": journeys.c.model.type})
_deletions = [
    DriverStatement(
        delete(table).where(
            select(_gone.table.c.model)
            .where(table.c.customer == _gone.table.c.customer, table.c.model == _gone.table.c.model)
            .exists()
        )
    )
    for table in (journeys, transitions, checkpoints)
]


async def delete_journeys(connection: AsyncConnection, keys: Iterable[JourneyKey]) -> None:
    """Delete journeys, with their transitions and checkpoints."""
    parameters = _gone.parameters(keys)
    for statement in _deletions:
        await statement.fetch(connection, parameters)


_due = select(journeys.c.customer, journeys.c.model, journeys.c.id).where(
    journeys.c.look_us <= bindparam("watermark_us"),
    journeys.c.customer >= bindparam("first", type_=LargeBinary),
    journeys.c.customer <= bindparam("last", type_=LargeBinary),
    journeys.c.model == any_(bindparam("models", type_=ARRAY(journeys.c.model.type))),
    ~select(recomputations.c.model)
    .where(recomputations.c.customer == journeys.c.customer, recomputations.c.model == journeys.c.model)
    .exists(),
)
_read_due = DriverStatement(_due.order_by(journeys.c.look_us).limit(bindparam("count")))


async def read_due(
    connection: AsyncConnection, models: Sequence[int], watermark_us: int, span: tuple[bytes, bytes], count: int
) -> list[tuple[bytes, int, str]]:
    """Returns up to `count` journeys whose next check is due: (customer digest, generation id, customer id).

    Those that are recomputed aside are left out.

    Args:
        models: generation ids.
        watermark_us: a check at it or before is due.
        span: the first and the last digest of the customers.
        count: the maximum number.
    """
    first, last = span
    parameters = {"models": list(models), "watermark_us": watermark_us, "first": first, "last": last, "count": count}
    return [(row[0], row[1], row[2]) for row in await _read_due.fetch(connection, parameters)]


# --- transitions ------------------------------------------------------------------------------------------------------

_of = [transitions.c[name] for name in Transition._fields]
_since = UnnestParameters(
    "since",
    {
        "customer": LargeBinary(),
        "model": transitions.c.model.type,
        "from_us": journeys.c.last_us.type,
        "to_us": journeys.c.last_us.type,
    },
)
_read_transitions = DriverStatement(
    select(transitions.c.customer, transitions.c.model, *_of)
    .join(
        _since.table,
        (transitions.c.customer == _since.table.c.customer) & (transitions.c.model == _since.table.c.model),
    )
    .where(transitions.c.at_us.between(_since.table.c.from_us, _since.table.c.to_us))
    .limit(bindparam("count", type_=BigInteger))
)


async def read_transitions(
    connection: AsyncConnection, since: Iterable[tuple[bytes, int, int, int]], *, count: int | None = None
) -> dict[JourneyKey, list[Transition]]:
    """Returns transitions of some journeys, sorted.

    Args:
        connection: within a transaction that holds the customers.
        since: (customer digest, generation id, from_us, to_us) of each, both included.
        count: the maximum number of all together, whichever these are; None: all.
    """
    by_journey: dict[JourneyKey, list[Transition]] = {}
    for row in await _read_transitions.fetch(connection, {**_since.parameters(since), "count": count}):
        by_journey.setdefault((row[0], row[1]), []).append(Transition._make(row[2:]))
    for journey_transitions in by_journey.values():
        journey_transitions.sort()
    return by_journey


_place = [bindparam(f"after_{name}", type_=transitions.c[name].type) for name in Transition._fields[:4]]
_read_next_transitions = (
    select(*_of)
    .where(
        transitions.c.customer == bindparam("of_customer"),
        transitions.c.model == bindparam("of_model"),
        tuple_(*_of[:4]) > tuple_(*_place),
    )
    .order_by(*_of[:5])
    .limit(bindparam("count"))
)


async def read_next_transitions(
    connection: AsyncConnection, key: JourneyKey, after: OrderKey, count: int
) -> list[Transition]:
    """Returns the first transitions of a journey that came after the touchpoint at a place, at most `count`."""
    customer, model = key
    places = {parameter.key: value for parameter, value in zip(_place, after, strict=True)}
    parameters = {"of_customer": customer, "of_model": model, "count": count, **places}
    return [Transition(*row) for row in await connection.execute(_read_next_transitions, parameters)]


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


def transitions_to_write(rows: Sequence[tuple[Any, ...]]) -> list[Write]:
    """Returns what writes transitions: rows of (customer digest, generation id, *Transition), sorted and distinct."""
    return [(_write_transitions, _moves.parameters(rows))] if rows else []


_removed = UnnestParameters("removed", {name: transitions.c[name].type for name in _KEY})
_remove_transitions = delete(transitions).where(
    select(_removed.table.c.model).where(*(transitions.c[name] == _removed.table.c[name] for name in _KEY)).exists()
)


async def remove_transitions(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Delete transitions by key: rows of (customer digest, generation id, at_us, place, message id, actor, kind)."""
    await connection.execute(_remove_transitions, _removed.parameters(rows))


# --- checkpoints ------------------------------------------------------------------------------------------------------

_order = [checkpoints.c[name] for name in ("last_us", "last_place", "last_message", "last_actor")]
_near = UnnestParameters(
    "near", {"customer": LargeBinary(), "model": checkpoints.c.model.type, "from_us": journeys.c.last_us.type}
)


def _nearest(condition: Any, order: Sequence[Any], count: Any) -> Select[Any]:
    of_journey = (checkpoints.c.customer == _near.table.c.customer) & (checkpoints.c.model == _near.table.c.model)
    columns = [checkpoints.c[name] for name in Journey._fields]
    return select(*columns).where(of_journey, condition).order_by(*order).limit(count).correlate(_near.table)


_nearest_states = union_all(
    _nearest(checkpoints.c.last_us < _near.table.c.from_us, [column.desc() for column in _order], 1),
    _nearest(checkpoints.c.last_us >= _near.table.c.from_us, _order, bindparam("count", type_=BigInteger)),
).lateral("nearest")
_read_checkpoints = DriverStatement(
    select(_near.table.c.customer, _near.table.c.model, *_nearest_states.c).select_from(
        _near.table.join(_nearest_states, true())
    )
)


async def read_checkpoints(
    connection: AsyncConnection, near: Iterable[tuple[bytes, int, int]], count: int
) -> dict[JourneyKey, list[Journey]]:
    """Returns checkpoints of some journeys, in order: the last one before an instant, and the next ones from there on.

    Args:
        connection: within a transaction that holds the customers.
        near: (customer digest, generation id, instant).
        count: maximum number of each journey from its instant on.
    """
    by_journey: dict[JourneyKey, list[Journey]] = {}
    for row in await _read_checkpoints.fetch(connection, {**_near.parameters(near), "count": count}):
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
_write_checkpoints = DriverStatement(
    _kept_states_insert.on_conflict_do_update(
        index_elements=[checkpoints.c[name] for name in _CHECKPOINT_KEY],
        set_={name: _kept_states_insert.excluded[name] for name in Journey._fields if name not in _CHECKPOINT_KEY},
    ).returning(checkpoints.c.model)
)


def checkpoints_to_write(rows: Sequence[tuple[Any, ...]]) -> list[Write]:
    """Returns what writes checkpoints: rows of (customer digest, generation id, *Journey), distinct."""
    return [(_write_checkpoints, _kept_states.parameters(rows))] if rows else []


_removed_states = UnnestParameters("removed_states", {name: checkpoints.c[name].type for name in _CHECKPOINT_KEY})
_remove_checkpoints = delete(checkpoints).where(
    select(_removed_states.table.c.model)
    .where(*(checkpoints.c[name] == _removed_states.table.c[name] for name in _CHECKPOINT_KEY))
    .exists()
)


async def remove_checkpoints(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Delete checkpoints by key: rows of (customer digest, generation id, *order key of the last touchpoint)."""
    await connection.execute(_remove_checkpoints, _removed_states.parameters(rows))


_after = [bindparam(f"after_{column.name}", type_=column.type) for column in _order]
_of_journey = (checkpoints.c.customer == bindparam("of_customer"), checkpoints.c.model == bindparam("of_model"))
_remove_checkpoints_after = delete(checkpoints).where(*_of_journey, tuple_(*_order) > tuple_(*_after))
_renumber_checkpoints = update(checkpoints).where(*_of_journey).values(model=bindparam("new_model"))


async def replace_checkpoints(connection: AsyncConnection, key: JourneyKey, after: OrderKey) -> None:
    """Put the checkpoints that stand beside a journey in place of all its own after a touchpoint."""
    customer, model = key
    places = {parameter.key: value for parameter, value in zip(_after, after, strict=True)}
    await connection.execute(_remove_checkpoints_after, {"of_customer": customer, "of_model": model, **places})
    beside = {"of_customer": customer, "of_model": beside_of(model), "new_model": model}
    await connection.execute(_renumber_checkpoints, beside)
