"""Statements over touchpoints: inserted once, read again by actor and time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

import asyncpg
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    LargeBinary,
    Text,
    any_,
    bindparam,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.kit.compiled import compiled
from throughline.store.digest import DIGEST_BYTES
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.facts import touchpoints

TOUCHPOINT_COLUMNS = tuple(touchpoints.c.keys())
"""The columns of a row: the digests of actor and message id, then fields of `Touchpoint` by their names."""

FactKey = tuple[bytes, bytes]
"""The digests of a fact's actor and of its message id."""

FactRow = tuple[Any, ...]
"""One fact, in the order of `TOUCHPOINT_COLUMNS`."""


def _stored(column: Column[Any]) -> str:
    """Returns the expression of a column in the statements of `row_of`: what is not given is null where it may be."""
    if column.name in ("actor", "message"):
        return f"{column.name}_digest"
    return f"{column.name} or None" if column.nullable and isinstance(column.type, Text) else column.name


row_of = cast(
    Callable[[bytes, bytes, Touchpoint], FactRow],
    compiled(
        "row_of",
        "actor_digest, message_digest, touchpoint",
        [
            f"({', '.join(Touchpoint._fields)}) = touchpoint",
            f"return ({', '.join(map(_stored, touchpoints.c))})",
        ],
        {},
    ),
)
"""Returns a touchpoint as a row, from the digests of its actor and of its message id and the touchpoint."""

key_of: Callable[[FactRow], FactKey] = itemgetter(*map(TOUCHPOINT_COLUMNS.index, ("actor", "message")))
"""Returns the key of a row: the digests of its actor and of its message id."""

_NOT_COMPARED = ("actor", "message", "occurred_us", "place", "received_us", "source", "channel", "attribution")
content_of: Callable[[FactRow], FactRow] = itemgetter(
    *(place for place, name in enumerate(TOUCHPOINT_COLUMNS) if name not in _NOT_COMPARED)
)
"""Returns what the event of a row says, to compare events that repeat a message id.

Times, place, source, channel and attribution are left out: an event sent again may come in another batch or through
another key, and its clock may be corrected differently.
"""

_JSON = ("rest", "items", "attribution")
_facts = UnnestParameters("facts", {name: touchpoints.c[name].type for name in TOUCHPOINT_COLUMNS}, joined=_JSON)
_inserted = (
    insert(touchpoints)
    .from_select(TOUCHPOINT_COLUMNS, select(*_facts.table.c).order_by(_facts.table.c.actor, _facts.table.c.message))
    .on_conflict_do_nothing()
    .returning(touchpoints.c.actor, touchpoints.c.message)
    .cte("inserted")
)
_count = select(func.count()).select_from(_inserted).scalar_subquery()
# Nearly always all facts are new, and their number says so. To answer each of them takes longer than to index it.
_keys_if_fewer = (
    select(func.string_agg(_inserted.c.actor.concat(_inserted.c.message), literal(b"", LargeBinary)))
    .where(_count < bindparam("expected", type_=BigInteger))
    .scalar_subquery()
)
_insert_touchpoints = DriverStatement(select(_count, _keys_if_fewer))


def parameters_of(rows: Iterable[FactRow]) -> dict[str, str]:
    """Returns facts, sorted by key and distinct, as `insert_touchpoints` takes them."""
    return _facts.parameters(rows)


async def insert_touchpoints(
    connection: AsyncConnection, rows: Sequence[FactRow], parameters: Mapping[str, str]
) -> set[FactKey]:
    """Insert facts; returns the keys of those that were stored before.

    Args:
        connection: within a transaction.
        rows: sorted by key and distinct.
        parameters: the same rows, of `parameters_of`.
    """
    answer = await _insert_touchpoints.fetch(connection, {**parameters, "expected": len(rows)})
    count, inserted = answer[0]
    if count == len(rows):
        return set()
    size = 2 * DIGEST_BYTES
    keys = (inserted[at : at + size] for at in range(0, count * size, size))
    return {*map(key_of, rows)} - {(key[:DIGEST_BYTES], key[DIGEST_BYTES:]) for key in keys}


