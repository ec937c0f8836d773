"""Codes and sessions of the page in the store."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.store.access.keys import find_read_token, find_token_by_id, key_digest
from throughline.store.access.modes import Scope
from throughline.store.access.page_sessions import (
    CODE_US,
    MAX_SESSIONS,
    SESSION_US,
    create_page_code,
    open_session,
    take_page_code,
)
from throughline.store.access.read_tokens import create_read_token, list_read_tokens
from throughline.store.access.workspaces import create_workspace
from throughline.store.engine.unit_of_work import transaction
from throughline.store.schema.access import page_codes, read_tokens

NOW = 1_763_930_000_000_000
EXPIRES_US = NOW + 2 * SESSION_US


@pytest.fixture
async def shop(engine: AsyncEngine) -> AsyncEngine:
    async with transaction(engine) as connection:
        await create_workspace(connection, "shop", now_us=NOW)
        await create_read_token(connection, "shop", "x", now_us=NOW, scope=Scope.ADMIN, expires_us=EXPIRES_US)
    return engine


async def test_a_code_is_good_once_and_for_minutes(shop: AsyncEngine) -> None:
    async with transaction(shop) as connection:
        code, late, old = [(await create_page_code(connection, "1", now_us=NOW)).code for _ in range(3)]
        token = await take_page_code(connection, code, now_us=NOW + CODE_US - 1)
        assert token is not None
        assert token.id == 1
        assert await take_page_code(connection, code, now_us=NOW + 1) is None
        assert await take_page_code(connection, late, now_us=NOW + CODE_US) is None
        await create_page_code(connection, "1", now_us=NOW + CODE_US)
        assert await connection.scalar(select(func.count()).select_from(page_codes)) == 1
        assert await take_page_code(connection, old, now_us=NOW) is None


async def test_a_session_reads_and_ends_with_its_token(shop: AsyncEngine) -> None:
    async with transaction(shop) as connection:
        token = await find_token_by_id(connection, 1, now_us=NOW)
        assert token is not None
        digest = key_digest(await open_session(connection, token, now_us=NOW))
        session = await find_read_token(connection, digest, now_us=NOW + SESSION_US - 1)
        assert session is not None
        assert (session.scope, session.owner, session.workspace_name) == (
            Scope.EDIT,
            1,
            "shop",
        )
        assert await find_read_token(connection, digest, now_us=NOW + SESSION_US) is None
        late = key_digest(await open_session(connection, token, now_us=EXPIRES_US - 1))
        assert await find_read_token(connection, late, now_us=EXPIRES_US) is None
        assert len(await list_read_tokens(connection)) == 1


async def test_a_token_has_so_many_sessions(shop: AsyncEngine) -> None:
    async with transaction(shop) as connection:
        token = await find_token_by_id(connection, 1, now_us=NOW)
        assert token is not None
        secrets = [await open_session(connection, token, now_us=NOW) for _ in range(MAX_SESSIONS + 2)]
        rows = select(func.count()).select_from(read_tokens).where(read_tokens.c.session_of == 1)
        assert await connection.scalar(rows) == MAX_SESSIONS
        assert await find_read_token(connection, key_digest(secrets[1]), now_us=NOW) is None
        assert await find_read_token(connection, key_digest(secrets[2]), now_us=NOW) is not None
