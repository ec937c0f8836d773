"""Shared links: made, listed and revoked. The token of one is shown once, and may ask its view's questions only."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.credentials import hint_of, new_credential
from throughline.store.access.keys import QUESTION_BYTES, ReadToken, key_digest
from throughline.store.access.names import insert_row
from throughline.store.schema.access import read_tokens, shares

PREFIX = "tlv_"
MAX_SHARES = 100
"""Maximum number of shared links of a workspace."""


class Share(NamedTuple):
    """A shared link as listed, without its token: `hint` is how that begins."""

    id: int
    hint: str
    name: str
    view: str
    questions: list[str]
    created_us: int
    created_by: str
    expires_us: int


class TooManySharesError(Exception):
    """The workspace has as many shared links as it may."""


def question_digest(path: str, query: str) -> bytes:
    """Returns the digest of a question: the same however its parameters are sorted and escaped."""
    parameters = urlencode(sorted(parse_qsl(query, keep_blank_values=True)))
    return blake2b(f"{path}?{parameters}".encode(), digest_size=QUESTION_BYTES).digest()


async def create_share(
    connection: AsyncConnection,
    maker: ReadToken,
    *,
    name: str,
    view: str,
    questions: Sequence[str],
    now_us: int,
    expires_us: int,
) -> tuple[Share, str]:
    """Make a shared link of the maker's workspace; returns it, and its token, which is stored nowhere.

    Links that have expired are deleted.

    Raises:
        TooManySharesError: revoke one first.
    """
    c = shares.c
    is_over = (c.workspace == maker.workspace) & (c.expires_us <= now_us)
    await connection.execute(delete(shares).where(is_over))
    if (await connection.scalar(select(func.count()).where(c.workspace == maker.workspace)) or 0) >= MAX_SHARES:
        raise TooManySharesError
    token = new_credential(PREFIX)
    share_id = await insert_row(
        connection,
        shares,
        digest=key_digest(token),
        hint=hint_of(token),
        workspace=maker.workspace,
        token=maker.owner,
        name=name,
        view=view,
        questions=list(questions),
        question_digests=b"".join(question_digest(*_parts(question)) for question in questions),
        created_us=now_us,
        created_by=maker.who,
        expires_us=expires_us,
    )
    assert share_id is not None
    share = Share(share_id, hint_of(token), name, view, list(questions), now_us, maker.who, expires_us)
    return share, token


async def list_shares(connection: AsyncConnection, workspace: int, *, now_us: int) -> list[Share]:
    """Returns the shared links of a workspace that open something, newest first."""
    query = _shares().where(shares.c.workspace == workspace, shares.c.expires_us > now_us).order_by(shares.c.id.desc())
    return [Share(*row) for row in await connection.execute(query)]


async def find_share(connection: AsyncConnection, workspace: int, share_id: int) -> Share | None:
    """Returns a shared link; None: the workspace has none of that id, or the token that made it is revoked."""
    row = (await connection.execute(_shares().where(shares.c.workspace == workspace, shares.c.id == share_id))).first()
    return None if row is None else Share(*row)


async def revoke_share(connection: AsyncConnection, workspace: int, share_id: int) -> Share | None:
    """Delete a shared link; returns what it was, None: the workspace has none of that id."""
    c = shares.c
    columns = [c[name] for name in Share._fields]
    query = delete(shares).where(c.workspace == workspace, c.id == share_id).returning(*columns)
    row = (await connection.execute(query)).first()
    return None if row is None else Share(*row)


def _shares() -> Select[Any]:
    c, maker = shares.c, read_tokens.alias("maker")
    columns = [c[name] for name in Share._fields if name != "expires_us"]
    return (
        select(*columns, func.least(c.expires_us, maker.c.expires_us))
        .join(maker, maker.c.id == c.token)
        .where(maker.c.revoked_us.is_(None))
    )


def _parts(question: str) -> tuple[str, str]:
    path, _, query = question.partition("?")
    return path, query
