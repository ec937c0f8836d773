"""Workspaces, sources, write keys and read tokens: made, listed and switched off by people and scripts.

Everything here runs in the caller's transaction. Names are unique where people use them to point at things; a key or
token is given once, when it is made.
"""

import secrets
import string
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Table, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.keys import key_digest
from throughline.store.names import AdminError as AdminError
from throughline.store.names import check_name, check_time_zone, source_id, workspace_id
from throughline.store.tables import models, read_tokens, sources, workspaces, write_keys

DEFAULT_MODEL = "seven_phase"
WRITE_KEY_PREFIX = "tlw_"
READ_TOKEN_PREFIX = "tlr_"

_ALPHABET = string.ascii_letters + string.digits  # safe in URLs, headers, Basic credentials and shells
_RANDOM_CHARACTERS = 40  # 238 bits
_HINT_CHARACTERS = len(WRITE_KEY_PREFIX) + 6


class WorkspaceInfo(NamedTuple):
    """A workspace as listed."""

    id: int
    name: str
    time_zone: str
    created_us: int


class SourceInfo(NamedTuple):
    """A source as listed; `workspace` is the workspace's name."""

    id: int
    workspace: str
    name: str
    enabled: bool
    created_us: int


class WriteKeyInfo(NamedTuple):
    """A write key as listed, without the key: `hint` is how it begins."""

    id: int
    hint: str
    workspace: str
    source: str
    created_us: int
    revoked_us: int | None
    expires_us: int | None = None


class ReadTokenInfo(NamedTuple):
    """A read token as listed, without the token: `hint` is how it begins."""

    id: int
    hint: str
    workspace: str
    name: str
    created_us: int
    revoked_us: int | None


# --- workspaces and sources -------------------------------------------------------------------------------------------


async def create_workspace(connection: AsyncConnection, name: str, *, now_us: int, time_zone: str = "UTC") -> int:
    """Make a workspace, its journeys under the default phase model; gives its id.

    Raises:
        AdminError: the name is taken or not a name, or PostgreSQL knows no such time zone.
    """
    check_name("workspace", name)
    await check_time_zone(connection, time_zone)
    workspace = await _insert(connection, workspaces, name=name, time_zone=time_zone, created_us=now_us)
    if workspace is None:
        raise AdminError(f"there is a workspace {name!r} already; choose another name")
    await _insert(connection, models, workspace=workspace, name=DEFAULT_MODEL, created_us=now_us)
    return workspace


async def list_workspaces(connection: AsyncConnection) -> list[WorkspaceInfo]:
    """Every workspace, by name."""
    c = workspaces.c
    rows = await connection.execute(select(c.id, c.name, c.time_zone, c.created_us).order_by(c.name))
    return [WorkspaceInfo(*row) for row in rows]


async def create_source(connection: AsyncConnection, workspace: str, name: str, *, now_us: int) -> int:
    """Make a source in a workspace; gives its id.

    Raises:
        AdminError: no such workspace, or the name is taken there or not a name.
    """
    check_name("source", name)
    owner = await workspace_id(connection, workspace)
    source = await _insert(connection, sources, workspace=owner, name=name, created_us=now_us)
    if source is None:
        raise AdminError(f"workspace {workspace!r} has a source {name!r} already; choose another name")
    return source


async def list_sources(connection: AsyncConnection, workspace: str | None = None) -> list[SourceInfo]:
    """The sources of one workspace or of all, by workspace and name.

    Raises:
        AdminError: no such workspace.
    """
    c = sources.c
    query = (
        select(c.id, workspaces.c.name, c.name, c.enabled, c.created_us)
        .join(workspaces, workspaces.c.id == c.workspace)
        .order_by(workspaces.c.name, c.name)
    )
    rows = await connection.execute(await _within(connection, query, workspace))
    return [SourceInfo(*row) for row in rows]


async def set_source_enabled(connection: AsyncConnection, workspace: str, source: str, enabled: bool) -> None:
    """Let a source's keys write, or not.

    Raises:
        AdminError: no such workspace or source.
    """
    found = await source_id(connection, workspace, source)
    await connection.execute(update(sources).where(sources.c.id == found).values(enabled=enabled))


# --- write keys and read tokens ---------------------------------------------------------------------------------------


async def create_write_key(connection: AsyncConnection, workspace: str, source: str, *, now_us: int) -> str:
    """Make a write key of a source and give it: the only time it can be seen.

    Raises:
        AdminError: no such workspace or source.
    """
    found = await source_id(connection, workspace, source)
    key = _random(WRITE_KEY_PREFIX)
    await _insert(connection, write_keys, digest=key_digest(key), hint=_hint(key), source=found, created_us=now_us)
    return key


async def list_write_keys(connection: AsyncConnection, workspace: str | None = None) -> list[WriteKeyInfo]:
    """The write keys of one workspace or of all, revoked ones too, oldest first.

    Raises:
        AdminError: no such workspace.
    """
    query = await _within(connection, _write_keys(), workspace)
    return [WriteKeyInfo(*row) for row in await connection.execute(query)]


