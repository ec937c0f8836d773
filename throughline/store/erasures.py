"""Statements over erasures: asked for, carried out in slices, proved."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, LargeBinary, any_, bindparam, case, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.durations import HOUR_US
from throughline.journey.identity import RULINGS
from throughline.store.access.suppressions import FOR_EVER
from throughline.store.digest import DIGEST_BYTES, id_digest
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.facts import FactKey
from throughline.store.personal import PLACES
from throughline.store.rejected import Reason, add_counts
from throughline.store.schema.access import workspaces
from throughline.store.schema.facts import touchpoints
from throughline.store.schema.identity import ids, links, rulings
from throughline.store.schema.journeys import checkpoints, conversions, journeys, transitions
from throughline.store.schema.operations import recent_events, rejected
from throughline.store.schema.rights import data_requests, erasures, suppressions


class ErasureState(StrEnum):
    """How far an erasure has come, in this order."""

    ASKED = "asked"
    """Its named ids are suppressed; the others of their customers are looked up once the log is staged to its end."""
    ORDERED = "ordered"
    """A record with all ids is on its way."""
    FACTS = "facts"
    MENTIONS = "mentions"
    """In the facts of others."""
    REJECTED = "rejected"
    HISTORY = "history"
    """Journeys are recomputed aside, without the facts."""
    JOURNEYS = "journeys"
    PROOF = "proof"
    DONE = "done"


class Erasure(NamedTuple):
    """One erasure."""

    id: int
    workspace: int
    name: str
    shard: int
    state: ErasureState
    once: bool
    until_us: int
    subjects: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    cursor: int
    touchpoints: int
    clear_us: int | None
    done_us: int | None
    proof: dict[str, int]


def joined(digests: Iterable[bytes]) -> bytes:
    """Returns digests, one after the other."""
    return b"".join(digests)


def parted(text: bytes) -> tuple[bytes, ...]:
    """Returns the digests that `joined` joined."""
    return tuple(text[start : start + DIGEST_BYTES] for start in range(0, len(text), DIGEST_BYTES))


def _erasure(row: Any) -> Erasure:
    values = dict(zip(Erasure._fields, row, strict=True))
    return Erasure(
        **{
            **values,
            "state": ErasureState(values["state"]),
            "subjects": parted(values["subjects"]),
            "digests": parted(values["digests"]),
            "proof": json.loads(values["proof"]),
        }
    )


_columns = [erasures.c[name] for name in Erasure._fields]


def dump_proof(proof: Mapping[str, int]) -> str:
    """Returns a proof as it is stored."""
    return json.dumps(proof)


# --- what the log says ------------------------------------------------------------------------------------------------


_next_version = (
    update(workspaces)
    .where(workspaces.c.id == bindparam("of_workspace"))
    .values(version=workspaces.c.version + 1)
    .returning(workspaces.c.version)
)


async def hold_workspaces(connection: AsyncConnection, numbers: Iterable[int]) -> dict[int, int]:
    """Returns the next versions of workspaces by id, once nobody stages for them: later transactions see what follows.

    See `generations.lock_versions`.
    """
    versions: dict[int, int] = {}
    for number in sorted(set(numbers)):
        versions[number] = await connection.scalar(_next_version, {"of_workspace": number}) or 0
    return versions


_new = UnnestParameters("new", {name: suppressions.c[name].type for name in ("workspace", "digest", "until_us")})
_add = (
    insert(suppressions)
    .from_select(
        ["workspace", "digest", "until_us"],
        select(*_new.table.c).order_by(_new.table.c.workspace, _new.table.c.digest, _new.table.c.until_us),
    )
    .on_conflict_do_nothing()
    .returning(suppressions.c.workspace)
)


async def suppress(connection: AsyncConnection, workspace: int, digests: Iterable[bytes], until_us: int) -> None:
    """Refuse what was received of some ids until an instant. The workspace is held (`hold_workspaces`)."""
    rows = sorted((workspace, digest, until_us) for digest in set(digests))
    added = (await connection.execute(_add, _new.parameters(rows))).all()
    if added:
        await connection.execute(
            update(workspaces)
            .where(workspaces.c.id == workspace)
            .values(suppressed=workspaces.c.suppressed + len(added))
        )


async def list_erasures(connection: AsyncConnection, workspace: int, before: int | None, count: int) -> list[Erasure]:
    """Returns erasures of a workspace, newest first, `count` at most; `before`: those older than this one."""
    query = select(*_columns).where(erasures.c.workspace == workspace).order_by(erasures.c.id.desc()).limit(count)
    if before is not None:
        query = query.where(erasures.c.id < before)
    return [_erasure(row) for row in await connection.execute(query)]


async def find_erasure(connection: AsyncConnection, workspace: int, name: str) -> Erasure | None:
    """Returns an erasure by its name; None when its record is not staged."""
    row = (
        await connection.execute(select(*_columns).where(erasures.c.workspace == workspace, erasures.c.name == name))
    ).first()
    return None if row is None else _erasure(row)


async def last_erasure_of(connection: AsyncConnection, workspace: int, digest: bytes) -> Erasure | None:
    """Returns the last erasure that is about an id; None when there is none.

    All erasures of the workspace are looked through, newest first: they are few beside its customers.
    """
    row = (
        await connection.execute(
            select(*_columns)
            .where(erasures.c.workspace == workspace, func.position(literal(digest).op("IN")(erasures.c.digests)) > 0)
            .order_by(erasures.c.id.desc())
            .limit(1)
        )
    ).first()
    return None if row is None else _erasure(row)


async def add_erasure(connection: AsyncConnection, erasure: Erasure) -> None:
    """Store an erasure, unless one of its name is stored. `id` is not used."""
    values = erasure._asdict() | {
        "subjects": joined(erasure.subjects),
        "digests": joined(erasure.digests),
        "proof": json.dumps(erasure.proof),
    }
    del values["id"]
    await connection.execute(insert(erasures).values(**values).on_conflict_do_nothing())


async def set_erasure(connection: AsyncConnection, erasure: Erasure, **changed: Any) -> None:
    """Change columns of an erasure that nobody else changes now."""
    await connection.execute(update(erasures).where(erasures.c.id == erasure.id).values(**changed))


_requests = UnnestParameters(
    "requests", {name: data_requests.c[name].type for name in ("workspace", "name", "digest", "requested_us")}
)
_add_requests = (
    insert(data_requests)
    .from_select(
        ["workspace", "name", "digest", "requested_us"],
        select(*_requests.table.c).order_by(_requests.table.c.name, _requests.table.c.digest),
    )
    .on_conflict_do_nothing()
    .returning(data_requests.c.id)
)


async def add_data_requests(connection: AsyncConnection, rows: Iterable[tuple[int, str, bytes, int]]) -> None:
    """Store that persons asked for a copy: (workspace, name of the claim, digest, instant)."""
    await connection.execute(_add_requests, _requests.parameters(sorted(set(rows))))


# --- carrying it out --------------------------------------------------------------------------------------------------


async def read_open(connection: AsyncConnection, shard: int, count: int) -> list[Erasure]:
    """Returns erasures of a partition that are not done, `count` at most, oldest first."""
    rows = await connection.execute(
        select(*_columns)
        .where(erasures.c.shard == shard, erasures.c.state != "done")
        .order_by(erasures.c.id)
        .limit(count)
    )
    return [_erasure(row) for row in rows]


async def claim_erasure(connection: AsyncConnection, number: int) -> Erasure | None:
    """Returns an erasure that nobody else works on until this transaction ends; None when there is none."""
    row = (
        await connection.execute(
            update(erasures).where(erasures.c.id == number).values(cursor=erasures.c.cursor).returning(*_columns)
        )
    ).first()
    return None if row is None else _erasure(row)


_actors = bindparam("actors", type_=ARRAY(LargeBinary))
_names = bindparam("names", type_=ARRAY(touchpoints.c.name.type))
_COUNTED = ("actor", "message", "call", "name", "source", "occurred_us", "bot", "test")
_next_facts = (
    select(*(touchpoints.c[name] for name in _COUNTED))
    .where(touchpoints.c.actor == any_(_actors), touchpoints.c.received_us <= bindparam("until_us"))
    .limit(bindparam("count"))
)


async def read_facts_to_erase(
    connection: AsyncConnection, actors: Sequence[bytes], until_us: int, count: int
) -> list[Any]:
    """Returns facts of some actors received until an instant, `count` at most: their keys, and what counts by name."""
    parameters = {"actors": list(actors), "until_us": until_us, "count": count}
    return list((await connection.execute(_next_facts, parameters)).all())


_keys = UnnestParameters("keys", {"actor": touchpoints.c.actor.type, "message": touchpoints.c.message.type})
_delete_facts = delete(touchpoints).where(
    select(_keys.table.c.actor)
    .where(touchpoints.c.actor == _keys.table.c.actor, touchpoints.c.message == _keys.table.c.message)
    .exists()
)


async def delete_facts(connection: AsyncConnection, keys: Iterable[FactKey]) -> None:
    """Delete facts."""
    await connection.execute(_delete_facts, _keys.parameters(sorted(keys)))


_mentioned = or_(touchpoints.c.anonymous_id == any_(_names), touchpoints.c.previous_id == any_(_names))
_next_mentions = (
    select(touchpoints.c.actor, touchpoints.c.message, touchpoints.c.call, touchpoints.c.occurred_us)
    .where(
        touchpoints.c.actor == any_(_actors),
        touchpoints.c.occurred_us >= bindparam("from_us"),
        touchpoints.c.received_us <= bindparam("until_us"),
        _mentioned,
    )
    .order_by(touchpoints.c.occurred_us)
    .limit(bindparam("count"))
)
_strip = (
    update(touchpoints)
    .where(
        touchpoints.c.actor == any_(_actors),
        touchpoints.c.message == any_(bindparam("messages", type_=ARRAY(LargeBinary))),
        touchpoints.c.received_us <= bindparam("until_us"),
        _mentioned,
    )
    .values(
        {
            name: case((touchpoints.c[name] == any_(_names), None), else_=touchpoints.c[name])
            for name in ("anonymous_id", "previous_id")
        }
    )
)


async def strip_mentions(
    connection: AsyncConnection, actors: Sequence[bytes], names: Sequence[str], from_us: int, until_us: int, count: int
) -> int | None:
    """Take ids out of facts of other actors, of `count` facts at most in the order of time; rulings on them go.

    Returns:
        the instant to go on from; None when there are no more.
    """
    parameters = {"actors": list(actors), "names": list(names), "until_us": until_us}
    rows = (await connection.execute(_next_mentions, {**parameters, "from_us": from_us, "count": count})).all()
    ruling_keys = [(row.actor, row.message) for row in rows if row.call in RULINGS]
    if ruling_keys:
        await delete_facts(connection, ruling_keys)
    if rows:
        await connection.execute(_strip, {**parameters, "messages": [row.message for row in rows]})
    return rows[-1].occurred_us if len(rows) == count else None


_these = bindparam("digests", type_=ARRAY(LargeBinary))
_unlinked = (
    select(touchpoints.c.actor, touchpoints.c.user_id)
    .where(
        _mentioned,
        touchpoints.c.bot | touchpoints.c.test,
        touchpoints.c.user_id.is_not(None),
        touchpoints.c.received_us <= bindparam("until_us"),
    )
    .distinct()
)


async def read_unlinked(
    connection: AsyncConnection, workspace: int, names: Sequence[str], until_us: int, count: int
) -> list[bytes]:
    """Returns actors of a workspace, `count` at most, whose facts received until an instant name one of some ids.

    Only crawlers' and test orders' facts: they have no link. Facts of other workspaces may name the same ids, and only
    the digest of an actor says whose it is.
    """
    actors: list[bytes] = []
    async with connection.stream(_unlinked, {"names": list(names), "until_us": until_us}) as rows:
        async for actor, user_id in rows:
            if actor == id_digest(workspace, user_id):
                actors.append(actor)
                if len(actors) == count:
                    break
    return actors


_neighbours = (
    select(links.c.id, links.c.owner)
    .where(or_(links.c.id == any_(_these), links.c.owner == any_(_these)))
    .order_by(links.c.id, links.c.owner)
)


_ruled = select(rulings.c.id, rulings.c.owner).where(or_(rulings.c.id == any_(_these), rulings.c.owner == any_(_these)))


async def read_ruled(connection: AsyncConnection, digests: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Returns the pairs (id, owner) of rulings with one of some ids."""
    return [(row[0], row[1]) for row in await connection.execute(_ruled, {"digests": list(digests)})]