_IN_JOURNEYS = (~touchpoints.c.bot, ~touchpoints.c.test, touchpoints.c.call != "unlink", touchpoints.c.call != "relink")
"""What is folded: not what crawlers sent, nor what operators ruled."""

_keys = UnnestParameters("keys", {"actor": touchpoints.c.actor.type, "message": touchpoints.c.message.type})
_by_key = (touchpoints.c.actor == _keys.table.c.actor) & (touchpoints.c.message == _keys.table.c.message)
_read_facts = select(touchpoints).join(_keys.table, _by_key)
_read_senders = DriverStatement(
    select(touchpoints.c.message, touchpoints.c.actor, touchpoints.c.occurred_us, touchpoints.c.place).where(
        touchpoints.c.message == any_(bindparam("messages", type_=ARRAY(LargeBinary))),
        touchpoints.c.actor == any_(bindparam("actors", type_=ARRAY(LargeBinary))),
        *_IN_JOURNEYS,
    )
)


async def read_facts(connection: AsyncConnection, keys: Sequence[FactKey]) -> dict[FactKey, FactRow]:
    """Returns stored facts by their keys."""
    rows = await connection.execute(_read_facts, _keys.parameters(keys))
    return {(row.actor, row.message): tuple(row) for row in rows}


async def read_senders(
    connection: AsyncConnection, messages: Iterable[bytes], actors: Iterable[bytes]
) -> dict[bytes, dict[bytes, tuple[int, int]]]:
    """Returns who sent some message ids: message digest -> actor digest -> (occurred_us, place).

    The index is walked once for each message, not once for each pair of a message and an actor.

    Args:
        connection: where the facts are looked up.
        messages: digests of the message ids.
        actors: digests of the ids that may have sent them; others are left out.
    """
    senders: dict[bytes, dict[bytes, tuple[int, int]]] = {}
    parameters = {"messages": sorted(set(messages)), "actors": sorted(set(actors))}
    for message, actor, occurred_us, place in await _read_senders.fetch(connection, parameters):
        senders.setdefault(message, {})[actor] = (occurred_us, place)
    return senders


_NOT_FOLDED = (
    "message",
    "received_us",
    "user_id",
    "anonymous_id",
    "previous_id",
    "rest",
    "bot",
    "test",
)
_FOLDED = tuple(name for name in TOUCHPOINT_COLUMNS if name not in _NOT_FOLDED)
"""The columns that a fold looks at: all but some, so that the fold may look at a new one."""
_ACTOR = _FOLDED.index("actor")

_span = UnnestParameters("span", {"actor": touchpoints.c.actor.type, "from_us": BigInteger(), "to_us": BigInteger()})
_read_history = DriverStatement(
    select(*(touchpoints.c[name] for name in _FOLDED))
    .join(_span.table, touchpoints.c.actor == _span.table.c.actor)
    .where(
        touchpoints.c.occurred_us >= _span.table.c.from_us,
        touchpoints.c.occurred_us <= _span.table.c.to_us,
        *_IN_JOURNEYS,
    )
)


def _read(field: str) -> str:
    """Returns the expression of a field of `Touchpoint` in the statements of `_folded`: null means not given."""
    if field == "actor":
        return "actor_id"
    if field not in _FOLDED:
        return repr(Touchpoint._field_defaults[field])
    column = touchpoints.c[field]
    return f'{field} or ""' if column.nullable and isinstance(column.type, Text) else field


_folded = cast(
    Callable[[asyncpg.Record, str], Touchpoint],
    compiled(
        "folded",
        "row, actor_id",
        [
            f"({', '.join(_FOLDED)}) = row",
            f"return new(Touchpoint, ({', '.join(map(_read, Touchpoint._fields))}))",
        ],
        {"new": tuple.__new__, "Touchpoint": Touchpoint},
    ),
)


async def read_history(
    connection: AsyncConnection, spans: Iterable[tuple[bytes, int, int]], names: Mapping[bytes, str]
) -> dict[bytes, list[Touchpoint]]:
    """Returns the touchpoints of some actors by digest, with the fields that a fold looks at, unsorted.

    Args:
        spans: (actor digest, from_us, to_us), both included; an actor once.
        names: actor digest -> actor id.
    """
    history: dict[bytes, list[Touchpoint]] = {}
    for row in await _read_history.fetch(connection, _span.parameters(spans)):
        actor = row[_ACTOR]
        touchpoint = _folded(row, names[actor])
        if actor in history:
            history[actor].append(touchpoint)
        else:
            history[actor] = [touchpoint]
    return history