async def revoke_write_key(connection: AsyncConnection, key: str, *, now_us: int) -> WriteKeyInfo:
    """Revoke a write key, named by its id, its hint or itself; one that is revoked stays as it is.

    Raises:
        AdminError: no such key, or several begin like that.
    """
    found = await _find(connection, _write_keys(), write_keys, "write key", key)
    return WriteKeyInfo(*found)._replace(revoked_us=await _revoke(connection, write_keys, found.id, now_us))


async def rotate_write_key(
    connection: AsyncConnection, key: str, *, overlap_us: int, now_us: int
) -> tuple[str, WriteKeyInfo]:
    """Make a new key of a key's source, and let the old one go on for `overlap_us` only; gives both.

    A key that expires earlier already keeps its time.

    Raises:
        AdminError: no such key, several begin like that, or it is revoked or expired.
    """
    found = WriteKeyInfo(*await _find(connection, _write_keys(), write_keys, "write key", key))
    if found.revoked_us is not None or (found.expires_us is not None and found.expires_us <= now_us):
        raise AdminError(f"write key {found.hint}... is no longer taken; make a new one with `throughline key create`")
    made = await create_write_key(connection, found.workspace, found.source, now_us=now_us)
    c = write_keys.c
    expires_us = await connection.scalar(
        update(write_keys)
        .where(c.id == found.id)
        .values(expires_us=func.least(c.expires_us, now_us + overlap_us))
        .returning(c.expires_us)
    )
    return made, found._replace(expires_us=expires_us)


async def create_read_token(connection: AsyncConnection, workspace: str, name: str, *, now_us: int) -> str:
    """Make a read token of a workspace and give it: the only time it can be seen. Names may repeat.

    Raises:
        AdminError: no such workspace, or not a name.
    """
    check_name("token", name)
    owner = await workspace_id(connection, workspace)
    token = _random(READ_TOKEN_PREFIX)
    await _insert(
        connection,
        read_tokens,
        digest=key_digest(token),
        hint=_hint(token),
        workspace=owner,
        name=name,
        created_us=now_us,
    )
    return token


async def list_read_tokens(connection: AsyncConnection, workspace: str | None = None) -> list[ReadTokenInfo]:
    """The read tokens of one workspace or of all, revoked ones too, oldest first.

    Raises:
        AdminError: no such workspace.
    """
    query = await _within(connection, _read_tokens(), workspace)
    return [ReadTokenInfo(*row) for row in await connection.execute(query)]


async def revoke_read_token(connection: AsyncConnection, token: str, *, now_us: int) -> ReadTokenInfo:
    """Revoke a read token, named by its id, its hint or itself; one that is revoked stays as it is.

    Raises:
        AdminError: no such token, or several begin like that.
    """
    found = await _find(connection, _read_tokens(), read_tokens, "read token", token)
    return ReadTokenInfo(*found)._replace(revoked_us=await _revoke(connection, read_tokens, found.id, now_us))


# --- queries and rows -------------------------------------------------------------------------------------------------


async def _within(connection: AsyncConnection, query: Select[Any], workspace: str | None) -> Select[Any]:
    if workspace is None:
        return query
    return query.where(workspaces.c.id == await workspace_id(connection, workspace))


def _write_keys() -> Select[Any]:
    c = write_keys.c
    return (
        select(
            c.id,
            c.hint,
            workspaces.c.name.label("workspace"),
            sources.c.name.label("source"),
            c.created_us,
            c.revoked_us,
            c.expires_us,
        )
        .join(sources, sources.c.id == c.source)
        .join(workspaces, workspaces.c.id == sources.c.workspace)
        .order_by(c.id)
    )


def _read_tokens() -> Select[Any]:
    c = read_tokens.c
    return (
        select(c.id, c.hint, workspaces.c.name.label("workspace"), c.name, c.created_us, c.revoked_us)
        .join(workspaces, workspaces.c.id == c.workspace)
        .order_by(c.id)
    )


async def _find(connection: AsyncConnection, query: Select[Any], table: Table, what: str, given: str) -> Any:
    condition: ColumnElement[bool] = (table.c.hint == given) | (table.c.digest == key_digest(given))
    if given.isascii() and given.isdigit() and len(given) < 19:
        condition |= table.c.id == int(given)
    rows = (await connection.execute(query.where(condition))).all() if given.isprintable() else []
    if not rows:
        raise AdminError(f"no {what} has the id or hint {given!r}; `list` shows what there is")
    if len(rows) > 1:
        raise AdminError(f"several have the hint {given!r}; say which by id: {', '.join(str(row.id) for row in rows)}")
    return rows[0]


async def _revoke(connection: AsyncConnection, table: Table, found: int, now_us: int) -> int:
    revoked: int = (
        await connection.execute(
            update(table)
            .where(table.c.id == found)
            .values(revoked_us=func.coalesce(table.c.revoked_us, now_us))
            .returning(table.c.revoked_us)
        )
    ).scalar_one()
    return revoked


async def _insert(connection: AsyncConnection, table: Table, **values: object) -> int | None:
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(table.c.id)
    made: int | None = await connection.scalar(statement)
    return made


def _random(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))


def _hint(key: str) -> str:
    return key[:_HINT_CHARACTERS]
