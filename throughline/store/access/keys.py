"""Write keys and tokens as ingest and api look them up. They stand in the store as SHA-256 digests only."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Select, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.kit.secret_box import SecretBox, SecretBoxError
from throughline.store.access.modes import ConsentMode, IpMode, Scope
from throughline.store.identity_suspects import read_suspect_names
from throughline.store.schema.access import read_tokens, shares, sources, workspaces, write_keys


class SourceSettings(Struct, frozen=True):
    """The settings of a source, as its owner has chosen."""

    app_id: str = ""
    """Name of the source for clients that have no key to send; "" when it has none."""
    origins: tuple[str, ...] | None = None
    """Websites whose browsers may send; None: any."""
    consent: ConsentMode = ConsentMode.OFF
    ip: IpMode = IpMode.SHORTEN
    rate_events: int | None = None
    """Maximum number of events a second, 0 for none; None: as ingest is set."""
    rate_burst: int | None = None
    """Maximum number of events at once; None: as ingest is set."""
    webhook_secret: str | None = ""
    """What a shop signs its webhooks with; "" when none is set, None when it cannot be decrypted."""
    order_scope: str = ""
    """The namespace of the source's order ids; "" for that of the workspace."""
    fold_case: bool = False
    """Whether ids that are email addresses are put into lower case."""
    no_visit_hosts: tuple[str, ...] = ()
    """Hosts that are no referrers, with those below them, besides the ones that are known."""
    drop_fields: tuple[str, ...] = ()
    """Paths of members of which nothing is kept."""
    hash_fields: tuple[str, ...] = ()
    """Paths of members of which a keyed digest is kept."""
    strip_queries: tuple[str, ...] = ()
    """Paths of addresses of whose queries the parameters of campaigns and clicks are kept."""


QUESTION_BYTES = 16
"""Number of bytes of the digest of a question."""
DEFAULT_SETTINGS = SourceSettings()
WITHOUT_KEYS = SecretBox()


class SourceKey(Struct, frozen=True):
    """A write key that may be used, and the source of its events."""

    digest: bytes
    source: int
    workspace: int
    source_name: str
    enabled: bool
    """Whether the source is enabled."""
    settings: SourceSettings = DEFAULT_SETTINGS
    retention_cutoff_us: int | None = None
    """Events that occurred before the workspace's cutoff are rejected; None: nothing is too old."""
    is_app_id: bool = False
    """Whether this is the app id of the source, which anybody may guess, and no key."""
    suspects: frozenset[str] = frozenset()
    """Ids of the workspace that have as many ids or links as they may have, those that were met last."""
    hash_key: bytes = b""
    """The workspace's secret for `hash_fields`."""


class ReadToken(NamedTuple):
    """A token of the api that is not revoked, or a session of the page, and what it opens."""

    digest: bytes
    id: int
    name: str
    workspace: int
    workspace_name: str
    scope: Scope
    expires_us: int | None
    """When it ends, a session at the latest with its token; None: never."""
    session_of: int | None = None
    """The token that opened this session; None: this is a token."""
    questions: frozenset[bytes] | None = None
    """Digests of the questions that a shared link may ask; None: this is a token or a session, which may ask any."""

    @property
    def owner(self) -> int:
        """The id of the token: a session is one of its token's ways in, and shares its quotas."""
        return self.session_of or self.id

    @property
    def who(self) -> str:
        """What the audit log calls the holder."""
        return f"token {self.owner} ({self.name})"

    def is_expired(self, now_us: int) -> bool:
        """Whether its time is over."""
        return self.expires_us is not None and self.expires_us <= now_us


def key_digest(key: str) -> bytes:
    """Returns the SHA-256 of a write key or token; any string at all has one.

    Keys are random and long, so that a fast digest is safe: there is nothing to guess.
    """
    return sha256(key.encode(errors="surrogatepass")).digest()


async def read_source_keys(
    connection: AsyncConnection, *, now_us: int, open_secret: Callable[[str], str] = WITHOUT_KEYS.open
) -> list[SourceKey]:
    """Returns every write key that is neither revoked nor expired; keys of a disabled source have `enabled=False`.

    An app id is a write key that the source's owner chose: it is among them, under its digest. `open_secret` decrypts
    the secrets of webhooks.
    """
    c = write_keys.c
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
            digests.c.position,
            sources.c.id,
            sources.c.workspace,
            sources.c.name,
            sources.c.enabled,
            workspaces.c.horizon_us,
            workspaces.c.hash_key,
            workspaces.c.no_visit_hosts.label("workspace_no_visit_hosts"),
            *(sources.c[name] for name in SourceSettings.__struct_fields__),
        )
        .join(sources, sources.c.id == digests.c.source)
        .join(workspaces, workspaces.c.id == sources.c.workspace)
        .order_by(digests.c.position, sources.c.id)
    )
    suspects = await read_suspect_names(connection)
    return [
        SourceKey(
            digest,
            source,
            workspace,
            name,
            enabled,
            settings_of(open_secret, hosts, *stored),
            cutoff_us,
            position == 0,
            suspects.get(workspace, frozenset()),
            key or b"",
        )
        for digest, position, source, workspace, name, enabled, cutoff_us, key, hosts, *stored in rows
    ]


