"""Suppressed ids, by digest: until when what is received of each is refused."""

from collections.abc import Iterable

from sqlalchemy import LargeBinary, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.schema.access import workspaces
from throughline.store.schema.rights import suppressions

FOR_EVER = 2**63 - 1
"""The instant until which an id is suppressed that does not come back."""

_of = suppressions.c
_read = (
    select(_of.digest, func.max(_of.until_us))
    .where(_of.digest == any_(bindparam("digests", type_=ARRAY(LargeBinary))))
    .group_by(_of.digest)
)


async def read_suppressed(connection: AsyncConnection, digests: Iterable[bytes]) -> dict[bytes, int]:
    """Returns those of some ids that are suppressed: digest -> the instant until which."""
    rows = await connection.execute(_read, {"digests": sorted(digests)})
    return {row[0]: row[1] for row in rows}


_numbers = select(workspaces.c.id, workspaces.c.suppressed).where(workspaces.c.suppressed > 0)
_after = (
    select(_of.id, _of.digest)
    .where(_of.workspace == bindparam("of_workspace"), _of.id > bindparam("after"), _of.until_us == FOR_EVER)
    .order_by(_of.id)
    .limit(bindparam("count"))
)


async def read_numbers(connection: AsyncConnection) -> dict[int, int]:
    """Returns by workspace the number of its suppressions; workspaces without any are left out."""
    return {row[0]: row[1] for row in await connection.execute(_numbers)}


async def read_after(connection: AsyncConnection, workspace: int, after: int, count: int) -> list[tuple[int, bytes]]:
    """Returns ids of a workspace that are suppressed for ever: (number, digest), those after a number, `count` at most.

    Numbers of one workspace are committed in their order.
    """
    rows = await connection.execute(_after, {"of_workspace": workspace, "after": after, "count": count})
    return [(row[0], row[1]) for row in rows]
