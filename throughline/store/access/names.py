"""The names that people point with: whether a text can be one, and the id of the row of that name."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Select, Table, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.schema.access import sources, workspaces

MAX_NAME = 100
"""Maximum number of characters."""
_SHOWN_NAMES = 10


class AdminError(Exception):
    """What an operator asks for cannot be done; the message says why, and what would work."""


def check_name(what: str, name: str) -> None:
    """Raises: AdminError when `name` cannot be the name of `what`."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise AdminError(
            f"{name!r} cannot be the name of a {what}: a name has 1 to {MAX_NAME} printable characters "
            "and no space at its ends"
        )


async def check_time_zone(connection: AsyncConnection, name: str) -> None:
    """Raises: AdminError when PostgreSQL knows no such time zone."""
    # PostgreSQL's list, since PostgreSQL says where days begin: this machine's list may differ.
    zones = set(await connection.scalars(text("SELECT name FROM pg_timezone_names WHERE name ~ '^(UTC|[A-Z].*/.*)$'")))
    if name not in zones:
        close = get_close_matches(name, sorted(zones), n=3, cutoff=0.5)
        guess = (
            f"did you mean {' or '.join(map(repr, close))}?" if close else "a zone is UTC or named like Europe/Berlin"
        )
        raise AdminError(f"unknown time zone {name!r}; {guess}")


async def workspace_id(connection: AsyncConnection, name: str) -> int:
    """Returns the id of the workspace of a name.

    Raises:
        AdminError: there is none; the message names the workspaces that there are.
    """
    ids = await _ids(connection, select(workspaces.c.name, workspaces.c.id))
    if name not in ids:
        raise AdminError(_unknown("workspace", name, ids, "throughline workspace create NAME"))
    return ids[name]


async def source_id(connection: AsyncConnection, workspace: str, name: str) -> int:
    """Returns the id of the source of a name in a workspace.

    Raises:
        AdminError: there is no such workspace or source; the message names those that there are.
    """
    number = await workspace_id(connection, workspace)
    ids = await _ids(connection, select(sources.c.name, sources.c.id).where(sources.c.workspace == number))
    if name not in ids:
        what = f"source of workspace {workspace!r}"
        raise AdminError(_unknown(what, name, ids, f"throughline source create {workspace} NAME"))
    return ids[name]


async def within_workspace(connection: AsyncConnection, query: Select[Any], workspace: str | None) -> Select[Any]:
    """Returns a query that joins `workspaces`, narrowed to the workspace of a name; None: of all.

    Raises:
        AdminError: no such workspace.
    """
    if workspace is None:
        return query
    return query.where(workspaces.c.id == await workspace_id(connection, workspace))


async def insert_row(connection: AsyncConnection, table: Table, **values: object) -> int | None:
    """Insert a row; returns its id, None when a row with the same unique values is there already."""
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(table.c.id)
    new_id: int | None = await connection.scalar(statement)
    return new_id


async def _ids(connection: AsyncConnection, query: Select[tuple[str, int]]) -> dict[str, int]:
    return {row.name: row.id for row in await connection.execute(query)}


def _unknown(what: str, name: str, existing: Iterable[str], create_command: str) -> str:
    names = sorted(existing)
    if not names:
        return f"unknown {what} {name!r}: there is none yet; make one with `{create_command}`"
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    rest = len(names) - _SHOWN_NAMES
    shown = ", ".join(names[:_SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
    return f"unknown {what} {name!r}{guess} known: {shown}"
