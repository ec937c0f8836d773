"""Statements over requests of persons for a copy."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.schema.rights import data_requests


class RequestPosition(NamedTuple):
    """A place in the list of requests, or of erasures."""

    id: int


class RequestRow(NamedTuple):
    """One request."""

    id: int
    name: str
    digest: bytes
    requested_us: int

    @property
    def position(self) -> RequestPosition:
        return RequestPosition(self.id)


_c = data_requests.c
_columns = (_c.id, _c.name, _c.digest, _c.requested_us)


async def list_requests(
    connection: AsyncConnection, workspace: int, after: RequestPosition | None, count: int
) -> list[RequestRow]:
    """Returns requests of a workspace, newest first, `count` at most."""
    query = select(*_columns).where(_c.workspace == workspace).order_by(_c.id.desc()).limit(count)
    if after is not None:
        query = query.where(_c.id < after.id)
    return [RequestRow(*row) for row in await connection.execute(query)]


async def find_request(connection: AsyncConnection, workspace: int, number: int) -> RequestRow | None:
    """Returns a request by its number."""
    row = (await connection.execute(select(*_columns).where(_c.workspace == workspace, _c.id == number))).first()
    return None if row is None else RequestRow(*row)
