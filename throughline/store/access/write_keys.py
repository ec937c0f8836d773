"""Write keys: made, listed, rotated and revoked. A key is shown once, when it is made."""

from typing import Any, NamedTuple

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.keys import key_digest
from throughline.store.access.names import AdminError, source_id
from throughline.store.access.rows import find_secret, hint_of, insert_row, random_secret, revoke, within_workspace
from throughline.store.schema.access import sources, workspaces, write_keys

WRITE_KEY_PREFIX = "tlw_"


class WriteKeyInfo(NamedTuple):
    """A write key as listed, without the key: `hint` is how it begins."""

    id: int
    hint: str
    workspace: str
    source: str
    created_us: int
    revoked_us: int | None
    expires_us: int | None = None


async def create_write_key(connection: AsyncConnection, workspace: str, source: str, *, now_us: int) -> str:
    """Make a write key of a source and give it: the only time it can be seen.

    Raises:
        AdminError: no such workspace or source.
    """
    found = await source_id(connection, workspace, source)
    key = random_secret(WRITE_KEY_PREFIX)
    await insert_row(connection, write_keys, digest=key_digest(key), hint=hint_of(key), source=found, created_us=now_us)
    return key


async def list_write_keys(connection: AsyncConnection, workspace: str | None = None) -> list[WriteKeyInfo]:
    """The write keys of one workspace or of all, revoked ones too, oldest first.

    Raises:
        AdminError: no such workspace.
    """
    query = await within_workspace(connection, _write_keys(), workspace)
    return [WriteKeyInfo(*row) for row in await connection.execute(query)]


async def revoke_write_key(connection: AsyncConnection, key: str, *, now_us: int) -> WriteKeyInfo:
    """Revoke a write key, named by its id, its hint or itself; one that is revoked stays as it is.

    Raises:
        AdminError: no such key, or several begin like that.
    """
    found = await find_secret(connection, _write_keys(), write_keys, "write key", key)
    return WriteKeyInfo(*found)._replace(revoked_us=await revoke(connection, write_keys, found.id, now_us))


async def rotate_write_key(
    connection: AsyncConnection, key: str, *, overlap_us: int, now_us: int
) -> tuple[str, WriteKeyInfo]:
    """Make a new key of a key's source, and let the old one go on for `overlap_us` only; gives both.

    A key that expires earlier already keeps its time.

    Raises:
        AdminError: no such key, several begin like that, or it is revoked or expired.
    """
    found = WriteKeyInfo(*await find_secret(connection, _write_keys(), write_keys, "write key", key))
    if found.revoked_us is not None or (found.expires_us is not None and found.expires_us <= now_us):
        raise AdminError(f"write key {found.hint}... is no longer taken; make a new one with `throughline key create`")
    made = await create_write_key(connection, found.workspace, found.source, now_us=now_us)
    c = write_keys.c
    expires_us = await connection.scalar(
        update(write_keys)
        .where(c.id == found.id)
        .values(expires_us=func.least(c.expires_us, now_us + overlap_us))
        .returning(c.expires_us)
    )
    return made, found._replace(expires_us=expires_us)


def _write_keys() -> Select[Any]:
    c = write_keys.c
    return (
        select(
            c.id,
            c.hint,
            workspaces.c.name.label("workspace"),
            sources.c.name.label("source"),
            c.created_us,
            c.revoked_us,
            c.expires_us,
        )
        .join(sources, sources.c.id == c.source)
        .join(workspaces, workspaces.c.id == sources.c.workspace)
        .order_by(c.id)
    )
