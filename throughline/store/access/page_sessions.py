"""How the page gets in: a link with a one-time code, or a token, is exchanged for a session.

A session is a row among the tokens, which ends with its token. It reads, and it shares and annotates if its token may,
but it never administers. Its secret lives in a cookie that no script can read.
"""

from typing import NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.credentials import find_credential, hint_of, new_credential
from throughline.store.access.keys import ReadToken, find_token_by_id, key_digest
from throughline.store.access.modes import Scope
from throughline.store.access.names import AdminError, insert_row
from throughline.store.schema.access import page_codes, read_tokens, workspaces

CODE_PREFIX = "tlc_"
SESSION_PREFIX = "tls_"
CODE_US = 10 * 60 * 1_000_000
"""How long a link opens the page, if nobody has used it."""
SESSION_US = 7 * 24 * 3600 * 1_000_000
"""How long a session lasts."""
MAX_SESSIONS = 100
"""Maximum number of sessions of one token; the oldest ends when another one begins."""


class PageCode(NamedTuple):
    """A one-time code, and the token whose workspace the page will show."""

    code: str
    token_id: int
    token_name: str
    workspace: str


def page_link(api_url: str, code: str) -> str:
    """The link that opens the page with a code. What follows # stays in the browser: no server and no log sees it."""
    return f"{api_url.rstrip('/')}/#/open/{code}"


async def create_page_code(connection: AsyncConnection, token: str, *, now_us: int) -> PageCode:
    """Create a one-time code for a token, named by its id, its hint or itself.

    Raises:
        AdminError: no such token, several begin like that, or it is revoked or expired.
    """
    c = read_tokens.c
    query = (
        select(c.id, c.name, workspaces.c.name.label("workspace"))
        .join(workspaces, workspaces.c.id == c.workspace)
        .where(c.session_of.is_(None))
    )
    row = await find_credential(connection, query, read_tokens, "token", token)
    if await find_token_by_id(connection, row.id, now_us=now_us) is None:
        raise AdminError(f"token {row.id} ({row.name}) is revoked or expired; `throughline token create` makes another")
    code = new_credential(CODE_PREFIX)
    await connection.execute(delete(page_codes).where(page_codes.c.expires_us <= now_us))
    await connection.execute(
        insert(page_codes)
        .values(digest=key_digest(code), token=row.id, expires_us=now_us + CODE_US)
        .returning(page_codes.c.token)
    )
    return PageCode(code, row.id, row.name, row.workspace)


async def take_page_code(connection: AsyncConnection, code: str, *, now_us: int) -> ReadToken | None:
    """Use a code up; returns its token, or None when the code was used, is expired or unknown, or the token is."""
    token_id: int | None = await connection.scalar(
        delete(page_codes)
        .where(page_codes.c.digest == key_digest(code), page_codes.c.expires_us > now_us)
        .returning(page_codes.c.token)
    )
    return None if token_id is None else await find_token_by_id(connection, token_id, now_us=now_us)


async def open_session(connection: AsyncConnection, token: ReadToken, *, now_us: int) -> str:
    """Begin a session of a token; returns the session's secret, which is stored nowhere. Old sessions are deleted."""
    c = read_tokens.c
    newest = select(c.id).where(c.session_of == token.owner).order_by(c.id.desc()).limit(MAX_SESSIONS - 1)
    await connection.execute(
        delete(read_tokens).where(c.session_of == token.owner, (c.expires_us <= now_us) | c.id.not_in(newest))
    )
    secret = new_credential(SESSION_PREFIX)
    await insert_row(
        connection,
        read_tokens,
        digest=key_digest(secret),
        hint=hint_of(secret),
        workspace=token.workspace,
        name=token.name,
        scope=Scope.READ if token.scope == Scope.READ else Scope.EDIT,
        created_us=now_us,
        expires_us=now_us + SESSION_US,
        session_of=token.owner,
    )
    return secret
