"""The audit log: who administered what, and when. Written in the transaction of the change, never changed."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.credentials import hint_of
from throughline.store.schema.access import audit_log

MAX_ARGUMENTS = 50
MAX_TEXT = 300
"""Maximum number of characters of an argument."""

_CREDENTIAL = re.compile(r"tl[a-z]_[A-Za-z0-9]{10,}")


class AuditEntry(NamedTuple):
    """One administrative act."""

    id: int
    at_us: int
    who: str
    """user@host of a command, or a token of the api."""
    action: str
    """The command or what an api request did, such as `token create`."""
    arguments: dict[str, Any]


class AuditFilter(NamedTuple):
    """Which entries; None: all."""

    who: str | None = None
    """Part of who acted."""
    action: str | None = None
    """The action, or how it begins: `token` for all that was done to tokens."""
    workspace: str | None = None
    since_us: int | None = None
    until_us: int | None = None


async def record_audit(
    connection: AsyncConnection, *, who: str, action: str, arguments: Mapping[str, object], now_us: int
) -> None:
    """Write an entry, in the transaction of the change it tells of.

    Args:
        connection: of that transaction.
        who: user@host of a command, or `ReadToken.who`.
        action: the command, or what the api request does.
        arguments: with what; `workspace` names the workspace, if it is about one. None is left out. Neither secrets nor
            ids of persons belong here: the entry outlives both. A key or token is cut to its hint.
    """
    shown = {name: _shown(value) for name, value in arguments.items() if value is not None}
    if len(shown) > MAX_ARGUMENTS:
        raise ValueError(f"{len(shown)} arguments of {action!r}; the audit log takes {MAX_ARGUMENTS}")
    await connection.execute(
        insert(audit_log).values(at_us=now_us, who=who, action=action, arguments=shown).returning(audit_log.c.id)
    )


async def list_audit(
    connection: AsyncConnection, which: AuditFilter, *, limit: int, before: int | None = None
) -> list[AuditEntry]:
    """Returns up to `limit` entries, newest first; `before` is the id of the last entry of the page before."""
    c = audit_log.c
    query = select(c.id, c.at_us, c.who, c.action, c.arguments).order_by(c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(c.id < before)
    if which.who is not None:
        query = query.where(c.who.contains(which.who, autoescape=True))
    if which.action is not None:
        query = query.where((c.action == which.action) | c.action.startswith(f"{which.action} ", autoescape=True))
    if which.workspace is not None:
        query = query.where(c.arguments["workspace"].astext == which.workspace)
    if which.since_us is not None:
        query = query.where(c.at_us >= which.since_us)
    if which.until_us is not None:
        query = query.where(c.at_us < which.until_us)
    return [AuditEntry(*row) for row in await connection.execute(query)]


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        shown = [_shown(item) for item in value[:MAX_ARGUMENTS]]
        return shown if len(value) <= MAX_ARGUMENTS else [*shown, f"and {len(value) - MAX_ARGUMENTS} more"]
    text = _CREDENTIAL.sub(lambda credential: f"{hint_of(credential[0])}...", str(value)).replace("\0", "\ufffd")
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
