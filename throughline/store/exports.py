"""Everything that is stored of one person, row by row, in pages: bounded memory, however much it is."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Table, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.kit.clock import MAX_US, MIN_US, rfc3339
from throughline.store.customer_identity import read_customer
from throughline.store.digest import id_digest
from throughline.store.erasures import read_rejected
from throughline.store.personal import PLACES, Place
from throughline.store.schema.access import sources, workspaces
from throughline.store.schema.operations import models, recent_events, rejected

PAGE = 500
"""Maximum number of rows read at once."""
REJECTED = 50
"""Maximum number of rejected events looked through at once."""
_ORDER = {"touchpoints": ("occurred_us", "message")}
"""Columns that order a person's rows where the primary key would not follow an index."""
_JSON = frozenset(("rest", "items", "attribution", "memory", "transitions", "milestones"))
"""Columns of text that is JSON."""
_INTERNAL = frozenset(("message", "root"))

Reading = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Gives a connection to read a page with."""
NamesIn = Callable[[bytes], tuple[int, set[str]]]
"""Returns the workspace that a rejected event belongs to, 0 when it does not say, and what may be ids in it."""


class _Person(NamedTuple):
    workspace: int
    names: Mapping[bytes, str]
    """Digest -> id, of all ids."""
    sources: Mapping[int, str]
    models: Mapping[int, str]


async def export_person(
    reading: Reading, workspace: int, digest: bytes, names_in: NamesIn, now_us: int
) -> AsyncIterator[str]:
    """Yields one JSON object, in parts: all rows of every place about the customer that an id belongs to.

    An id that no event has named gives an object with empty lists.
    """
    async with reading() as connection:
        rows = await read_customer(connection, digest)
        person = _Person(
            workspace,
            {row.id: row.name for row in rows},
            await _names_of(connection, sources, workspace),
            await _names_of(connection, models, workspace),
        )
        name = await connection.scalar(select(workspaces.c.name).where(workspaces.c.id == workspace))
    head = {
        "workspace": name,
        "exported_at": rfc3339(now_us),
        "customer": next((row.name for row in rows if row.id == row.root), None),
    }
    yield json.dumps(head, ensure_ascii=False)[:-1]
    for place in PLACES:
        yield f',\n"{_title(place)}":['
        separator = "\n"
        async for row in _rows(reading, person, place, names_in, digest):
            yield separator + json.dumps(_content(person, place, row), ensure_ascii=False)
            separator = ",\n"
        yield "]"
    yield "}\n"


async def _names_of(connection: AsyncConnection, table: Table, workspace: int) -> dict[int, str]:
    query = select(table.c.id, table.c.name).where(table.c.workspace == workspace)
    return {row[0]: row[1] for row in await connection.execute(query)}


def _title(place: Place) -> str:
    return "snapshots" if place.table.name == "bases" else place.table.name


def _content(person: _Person, place: Place, row: Row[Any]) -> dict[str, Any]:
    return dict(_members(person, place, row))


def _members(person: _Person, place: Place, row: Row[Any]) -> Iterator[tuple[str, Any]]:
    for column, value in row._mapping.items():
        if column == "workspace" or column in _INTERNAL:
            continue
        if column == "source":
            yield column, person.sources.get(value)
        elif column == "model":
            yield column, person.models.get(value)
        elif column in place.digests:
            # Other persons' ids are not this person's data.
            yield column, person.names.get(value, None if value is None else "(another id)")
        elif column.endswith("_us"):
            yield f"{column.removesuffix('_us')}_at", _instant(value)
        elif column in _JSON and value:
            yield column, _parsed(value)
        elif isinstance(value, bytes):
            yield column, value.decode(errors="replace")
        else:
            yield column, value


def _instant(us: int | None) -> str | None:
    return rfc3339(us) if us is not None and MIN_US <= us <= MAX_US else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def _rows(
    reading: Reading, person: _Person, place: Place, names_in: NamesIn, digest: bytes
) -> AsyncIterator[Row[Any]]:
    if place.table is rejected:
        async for row in _rejected(reading, person, names_in):
            yield row
        return
    if place.table is recent_events:
        condition: ColumnElement[bool] = (recent_events.c.workspace == person.workspace) & recent_events.c.actor.in_(
            person.names.values()
        )
        async for row in _pages(reading, place.table, condition, ("source", "shard", "slot")):
            yield row
        return
    keys = [column.name for column in place.table.primary_key]
    for column in place.digests:
        if column in place.parts_only:
            continue
        order = _ORDER.get(place.table.name) or [key for key in keys if key != column]
        for id_ in sorted({digest, *person.names}):
            condition = place.table.c[column] == id_
            for earlier in place.digests[: place.digests.index(column)]:
                # A row between two of the person's ids is one row.
                condition &= place.table.c[earlier].not_in(sorted({digest, *person.names}))
            async for row in _pages(reading, place.table, condition, order):
                yield row


async def _pages(reading: Reading, table: Table, condition: Any, order: Sequence[str]) -> AsyncIterator[Row[Any]]:
    columns = [table.c[name] for name in order]
    query = select(table).where(condition).order_by(*columns).limit(PAGE)
    page = query
    while True:
        async with reading() as connection:
            rows = (await connection.execute(page)).all()
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        last = [literal(rows[-1]._mapping[column.name], column.type) for column in columns]
        page = query.where(tuple_(*columns) > tuple_(*last))


async def _rejected(reading: Reading, person: _Person, names_in: NamesIn) -> AsyncIterator[Row[Any]]:
    after = 0
    while True:
        async with reading() as connection:
            scanned = await read_rejected(connection, person.workspace, after, REJECTED)
            numbers = []
            for number, payload in scanned:
                workspace, names = names_in(payload)
                if workspace in (0, person.workspace) and any(
                    id_digest(person.workspace, name) in person.names for name in names
                ):
                    numbers.append(number)
            rows = (await connection.execute(select(rejected).where(rejected.c.id.in_(numbers)))).all()
        for row in rows:
            yield row
        if len(scanned) < REJECTED:
            return
        after = scanned[-1][0]
