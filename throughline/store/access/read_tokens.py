"""Tokens of the api: created, listed and revoked. A token is shown once, when it is created."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.credentials import find_credential, hint_of, new_credential, revoke
from throughline.store.access.keys import key_digest
from throughline.store.access.modes import Scope
from throughline.store.access.names import AdminError, check_name, insert_row, within_workspace, workspace_id
from throughline.store.schema.access import read_tokens, workspaces

PREFIXES = {Scope.READ: "tlr_", Scope.EDIT: "tle_", Scope.ADMIN: "tla_"}
"""How a token of each scope begins."""
LAST_USE_US = 60_000_000
"""Minimum time between two writes of a token's last use."""


class ReadTokenInfo(NamedTuple):
    """A token as listed, without the token: `hint` is how it begins."""

    id: int
    hint: str
    workspace: str
    name: str
    scope: str
    created_us: int
    created_by: str | None
    expires_us: int | None
    last_used_us: int | None
    revoked_us: int | None


async def create_read_token(
    connection: AsyncConnection,
    workspace: str,
    name: str,
    *,
    now_us: int,
    scope: Scope = Scope.READ,
    expires_us: int | None = None,
    created_by: str | None = None,
) -> str:
    """Create a token of a workspace; returns the token, which is stored nowhere. Names may repeat.

    Raises:
        AdminError: no such workspace, not a name, or it would be expired already.
    """
    check_name("token", name)
    if expires_us is not None and expires_us <= now_us:
        raise AdminError("the token would be expired already; let it expire later")
    owner = await workspace_id(connection, workspace)
    token = new_credential(PREFIXES[scope])
    await insert_row(
        connection,
        read_tokens,
        digest=key_digest(token),
        hint=hint_of(token),
        workspace=owner,
        name=name,
        scope=scope,
        created_us=now_us,
        created_by=created_by,
        expires_us=expires_us,
    )
    return token


async def list_read_tokens(connection: AsyncConnection, workspace: str | None = None) -> list[ReadTokenInfo]:
    """Returns the tokens of one workspace or of all, revoked and expired ones too, oldest first.

    Raises:
        AdminError: no such workspace.
    """
    query = await within_workspace(connection, _read_tokens(), workspace)
    return [ReadTokenInfo(*row) for row in await connection.execute(query)]


async def revoke_read_token(connection: AsyncConnection, token: str, *, now_us: int) -> ReadTokenInfo:
    """Revoke a token, named by its id, its hint or itself; its sessions end with it. A revoked one keeps its time.

    Raises:
        AdminError: no such token, or several begin like that.
    """
    info = ReadTokenInfo(*await find_credential(connection, _read_tokens(), read_tokens, "token", token))
    return info._replace(revoked_us=await revoke(connection, read_tokens, info.id, now_us))


_write_use = (
    update(read_tokens)
    .where(
        read_tokens.c.id == bindparam("token"),
        func.coalesce(read_tokens.c.last_used_us, 0) <= bindparam("at_us", type_=BigInteger) - LAST_USE_US,
    )
    .values(last_used_us=bindparam("at_us"))
)


async def write_last_uses(connection: AsyncConnection, last_used_us: Mapping[int, int]) -> None:
    """Write when tokens were used last, by their ids; a token whose use was written within `LAST_USE_US` is left."""
    if last_used_us:
        # In one round trip; sorted, so that two processes lock the rows in one order.
        await connection.execute(
            _write_use, [{"token": token, "at_us": at_us} for token, at_us in sorted(last_used_us.items())]
        )


def _read_tokens() -> Select[Any]:
    c = read_tokens.c
    return (
        select(
            c.id,
            c.hint,
            workspaces.c.name.label("workspace"),
            c.name,
            c.scope,
            c.created_us,
            c.created_by,
            c.expires_us,
            c.last_used_us,
            c.revoked_us,
        )
        .join(workspaces, workspaces.c.id == c.workspace)
        .where(c.session_of.is_(None))
        .order_by(c.id)
    )
