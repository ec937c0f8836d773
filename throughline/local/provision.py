"""The workspace, source, write key and read token of `throughline run`: created once, then read from a file."""

import asyncio
import json
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.kit.clock import now_us
from throughline.kit.files import write_private
from throughline.kit.process import user_and_host
from throughline.kit.secret_box import new_key
from throughline.store.access import keys
from throughline.store.access.audit import record_audit
from throughline.store.access.modes import Scope
from throughline.store.access.page_sessions import create_page_code
from throughline.store.access.read_tokens import create_read_token
from throughline.store.access.sources import create_source, list_sources, set_source_enabled
from throughline.store.access.workspaces import create_workspace, list_workspaces
from throughline.store.access.write_keys import create_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

WORKSPACE = "local"
SOURCE = "local"
FILE = "keys.json"
ENCRYPTION_FILE = "encryption.key"


class LocalKeys(NamedTuple):
    """The keys that a person needs to send events and to read the api on this machine."""

    workspace: str
    write_key: str
    read_token: str


async def provision(database_url: str, data: Path) -> LocalKeys:
    """The keys in `data/keys.json` (mode 0600); new ones when the database does not know them (or not any more)."""
    stored = await asyncio.to_thread(_read, data / FILE)
    engine = create_engine(database_url, pool_size=1, application_name="throughline run")
    try:
        async with transaction(engine) as connection:
            if stored is not None and await _are_valid(connection, stored):
                return stored
            created = await _create(connection)
    finally:
        await engine.dispose()
    await asyncio.to_thread(write_private, data / FILE, json.dumps(created._asdict(), indent=2) + "\n")
    return created


def encryption_key(data: Path) -> str:
    """The key in `data/encryption.key` (mode 0600), made the first time."""
    path = data / ENCRYPTION_FILE
    if not path.exists():
        write_private(path, new_key() + "\n")
    return path.read_text().strip()


async def page_code(database_url: str, local: LocalKeys) -> str:
    """A one-time code that opens the page of the local workspace."""
    engine = create_engine(database_url, pool_size=1, application_name="throughline run")
    try:
        async with transaction(engine) as connection:
            code = await create_page_code(connection, local.read_token, now_us=now_us())
    finally:
        await engine.dispose()
    return code.code


def _read(path: Path) -> LocalKeys | None:
    try:
        return LocalKeys(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


async def _are_valid(connection: AsyncConnection, stored: LocalKeys) -> bool:
    token = await keys.find_read_token(connection, keys.key_digest(stored.read_token), now_us=now_us())
    written = {key.digest for key in await keys.read_source_keys(connection, now_us=now_us()) if key.enabled}
    return (
        token is not None and token.workspace_name == stored.workspace and keys.key_digest(stored.write_key) in written
    )


async def _create(connection: AsyncConnection) -> LocalKeys:
    now = now_us()
    if WORKSPACE not in {each.name for each in await list_workspaces(connection)}:
        await create_workspace(connection, WORKSPACE, now_us=now)
    sources = {each.name: each for each in await list_sources(connection, WORKSPACE)}
    if SOURCE not in sources:
        await create_source(connection, WORKSPACE, SOURCE, now_us=now)
    elif not sources[SOURCE].enabled:
        await set_source_enabled(connection, WORKSPACE, SOURCE, True)
    who = user_and_host()
    created = LocalKeys(
        WORKSPACE,
        await create_write_key(connection, WORKSPACE, SOURCE, now_us=now),
        await create_read_token(connection, WORKSPACE, "throughline run", now_us=now, scope=Scope.EDIT, created_by=who),
    )
    await record_audit(connection, who=who, action="run", arguments={**created._asdict(), "source": SOURCE}, now_us=now)
    return created