_next = UnnestParameters(
    "next",
    {
        "actor": touchpoints.c.actor.type,
        "after_us": BigInteger(),
        "after_place": BigInteger(),
        "after_message": touchpoints.c.message_id.type,
        "count": BigInteger(),
    },
)
_in_instant = (touchpoints.c.place, touchpoints.c.message_id.collate("C"))
_after = (_next.table.c.after_us, _next.table.c.after_place, _next.table.c.after_message)


def _read_after(instant: ColumnElement[bool], *order: ColumnElement[Any]) -> DriverStatement:
    following = (
        select(*(touchpoints.c[name] for name in _FOLDED))
        .where(
            touchpoints.c.actor == _next.table.c.actor,
            instant,
            tuple_(touchpoints.c.occurred_us, *_in_instant) >= tuple_(*_after),
            *_IN_JOURNEYS,
        )
        .order_by(*order)
        .limit(_next.table.c.count)
        .correlate(_next.table)
        .lateral("following")
    )
    return DriverStatement(select(*following.c).select_from(_next.table.join(following, true())))


# By instants the index has them in order; by the order within an instant all of this instant are sorted.
_read_by_instant = _read_after(touchpoints.c.occurred_us >= _next.table.c.after_us, touchpoints.c.occurred_us)
_read_instant = _read_after(touchpoints.c.occurred_us == _next.table.c.after_us, *_in_instant)


async def read_following(
    connection: AsyncConnection,
    spans: Iterable[tuple[bytes, OrderKey, int]],
    names: Mapping[bytes, str],
    *,
    within_instant: bool = False,
) -> dict[bytes, list[Touchpoint]]:
    """Returns the next touchpoints of some actors, sorted: one at the very place may be among them.

    Args:
        connection: within a transaction that holds the customers.
        spans: (actor digest, place after which they come, maximum number), an actor once. Of several touchpoints of
            the last instant it is open which are among them.
        names: actor digest -> actor id.
        within_instant: those of the very instant of the place only, the first of them.
    """
    history: dict[bytes, list[Touchpoint]] = {}
    statement = _read_instant if within_instant else _read_by_instant
    rows = ((actor, *place[:3], count) for actor, place, count in spans)
    for row in await statement.fetch(connection, _next.parameters(rows)):
        actor = row[_ACTOR]
        history.setdefault(actor, []).append(_folded(row, names[actor]))
    for events in history.values():
        events.sort()
    return history


_actors = bindparam("actors", type_=ARRAY(LargeBinary))
_each = func.unnest(_actors).table_valued("actor", name="each").render_derived()
_first = (
    select(touchpoints.c.occurred_us)
    .where(touchpoints.c.actor == _each.c.actor, *_IN_JOURNEYS)
    .order_by(touchpoints.c.occurred_us)
    .limit(1)
    .correlate(_each)
    .lateral("first")
)
_earliest = DriverStatement(select(_each.c.actor, _first.c.occurred_us).select_from(_each.join(_first, true())))


async def read_earliest(connection: AsyncConnection, actors: Sequence[bytes]) -> dict[bytes, int]:
    """Returns when the first touchpoint of each actor occurred, by digest; actors without any are left out."""
    rows = await _earliest.fetch(connection, {"actors": actors})
    return {row[0]: row[1] for row in rows}


_names = (
    select(
        touchpoints.c.source,
        touchpoints.c.name,
        func.count(),
        func.min(touchpoints.c.occurred_us),
        func.max(touchpoints.c.occurred_us),
    )
    .where(touchpoints.c.actor == any_(_actors), touchpoints.c.call == "track", *_IN_JOURNEYS)
    .group_by(touchpoints.c.source, touchpoints.c.name)
)


async def count_names(connection: AsyncConnection, actors: Iterable[bytes]) -> list[tuple[int, str, int, int, int]]:
    """Returns the names of the track events of some actors: (source, name, events, first_us, last_us)."""
    return [tuple(row) for row in await connection.execute(_names, {"actors": sorted(actors)})]
