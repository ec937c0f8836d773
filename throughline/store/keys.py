"""Who may write and who may read, as ingest and api ask it. Keys stand in the store as SHA-256 digests only."""

from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.tables import read_tokens, sources, workspaces
from throughline.store.tables import write_keys as write_keys_table


class SourceKey(NamedTuple):
    """A write key that is not revoked, and the source it writes to."""

    digest: bytes
    source: int
    workspace: int
    source_name: str
    enabled: bool


class ReadToken(NamedTuple):
    """What a read token opens."""

    workspace: int
    workspace_name: str


def key_digest(key: str) -> bytes:
    """SHA-256 of a write key or read token; any string at all has one.

    Keys are random and long, so that a fast digest is safe: there is nothing to guess.
    """
    return sha256(key.encode(errors="surrogatepass")).digest()


async def write_keys(connection: AsyncConnection) -> list[SourceKey]:
    """Every write key that is not revoked; the keys of a disabled source come with `enabled=False`."""
    rows = await connection.execute(
        select(
            write_keys_table.c.digest,
            sources.c.id,
            sources.c.workspace,
            sources.c.name,
            sources.c.enabled,
        )
        .join(sources, sources.c.id == write_keys_table.c.source)
        .where(write_keys_table.c.revoked_us.is_(None))
        .order_by(write_keys_table.c.id)
    )
    return [SourceKey(*row) for row in rows]


async def read_token(connection: AsyncConnection, digest: bytes) -> ReadToken | None:
    """What the token of this digest opens; None when it is unknown or revoked."""
    rows = await connection.execute(
        select(workspaces.c.id, workspaces.c.name)
        .join(read_tokens, read_tokens.c.workspace == workspaces.c.id)
        .where(read_tokens.c.digest == digest, read_tokens.c.revoked_us.is_(None))
    )
    row = rows.one_or_none()
    return None if row is None else ReadToken(*row)
