"""Statements over touchpoints: inserted once, read again by actor and time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, LargeBinary, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.touchpoint import Touchpoint
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.facts import touchpoints

TOUCHPOINT_COLUMNS = tuple(touchpoints.c.keys())
"""The columns of `insert_touchpoints`, in this order."""

_facts = UnnestParameters("facts", {name: touchpoints.c[name].type for name in TOUCHPOINT_COLUMNS})
_insert_touchpoints = DriverStatement(
    insert(touchpoints)
    .from_select(TOUCHPOINT_COLUMNS, select(*_facts.table.c).order_by(_facts.table.c.actor, _facts.table.c.message))
    .on_conflict_do_nothing()
    .returning(touchpoints.c.message)
)


async def insert_touchpoints(connection: AsyncConnection, rows: Iterable[tuple[Any, ...]]) -> set[bytes]:
    """Insert facts, rows of `TOUCHPOINT_COLUMNS` sorted by key and distinct; gives the message digests that are new."""
    return {row[0] for row in await _insert_touchpoints.fetch(connection, _facts.parameters(rows))}


_IN_JOURNEYS = (~touchpoints.c.bot, touchpoints.c.call != "unlink", touchpoints.c.call != "relink")
"""What is folded: not what crawlers sent, nor what operators ruled."""

_keys = UnnestParameters("keys", {"actor": touchpoints.c.actor.type, "message": touchpoints.c.message.type})
_by_key = (touchpoints.c.actor == _keys.table.c.actor) & (touchpoints.c.message == _keys.table.c.message)
_read_facts = select(touchpoints).join(_keys.table, _by_key)
_read_existing = DriverStatement(
    select(touchpoints.c.message, touchpoints.c.occurred_us).join(_keys.table, _by_key).where(*_IN_JOURNEYS)
)


async def read_facts(connection: AsyncConnection, keys: Sequence[tuple[bytes, bytes]]) -> dict[bytes, tuple[Any, ...]]:
    """Stored facts by (actor digest, message digest): message digest -> row of `TOUCHPOINT_COLUMNS`."""
    rows = await connection.execute(_read_facts, _keys.parameters(keys))
    return {row.message: tuple(row) for row in rows}


async def read_existing(connection: AsyncConnection, keys: Sequence[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """Which facts of some (actor digest, message digest) there are in journeys: message digest -> when it occurred."""
    return {row[0]: row[1] for row in await _read_existing.fetch(connection, _keys.parameters(keys))}


_span = UnnestParameters("span", {"actor": touchpoints.c.actor.type, "from_us": BigInteger(), "to_us": BigInteger()})
_read_history = DriverStatement(
    select(
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
        touchpoints.c.product_id,
        touchpoints.c.quantity,
    )
    .join(_span.table, touchpoints.c.actor == _span.table.c.actor)
    .where(
        touchpoints.c.occurred_us >= _span.table.c.from_us,
        touchpoints.c.occurred_us <= _span.table.c.to_us,
        *_IN_JOURNEYS,
    )
)
_new: Callable[[type[Touchpoint], tuple[Any, ...]], Touchpoint] = tuple.__new__


async def read_history(
    connection: AsyncConnection, spans: Iterable[tuple[bytes, int, int]], names: Mapping[bytes, str]
) -> dict[bytes, list[Touchpoint]]:
    """What some actors did, with what the fold looks at, unsorted.

    Args:
        connection: where from.
        spans: (actor digest, from_us, to_us), both included; an actor once.
        names: actor digest -> actor id.
    """
    found: dict[bytes, list[Touchpoint]] = {}
    for row in await _read_history.fetch(connection, _span.parameters(spans)):
        actor, occurred_us, message_id, call, name, source, channel, order, value, rating, score, product, quantity = (
            row
        )
        touchpoint = _new(
            Touchpoint,
            (
                *(occurred_us, message_id, names[actor], call, name, 0, source, channel, 0, 0, "", "", "", order or ""),
                *(value, "", rating, score, product or "", quantity, (), "{}", False, ""),
            ),
        )
        kept = found.get(actor)
        if kept is None:
            found[actor] = [touchpoint]
        else:
            kept.append(touchpoint)
    return found


_earliest = (
    select(touchpoints.c.actor, func.min(touchpoints.c.occurred_us))
    .where(
        touchpoints.c.actor == any_(bindparam("actors", type_=ARRAY(LargeBinary))),
        *_IN_JOURNEYS,
    )
    .group_by(touchpoints.c.actor)
)


async def read_earliest(connection: AsyncConnection, actors: Sequence[bytes]) -> dict[bytes, int]:
    """When each of some actors did its first thing; those who did nothing are left out."""
    rows = await connection.execute(_earliest, {"actors": list(actors)})
    return {row[0]: row[1] for row in rows}
