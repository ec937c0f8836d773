"""The secrets that stores sign their webhooks with, encrypted anew when the key changes."""

from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.kit.secret_box import SecretBox, SecretBoxError
from throughline.store.schema.access import sources, workspaces


class Resealed(NamedTuple):
    """What became of the secrets of webhooks, by the names of their sources (WORKSPACE/SOURCE)."""

    sealed: list[str]
    """Encrypted with the first key now."""
    unreadable: list[str]
    """Left as they are: none of the keys has encrypted them."""


async def reseal_secrets(connection: AsyncConnection, box: SecretBox) -> Resealed:
    """Encrypt every secret of webhooks anew with the first key, those too that were stored as they are."""
    resealed = Resealed([], [])
    rows = await connection.execute(
        select(sources.c.id, workspaces.c.name.label("workspace"), sources.c.name, sources.c.webhook_secret)
        .join(workspaces, workspaces.c.id == sources.c.workspace)
        .where(sources.c.webhook_secret.is_not(None))
        .order_by(workspaces.c.name, sources.c.name)
    )
    for row in rows.all():
        name = f"{row.workspace}/{row.name}"
        try:
            sealed = box.seal(box.open(row.webhook_secret))
        except SecretBoxError:
            resealed.unreadable.append(name)
            continue
        # A secret that somebody sets meanwhile stays.
        unchanged = (sources.c.id == row.id) & (sources.c.webhook_secret == row.webhook_secret)
        await connection.execute(update(sources).where(unchanged).values(webhook_secret=sealed))
        resealed.sealed.append(name)
    return resealed
