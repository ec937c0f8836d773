"""What the tables of access have in common: rows found by what people call them, and secrets made."""

import secrets
import string
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.keys import key_digest
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.schema.access import workspaces

_ALPHABET = string.ascii_letters + string.digits  # safe in URLs, headers, Basic credentials and shells
_RANDOM_CHARACTERS = 40  # 238 bits
_HINT_CHARACTERS = 10


async def within_workspace(connection: AsyncConnection, query: Select[Any], workspace: str | None) -> Select[Any]:
    if workspace is None:
        return query
    return query.where(workspaces.c.id == await workspace_id(connection, workspace))


async def find_secret(connection: AsyncConnection, query: Select[Any], table: Table, what: str, given: str) -> Any:
    condition: ColumnElement[bool] = (table.c.hint == given) | (table.c.digest == key_digest(given))
    if given.isascii() and given.isdigit() and len(given) < 19:
        condition |= table.c.id == int(given)
    rows = (await connection.execute(query.where(condition))).all() if given.isprintable() else []
    if not rows:
        raise AdminError(f"no {what} has the id or hint {given!r}; `list` shows what there is")
    if len(rows) > 1:
        raise AdminError(f"several have the hint {given!r}; say which by id: {', '.join(str(row.id) for row in rows)}")
    return rows[0]


async def revoke(connection: AsyncConnection, table: Table, found: int, now_us: int) -> int:
    revoked: int = (
        await connection.execute(
            update(table)
            .where(table.c.id == found)
            .values(revoked_us=func.coalesce(table.c.revoked_us, now_us))
            .returning(table.c.revoked_us)
        )
    ).scalar_one()
    return revoked


async def insert_row(connection: AsyncConnection, table: Table, **values: object) -> int | None:
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(table.c.id)
    made: int | None = await connection.scalar(statement)
    return made


def random_secret(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))


def hint_of(key: str) -> str:
    return key[:_HINT_CHARACTERS]
