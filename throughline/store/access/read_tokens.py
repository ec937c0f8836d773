"""Read tokens: created, listed and revoked. A token is shown once, when it is created."""

from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.credentials import find_credential, hint_of, new_credential, revoke
from throughline.store.access.keys import key_digest
from throughline.store.access.names import check_name, insert_row, within_workspace, workspace_id
from throughline.store.schema.access import read_tokens, workspaces

READ_TOKEN_PREFIX = "tlr_"


class ReadTokenInfo(NamedTuple):
    """A read token as listed, without the token: `hint` is how it begins."""

    id: int
    hint: str
    workspace: str
    name: str
    created_us: int
    revoked_us: int | None


async def create_read_token(connection: AsyncConnection, workspace: str, name: str, *, now_us: int) -> str:
    """Create a read token of a workspace; returns the token, which is stored nowhere. Names may repeat.

    Raises:
        AdminError: no such workspace, or not a name.
    """
    check_name("token", name)
    owner = await workspace_id(connection, workspace)
    token = new_credential(READ_TOKEN_PREFIX)
    await insert_row(
        connection,
        read_tokens,
        digest=key_digest(token),
        hint=hint_of(token),
        workspace=owner,
        name=name,
        created_us=now_us,
    )
    return token


async def list_read_tokens(connection: AsyncConnection, workspace: str | None = None) -> list[ReadTokenInfo]:
    """Returns the read tokens of one workspace or of all, revoked ones too, oldest first.

    Raises:
        AdminError: no such workspace.
    """
    query = await within_workspace(connection, _read_tokens(), workspace)
    return [ReadTokenInfo(*row) for row in await connection.execute(query)]


async def revoke_read_token(connection: AsyncConnection, token: str, *, now_us: int) -> ReadTokenInfo:
    """Revoke a read token, named by its id, its hint or itself. A revoked one keeps its time.

    Raises:
        AdminError: no such token, or several begin like that.
    """
    info = ReadTokenInfo(*await find_credential(connection, _read_tokens(), read_tokens, "read token", token))
    return info._replace(revoked_us=await revoke(connection, read_tokens, info.id, now_us))


def _read_tokens() -> Select[Any]:
    c = read_tokens.c
    return (
        select(c.id, c.hint, workspaces.c.name.label("workspace"), c.name, c.created_us, c.revoked_us)
        .join(workspaces, workspaces.c.id == c.workspace)
        .order_by(c.id)
    )