async def read_linked(connection: AsyncConnection, digests: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Returns the pairs (id, owner) of links with one of some ids."""
    return [(row[0], row[1]) for row in await connection.execute(_neighbours, {"digests": list(digests)})]


_WITH_COUNTS = (touchpoints, journeys, checkpoints, transitions, conversions)
"""Places whose rows are deleted together with what they add to counts, or with the journey that they follow from."""


async def delete_person(
    connection: AsyncConnection, workspace: int, digests: Sequence[bytes], names: Sequence[str]
) -> None:
    """Delete all rows about some ids but facts, journeys and rejected events. The workspace is held."""
    for place in PLACES:
        if place.digests and place.table not in _WITH_COUNTS:
            columns = [place.table.c[name] for name in place.digests if name not in place.parts_only]
            await connection.execute(
                delete(place.table).where(or_(*(column == any_(_these) for column in columns))),
                {"digests": list(digests)},
            )
    await connection.execute(
        delete(recent_events).where(recent_events.c.workspace == workspace, recent_events.c.actor == any_(_names)),
        {"names": list(names)},
    )


async def delete_journeys_of(connection: AsyncConnection, digests: Sequence[bytes]) -> None:
    """Delete whatever journeys some ids still have, whose counts are taken back."""
    for table in (transitions, checkpoints, conversions, journeys):
        await connection.execute(delete(table).where(table.c.customer == any_(_these)), {"digests": list(digests)})


_TELLING = ("call", "user_id", "anonymous_id", "previous_id", "actor", "occurred_us", "place", "message_id")
_remaining = (
    select(*(touchpoints.c[name] for name in _TELLING))
    .ext(distinct_on(*(touchpoints.c[name] for name in _TELLING[:5])))
    .where(
        touchpoints.c.actor == any_(_actors),
        or_(touchpoints.c.actor == any_(_these), _mentioned),
        ~touchpoints.c.bot,
        ~touchpoints.c.test,
    )
)
_time, _message = touchpoints.c.occurred_us, touchpoints.c.message_id.collate("C")
_first_of_each = _remaining.order_by(
    *(touchpoints.c[name] for name in _TELLING[:5]), _time, touchpoints.c.place, _message
)
_last_rulings = _remaining.where(touchpoints.c.call.in_(RULINGS)).order_by(
    *(touchpoints.c[name] for name in _TELLING[:5]), _time.desc(), _message.desc()
)


async def read_remaining(
    connection: AsyncConnection, digests: Sequence[bytes], neighbours: Sequence[bytes], names: Sequence[str]
) -> list[Any]:
    """Returns what facts still say of some ids: the first fact of each combination of ids and call, and last rulings.

    The first link of a pair counts, and the last ruling on it.
    """
    parameters = {"actors": sorted({*digests, *neighbours}), "digests": list(digests), "names": list(names)}
    return [
        row for statement in (_first_of_each, _last_rulings) for row in await connection.execute(statement, parameters)
    ]


# --- rejected events --------------------------------------------------------------------------------------------------

_next_rejected = (
    select(rejected.c.id, rejected.c.payload)
    .where(rejected.c.workspace.in_([bindparam("of_workspace"), 0]), rejected.c.id > bindparam("after"))
    .order_by(rejected.c.id)
    .limit(bindparam("count"))
)


async def read_rejected(connection: AsyncConnection, workspace: int, after: int, count: int) -> list[tuple[int, bytes]]:
    """Returns rejected events of a workspace and of none that is known: (number, payload), those after a number."""
    rows = await connection.execute(_next_rejected, {"of_workspace": workspace, "after": after, "count": count})
    return [(row[0], row[1]) for row in rows]


_COUNTED_BY = ("workspace", "received_us", "source", "stage", "code", "record")
_delete_rejected = (
    delete(rejected)
    .where(rejected.c.id == any_(bindparam("numbers", type_=ARRAY(BigInteger))))
    .returning(*(rejected.c[name] for name in _COUNTED_BY))
)


async def delete_rejected(connection: AsyncConnection, numbers: Sequence[int]) -> None:
    """Delete rejected events. They stay counted, but no longer as kept whole."""
    deleted: Counter[tuple[int, Reason]] = Counter()
    for row in await connection.execute(_delete_rejected, {"numbers": list(numbers)}):
        shard, is_indexed, _ = row.record.partition("/")
        if is_indexed:
            hour_us = row.received_us // HOUR_US * HOUR_US
            deleted[int(shard), Reason(row.workspace, hour_us, row.source, row.stage, row.code)] += 1
    for (shard, reason), number in sorted(deleted.items()):
        await add_counts(connection, shard, [(reason, 0, -number)])


# --- the proof --------------------------------------------------------------------------------------------------------


async def prove(
    connection: AsyncConnection, erasure: Erasure, names: Sequence[str], neighbours: Sequence[bytes]
) -> dict[str, int]:
    """Returns for every place that is looked up by an id how many rows there are: all 0 when nothing is left.

    Args:
        connection: within the transaction that has erased.
        erasure: whose ids.
        names: the ids, of which the facts of others and the last events say nothing any more.
        neighbours: digests of others that belonged to the same customers, or whose facts named one of the ids.
    """
    proof: dict[str, int] = {}
    parameters: Mapping[str, Any] = {"digests": list(erasure.digests), "actors": list(neighbours)}
    until_us = erasure.until_us if erasure.once else FOR_EVER
    for place in PLACES:
        if erasure.once and place.table is not touchpoints:
            continue  # what came later has rows of its own
        for column in place.digests:
            rows = select(func.count()).select_from(place.table).where(place.table.c[column] == any_(_these))
            if place.table is touchpoints:
                rows = rows.where(touchpoints.c.received_us <= literal(until_us, BigInteger))
            if column == "owner" and place.table is ids:
                rows = rows.where(ids.c.id == any_(_actors))
            proof[f"{place.table.name}.{column}"] = await connection.scalar(rows, parameters) or 0
    in_others = select(func.count()).where(
        touchpoints.c.actor == any_(_actors), touchpoints.c.received_us <= bindparam("until_us"), _mentioned
    )
    until_us = erasure.until_us if erasure.once else FOR_EVER
    proof["touchpoints of others"] = (
        await connection.scalar(in_others, {"actors": list(neighbours), "names": list(names), "until_us": until_us})
        or 0
    )
    recent = select(func.count()).where(
        recent_events.c.workspace == erasure.workspace, recent_events.c.actor == any_(_names)
    )
    proof["recent_events.actor"] = await connection.scalar(recent, {"names": list(names)}) or 0
    return proof
