"""What write keys and read tokens have in common: made at random, found by what people call them, revoked."""

import secrets
import string
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.keys import key_digest
from throughline.store.access.names import AdminError

_ALPHABET = string.ascii_letters + string.digits  # safe in URLs, headers, Basic credentials and shells
_RANDOM_CHARACTERS = 40  # 238 bits
_HINT_CHARACTERS = 10  # of these four are the prefix
_MAX_ID_DIGITS = 18


def new_credential(prefix: str) -> str:
    """Returns a key or token that nobody can guess."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))


def hint_of(credential: str) -> str:
    """Returns how a key or token begins: what is shown of it in lists."""
    return credential[:_HINT_CHARACTERS]


async def find_credential(
    connection: AsyncConnection, query: Select[Any], table: Table, what: str, pointer: str
) -> Any:
    """Returns the row of a key or token by its id, its hint or itself.

    Args:
        connection: within a transaction.
        query: what to read of the table's rows.
        table: `write_keys` or `read_tokens`.
        what: how messages call such a row.
        pointer: what a person calls it.

    Raises:
        AdminError: there is none, or several have the hint.
    """
    condition: ColumnElement[bool] = (table.c.hint == pointer) | (table.c.digest == key_digest(pointer))
    if pointer.isascii() and pointer.isdigit() and len(pointer) <= _MAX_ID_DIGITS:
        condition |= table.c.id == int(pointer)
    rows = (await connection.execute(query.where(condition))).all() if pointer.isprintable() else []
    if not rows:
        raise AdminError(f"no {what} has the id or hint {pointer!r}; `list` shows what there is")
    if len(rows) > 1:
        raise AdminError(
            f"several have the hint {pointer!r}; say which by id: {', '.join(str(row.id) for row in rows)}"
        )
    return rows[0]


async def revoke(connection: AsyncConnection, table: Table, row_id: int, now_us: int) -> int:
    """Revoke a key or token; returns when it was revoked, which an earlier revocation decides."""
    revoked_us: int = (
        await connection.execute(
            update(table)
            .where(table.c.id == row_id)
            .values(revoked_us=func.coalesce(table.c.revoked_us, now_us))
            .returning(table.c.revoked_us)
        )
    ).scalar_one()
    return revoked_us
