"""The names people point with: whether one is valid, and what stands under it."""

from collections.abc import Iterable
from difflib import get_close_matches

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.schema.access import sources, workspaces

MAX_NAME = 100


class AdminError(Exception):
    """What was asked cannot be done; the message says why and what would work."""


def check_name(what: str, name: str) -> None:
    """Raises: AdminError when `name` cannot be the name of `what`."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise AdminError(
            f"{name!r} cannot be the name of a {what}: a name has 1 to {MAX_NAME} printable characters "
            "and no space at its ends"
        )


async def check_time_zone(connection: AsyncConnection, name: str) -> None:
    """Raises: AdminError when PostgreSQL knows no such time zone."""
    # Asked of PostgreSQL, which will cut the days: this machine's list of zones may differ from its.
    known = set(await connection.scalars(text("SELECT name FROM pg_timezone_names WHERE name ~ '^(UTC|[A-Z].*/.*)$'")))
    if name not in known:
        close = get_close_matches(name, sorted(known), n=3, cutoff=0.5)
        guess = (
            f"did you mean {' or '.join(map(repr, close))}?" if close else "a zone is UTC or named like Europe/Berlin"
        )
        raise AdminError(f"unknown time zone {name!r}; {guess}")


async def workspace_id(connection: AsyncConnection, name: str) -> int:
    """The id of the workspace of this name.

    Raises:
        AdminError: there is none; the message names those there are.
    """
    rows = await connection.execute(select(workspaces.c.name, workspaces.c.id))
    known = {row.name: row.id for row in rows}
    if name not in known:
        raise AdminError(_unknown("workspace", name, known, "throughline workspace create NAME"))
    found: int = known[name]
    return found


async def source_id(connection: AsyncConnection, workspace: str, name: str) -> int:
    """The id of the source of this name in that workspace.

    Raises:
        AdminError: there is no such workspace or source; the message names those there are.
    """
    owner = await workspace_id(connection, workspace)
    rows = await connection.execute(select(sources.c.name, sources.c.id).where(sources.c.workspace == owner))
    known = {row.name: row.id for row in rows}
    if name not in known:
        what = f"source of workspace {workspace!r}"
        raise AdminError(_unknown(what, name, known, f"throughline source create {workspace} NAME"))
    found: int = known[name]
    return found


def _unknown(what: str, name: str, known: Iterable[str], make: str) -> str:
    names = sorted(known)
    if not names:
        return f"unknown {what} {name!r}: there is none yet; make one with `{make}`"
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"unknown {what} {name!r}{guess} known: {shown}"