def settings_of(
    open_secret: Callable[[str], str], workspace_hosts: Sequence[str] | None, *stored: object
) -> SourceSettings:
    """Returns the settings of a source as they are stored, with the hosts of its workspace that open no visit."""
    settings = SourceSettings(*stored)  # type: ignore[arg-type]
    return replace(
        settings,
        app_id=settings.app_id or "",
        origins=None if settings.origins is None else tuple(settings.origins),
        consent=ConsentMode(settings.consent),
        ip=IpMode(settings.ip),
        webhook_secret=_opened(settings.webhook_secret or "", open_secret),
        order_scope=settings.order_scope or "",
        no_visit_hosts=tuple(dict.fromkeys((*(workspace_hosts or ()), *(settings.no_visit_hosts or ())))),
        drop_fields=tuple(settings.drop_fields or ()),
        hash_fields=tuple(settings.hash_fields or ()),
        strip_queries=tuple(settings.strip_queries or ()),
    )


def _opened(stored: str, open_secret: Callable[[str], str]) -> str | None:
    try:
        return open_secret(stored)
    except SecretBoxError:
        return None


async def read_open_tokens(connection: AsyncConnection) -> list[ReadToken]:
    """Returns every token, session and shared link that is not revoked, expired ones too."""
    tokens = [_read_token(*row) for row in await connection.execute(_open_tokens())]
    return tokens + [_read_share(*row) for row in await connection.execute(_open_shares())]


async def find_read_token(connection: AsyncConnection, digest: bytes, *, now_us: int) -> ReadToken | None:
    """Returns what the token of a digest opens; None when it is unknown, revoked or expired."""
    return await _find_open_token(connection, read_tokens.c.digest == digest, now_us)


async def find_token_by_id(connection: AsyncConnection, token_id: int, *, now_us: int) -> ReadToken | None:
    """As `find_read_token`, by the token's id."""
    return await _find_open_token(connection, read_tokens.c.id == token_id, now_us)


async def _find_open_token(
    connection: AsyncConnection, condition: ColumnElement[bool], now_us: int
) -> ReadToken | None:
    row = (await connection.execute(_open_tokens().where(condition))).one_or_none()
    token = None if row is None else _read_token(*row)
    return None if token is None or token.is_expired(now_us) else token


def _open_tokens() -> Select[Any]:
    c, opener = read_tokens.c, read_tokens.alias("opener")
    return (
        select(
            c.digest,
            c.id,
            c.name,
            c.workspace,
            workspaces.c.name,
            c.scope,
            func.least(c.expires_us, opener.c.expires_us),  # least() passes over nulls
            c.session_of,
        )
        .join(workspaces, workspaces.c.id == c.workspace)
        .outerjoin(opener, opener.c.id == c.session_of)
        .where(c.revoked_us.is_(None), opener.c.revoked_us.is_(None))
    )


def _read_token(*stored: Any) -> ReadToken:
    token = ReadToken(*stored)
    return token._replace(scope=Scope(token.scope))


def _open_shares() -> Select[Any]:
    c, maker = shares.c, read_tokens.alias("maker")
    return (
        select(
            c.digest,
            -c.id,  # a number that no token has
            c.name,
            c.workspace,
            workspaces.c.name,
            func.least(c.expires_us, maker.c.expires_us),
            c.question_digests,
        )
        .join(workspaces, workspaces.c.id == c.workspace)
        .join(maker, maker.c.id == c.token)
        .where(maker.c.revoked_us.is_(None))
    )


def _read_share(
    digest: bytes, id_: int, name: str, workspace: int, workspace_name: str, expires_us: int, digests: bytes
) -> ReadToken:
    questions = frozenset(digests[start : start + QUESTION_BYTES] for start in range(0, len(digests), QUESTION_BYTES))
    return ReadToken(digest, id_, name, workspace, workspace_name, Scope.READ, expires_us, questions=questions)
