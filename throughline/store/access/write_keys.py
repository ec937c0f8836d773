"""Write keys: created, listed, rotated and revoked. A key is shown once, when it is created."""

from typing import Any, NamedTuple

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.credentials import find_credential, hint_of, new_credential, revoke
from throughline.store.access.keys import key_digest
from throughline.store.access.names import AdminError, insert_row, source_id, within_workspace
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
    """Create a write key of a source; returns the key, which is stored nowhere.

    Raises:
        AdminError: no such workspace or source.
    """
    number = await source_id(connection, workspace, source)
    key = new_credential(WRITE_KEY_PREFIX)
    await insert_row(
        connection, write_keys, digest=key_digest(key), hint=hint_of(key), source=number, created_us=now_us
    )
    return key


async def list_write_keys(connection: AsyncConnection, workspace: str | None = None) -> list[WriteKeyInfo]:
    """Returns the write keys of one workspace or of all, revoked ones too, oldest first.

    Raises:
        AdminError: no such workspace.
    """
    query = await within_workspace(connection, _write_keys(), workspace)
    return [WriteKeyInfo(*row) for row in await connection.execute(query)]


async def revoke_write_key(connection: AsyncConnection, key: str, *, now_us: int) -> WriteKeyInfo:
    """Revoke a write key, named by its id, its hint or itself. A revoked one keeps its time.

    Raises:
        AdminError: no such key, or several begin like that.
    """
    info = WriteKeyInfo(*await find_credential(connection, _write_keys(), write_keys, "write key", key))
    return info._replace(revoked_us=await revoke(connection, write_keys, info.id, now_us))


async def rotate_write_key(
    connection: AsyncConnection, key: str, *, overlap_us: int, now_us: int
) -> tuple[str, WriteKeyInfo]:
    """Create a new key of a key's source, and let the old one expire in `overlap_us`; returns the new key and the old.

    An old key that expires earlier already keeps its time.

    Raises:
        AdminError: no such key, several begin like that, or it is revoked or expired.
    """
    old = WriteKeyInfo(*await find_credential(connection, _write_keys(), write_keys, "write key", key))
    if old.revoked_us is not None or (old.expires_us is not None and old.expires_us <= now_us):
        raise AdminError(f"write key {old.hint}... is no longer taken; make a new one with `throughline key create`")
    new_key = await create_write_key(connection, old.workspace, old.source, now_us=now_us)
    c = write_keys.c
    expires_us = await connection.scalar(
        update(write_keys)
        .where(c.id == old.id)
        .values(expires_us=func.least(c.expires_us, now_us + overlap_us))
        .returning(c.expires_us)
    )
    return new_key, old._replace(expires_us=expires_us)


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
