"""Who may write and who may read, as ingest and api ask it. Keys stand in the store as SHA-256 digests only."""

from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.modes import ConsentMode, IpMode
from throughline.store.schema.access import read_tokens, sources, workspaces
from throughline.store.schema.access import write_keys as write_keys_table


class SourceSettings(NamedTuple):
    """What a source's owner has set."""

    app_id: str = ""
    """Names the source where a client has no key to send; "" when it has none."""
    origins: tuple[str, ...] | None = None
    """The only websites whose browsers may send; None: any."""
    consent: ConsentMode = ConsentMode.OFF
    ip: IpMode = IpMode.SHORTEN
    rate_events: int | None = None
    """Events a second of each key; None: as ingest is set."""
    rate_burst: int | None = None
    webhook_secret: str = ""
    """What a store signs its webhooks with; "" when none is set."""


DEFAULT_SETTINGS = SourceSettings()


class SourceKey(NamedTuple):
    """A write key that is not revoked, and the source it writes to."""

    digest: bytes
    source: int
    workspace: int
    source_name: str
    enabled: bool
    settings: SourceSettings = DEFAULT_SETTINGS
    retention_cutoff_us: int | None = None
    """What occurred before it is refused; None: nothing is too old."""


class ReadToken(NamedTuple):
    """What a read token opens."""

    workspace: int
    workspace_name: str


def key_digest(key: str) -> bytes:
    """SHA-256 of a write key or read token; any string at all has one.

    Keys are random and long, so that a fast digest is safe: there is nothing to guess.
    """
    return sha256(key.encode(errors="surrogatepass")).digest()


async def write_keys(connection: AsyncConnection, *, now_us: int) -> list[SourceKey]:
    """Every write key that is neither revoked nor expired; those of a disabled source come with `enabled=False`.

    An app id is a write key that its owner chose: it comes as one, under its digest.
    """
    c = write_keys_table.c
    digests = union_all(
        select(c.digest, c.source, c.id.label("position")).where(
            c.revoked_us.is_(None), or_(c.expires_us.is_(None), c.expires_us > now_us)
        ),
        select(func.sha256(func.convert_to(sources.c.app_id, "UTF8")), sources.c.id, literal(0)).where(
            sources.c.app_id.is_not(None)
        ),
    ).subquery()
    rows = await connection.execute(
        select(
            digests.c.digest,
            sources.c.id,
            sources.c.workspace,
            sources.c.name,
            sources.c.enabled,
            workspaces.c.horizon_us,
            *(sources.c[name] for name in SourceSettings._fields),
        )
        .join(sources, sources.c.id == digests.c.source)
        .join(workspaces, workspaces.c.id == sources.c.workspace)
        .order_by(digests.c.position, sources.c.id)
    )
    found: list[SourceKey] = []
    for digest, source, workspace, name, enabled, retention_cutoff_us, *own in rows:
        settings = SourceSettings(*own)
        settings = settings._replace(
            app_id=settings.app_id or "",
            origins=None if settings.origins is None else tuple(settings.origins),
            consent=ConsentMode(settings.consent),
            ip=IpMode(settings.ip),
            webhook_secret=settings.webhook_secret or "",
        )
        found.append(SourceKey(digest, source, workspace, name, enabled, settings, retention_cutoff_us))
    return found


async def read_token(connection: AsyncConnection, digest: bytes) -> ReadToken | None:
    """What the token of this digest opens; None when it is unknown or revoked."""
    rows = await connection.execute(
        select(workspaces.c.id, workspaces.c.name)
        .join(read_tokens, read_tokens.c.workspace == workspaces.c.id)
        .where(read_tokens.c.digest == digest, read_tokens.c.revoked_us.is_(None))
    )
    row = rows.one_or_none()
    return None if row is None else ReadToken(*row)
